"""Content of files in `neurograph-cli token import` and `export`: marks, quotes, lines and metadata."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Done, InProcess

from neurograph import NeuroGraphClient, Token
from neurograph.cli._exits import ExitCode
from neurograph.cli._rows import RowFormat, read_rows
from neurograph.exceptions import ConfigurationError
from vectrograph import running

MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Emptied:
    """A command line of this process, and a client to look at what the server then holds; empty before each test."""

    line: InProcess
    client: NeuroGraphClient
    environ: dict[str, str]

    def __call__(self, *words: str, stdin: bytes = b"") -> Done:
        return self.line(*words, stdin=stdin, environ=self.environ)

    def stored(self) -> list[Token]:
        return list(self.client.tokens.stream())

    def contents(self) -> list[tuple[str | None, dict[str, Any] | None]]:
        return [(token.text, token.metadata) for token in self.stored()]

    def empty(self) -> None:
        self.client.tokens.delete_many([token.id for token in self.stored()])


@pytest.fixture(scope="module")
def client() -> Iterator[NeuroGraphClient]:
    with (
        running() as server,
        NeuroGraphClient(server.http_url, username="developer", password="developer123") as client,
    ):
        yield client


@pytest.fixture(scope="module")
def environ(client: NeuroGraphClient) -> dict[str, str]:
    """Provide a key, which costs a command less than a password."""
    created = client.api_keys.create("files", scopes=["tokens:read", "tokens:write"])
    return {"NEUROGRAPH_API_KEY": created.api_key}


@pytest.fixture
def cli(client: NeuroGraphClient, environ: dict[str, str], tmp_path: Path) -> Emptied:
    emptied = Emptied(InProcess(client.base_url, tmp_path), client, environ)
    emptied.empty()
    return emptied


TABLE = [
    ('a "quoted" word, and\nlines\r\nof every\rkind', {"n": 1, "deep": {"x": [None, {"y": "ß"}]}, "lang": 'e"n\n'}),
    ('"', {"lang": "日本"}),
    (" spaces around ", {"lang": ""}),
]
TABLE_BYTES = (
    "lang,text,metadata\r\n"
    '"e""n\n","a ""quoted"" word, and\nlines\r\nof every\rkind",'
    '"{""n"": 1,\r\n ""deep"": {""x"": [null, {""y"": ""ß""}]}}"\r\n'
    '日本,"""",\r\n'
    "\r\n"
    '," spaces around ",{}\r\n'
).encode()
OBJECTS = [("eins\nß", {"deep": {"x": [1]}}), ("zwei", {}), ("drei\u2028", {})]
OBJECT_LINES = '{"text": "eins\\nß", "metadata": {"deep": {"x": [1]}}}\r\n\n"zwei"\n{"text": "drei\u2028"}'.encode()


@pytest.mark.parametrize("piped", [True, False], ids=["piped", "file"])
@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [("csv", TABLE_BYTES, TABLE), ("jsonl", OBJECT_LINES, OBJECTS)],
    ids=["csv", "jsonl"],
)
def test_content_arrives_as_it_is_written(
    cli: Emptied, piped: bool, kind: str, content: bytes, expected: list[Any]
) -> None:
    """FINDINGS D5: behind a byte order mark, from a pipe and from a file."""
    if piped:
        done = cli("token", "import", "-", "--format", kind, stdin=MARK + content)
    else:
        done = cli("token", "import", str(cli.line.write(f"a.{kind}", MARK + content)))
    assert (done.code, done.json["created"], done.json["refused"]) == (ExitCode.DONE, len(expected), 0), done.err
    assert cli.contents() == expected


def test_a_real_pipe_is_read_to_its_end(cli: Emptied) -> None:
    """FINDINGS D5: a process of its own, so that its standard input is what a shell gives."""
    line = CommandLine(cli.line.url, cli.line.folder)
    done = line("token", "import", "-", "--format", "csv", stdin=MARK + TABLE_BYTES, environ=cli.environ)
    assert (done.code, done.json) == (ExitCode.DONE, {"created": 3, "refused": 0, "rows": 3}), done.err
    assert cli.contents() == TABLE


@pytest.mark.parametrize("piped", [True, False], ids=["piped", "file-of-texts"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_what_was_exported_is_imported_the_same(cli: Emptied, kind: str, piped: bool) -> None:
    """FINDINGS D5."""
    rows: list[dict[str, Any]] = [
        {"text": "lines\n\r\n\r \"quoted\", and 'so'\ttabs\\n"},
        {"text": "\ufeffß 日本 \U0001f600 e\u0301\u2028\x85\x0b\x1f", "metadata": {}},
        {"text": '"', "metadata": {"deep": {"x": [None, True, 0.1, 2**53, {"": 'q"\n,ß'}]}, "text": "t", "id": 7}},
        {"text": "  =1+1\n", "metadata": {"empty": {}, "list": [], "nothing": None, "string": ""}},
    ]
    cli.client.tokens.create_many(rows)
    before = cli.stored()
    assert cli.contents() == [(row["text"], row.get("metadata", {})) for row in rows]
    name = cli.line.folder / f"copy.{kind}"
    exported = cli("token", "export", *(["-", "--format", kind] if piped else [str(name), "--without-embedding"]))
    assert exported.code == ExitCode.DONE, exported.err
    cli.empty()
    if piped:
        done = cli("token", "import", "-", "--format", kind, stdin=exported.out.encode())
    else:
        done = cli("token", "import", str(name))
    assert (done.code, done.json["created"]) == (ExitCode.DONE, len(rows)), done.err
    after = cli.stored()
    for was, now in zip(before, after, strict=True):
        assert (now.text, now.metadata) == (was.text, was.metadata)
        assert now.embedding == pytest.approx(was.embedding, abs=1e-6)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b",text\n0,a\n", "column 1 of the table has no name"),
        (MARK + b"text,n,\r\na,1,\r\n", "column 3 of the table has no name"),
        (b"text,n,n\na,1,2\n", "two columns n"),
        (b"text,text\na,b\n", "two columns text"),
        ("text\na\n".encode("utf-16"), "UTF-16"),
        (MARK, "no column text; its columns are: none"),
        (b"caf\xe9\na\n", "are: caf\\xe9"),
    ],
)
def test_a_header_under_which_cells_would_be_lost_is_refused(table: bytes, words: str) -> None:
    """FINDINGS D5."""
    with pytest.raises(ConfigurationError) as refused:
        next(read_rows(io.BytesIO(table), RowFormat.CSV))
    assert words in str(refused.value)


def test_nothing_is_sent_of_a_table_whose_header_is_refused(cli: Emptied) -> None:
    """FINDINGS D5: the table of a data frame with its index, of which each row was told to have too many cells."""
    done = cli("token", "import", "-", "--format", "csv", stdin=b",text\n0,a\n")
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert "column 1 of the table has no name" in done.err
    assert cli.stored() == []


def test_a_number_that_is_no_json_costs_its_own_row(cli: Emptied) -> None:
    """FINDINGS D5: Python reads `NaN` and a number too large, which no server can store."""
    lines = b'"one"\n{"text": "a", "metadata": {"n": NaN}}\n{"text": "b", "metadata": {"n": [1e999]}}\n"two"\n'
    done = cli("token", "import", "-", stdin=lines)
    assert (done.code, done.json) == (ExitCode.INCOMPLETE, {"created": 2, "refused": 2, "rows": 4}), done.err
    assert [text for text, _ in cli.contents()] == ["one", "two"]
