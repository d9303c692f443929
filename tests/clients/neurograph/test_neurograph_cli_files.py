"""`neurograph-cli token import` and `export`: files of every kind, bad rows, and servers that stop half-way."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine, InProcess
from scripted_server import Arrived, Reply, ScriptedServer, token_body

from neurograph.cli._exits import ExitCode
from vectrograph import RunningServer

BATCH = "/api/v1/tokens/batch"


@pytest.fixture
def cli(vectrograph_server: RunningServer, tmp_path: Path) -> CommandLine:
    return InProcess(vectrograph_server.http_url, tmp_path)


def texts(cli: CommandLine) -> list[str]:
    return [row["text"] for row in cli("token", "list", "--all").lines]


class TestKinds:
    def test_json_lines(self, cli: CommandLine) -> None:
        cli.write("a.jsonl", '\ufeff{"text": "one", "metadata": {"n": 1}}\n\n"two"\r\n{"text": "drei ß"}')
        assert cli("token", "import", "a.jsonl").json == {"created": 3, "refused": 0, "rows": 3}
        assert texts(cli) == ["one", "two", "drei ß"]

    def test_a_table(self, cli: CommandLine) -> None:
        table = 'title,lang,metadata\r\n"a ""quoted"", text\nof two lines",en,"{""n"": 1}"\r\nbonjour,fr,\r\n'
        cli.write("a.csv", table)
        assert cli("token", "import", "a.csv", "--text-column", "title").code == 0
        rows = cli("token", "list").lines
        assert rows[0]["text"] == 'a "quoted", text\nof two lines'
        assert [row["metadata"] for row in rows] == [{"n": 1, "lang": "en"}, {"lang": "fr"}]
        cli.write("b.tsv", "text\tlang\nhola\tes\n")
        assert cli("token", "import", "b.tsv").json["created"] == 1
        refused = cli("token", "import", "a.csv")
        assert (refused.code, "--text-column" in refused.err) == (ExitCode.USAGE, True)

    def test_lines_of_text_from_standard_input(self, cli: CommandLine) -> None:
        done = cli("token", "import", "-", "--format", "text", stdin="  first \n\n{not json\nlast")
        assert done.json["created"] == 3
        assert texts(cli) == ["  first ", "{not json", "last"]

    @pytest.mark.parametrize("name", ["copy.jsonl", "copy.csv"])
    def test_an_export_can_be_imported(self, cli: CommandLine, name: str) -> None:
        rows = [{"text": f'line\n"{n}" ä', "metadata": {"n": n, "deep": [None, {"x": 0.5}]}} for n in range(20)]
        cli.write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        cli("token", "import", "a.jsonl")
        before = cli("token", "list", "--all", "--show-embedding").lines
        assert cli("token", "export", name).json == {"exported": 20, "file": name}
        cli("token", "delete", *(str(row["id"]) for row in before))
        assert cli("token", "import", name).json["created"] == 20
        after = cli("token", "list", "--all", "--show-embedding").lines
        for was, now in zip(before, after, strict=True):
            assert (now["text"], now["metadata"]) == (was["text"], was["metadata"])
            assert now["embedding"] == pytest.approx(was["embedding"], abs=1e-6)

    def test_an_export_to_standard_output(self, cli: CommandLine) -> None:
        cli("token", "import", "-", stdin='{"text": "a", "metadata": {"n": 1}}\n{"text": "b", "metadata": {"n": 2}}\n')
        rows = cli("token", "export", "--filter", '{"path": "n", "eq": 2}', "--without-embedding").lines
        assert [(row["text"], row["metadata"]) for row in rows] == [("b", {"n": 2})]
        assert not rows[0].get("embedding")


class TestBadRows:
    def test_they_are_named_left_out_and_kept(self, cli: CommandLine) -> None:
        lines = [
            '{"text": "good"}',
            "",
            '{"text": ""}',
            "no json",
            '{"txt": "wrong key"}',
            "[1]",
            '{"text": "x", "embedding": [1, 2]}',
            '{"text": "good too"}',
        ]
        cli.write("a.jsonl", "\n".join(lines).encode() + b'\n{"text": "\xff"}\n')
        done = cli("token", "import", "a.jsonl", "--failed", "again.jsonl")
        assert (done.code, done.json) == (ExitCode.INCOMPLETE, {"created": 2, "refused": 6, "rows": 8})
        told = dict(line.strip().split(": ", 1) for line in done.err.splitlines() if line.startswith("  line"))
        assert list(told) == [f"line {n}" for n in (3, 4, 5, 6, 7, 9)]
        assert told["line 3"].startswith("text ")
        assert "dimension" in told["line 7"] or "components" in told["line 7"]
        assert "UTF-8" in told["line 9"]
        kept = [json.loads(line) for line in (cli.folder / "again.jsonl").read_text().splitlines()]
        assert {"text": ""} in kept
        assert {"text": "x", "embedding": [1, 2]} in kept
        assert texts(cli) == ["good", "good too"]

    def test_a_lone_surrogate_and_a_bad_byte_cost_their_own_rows(self, cli: CommandLine) -> None:
        """FINDINGS D5."""
        cli.write("half.jsonl", '"one"\n{"text": "\\ud800"}\n"three"\n')
        done = cli("token", "import", "half.jsonl", "--failed", "left.jsonl")
        assert (done.code, done.json) == (ExitCode.INCOMPLETE, {"created": 2, "refused": 1, "rows": 3})
        assert (cli.folder / "left.jsonl").read_text() == '{"text": "\\ud800"}\n'
        cli.write("bytes.csv", b"text\n" + b"good\n" * 1_200 + b"b\xffd\n" + b"good\n")
        done = cli("token", "import", "bytes.csv", "--failed", "left.jsonl")
        assert (done.code, done.json) == (ExitCode.INCOMPLETE, {"created": 1_201, "refused": 1, "rows": 1_202})
        assert "line 1202: is not UTF-8 in the column text" in done.err

    def test_broken_tables(self, cli: CommandLine) -> None:
        cli.write("cells.csv", 'text,n\none,1,2\ntwo\nthree,3\nfour,4,"\n')
        done = cli("token", "import", "cells.csv")
        assert done.code == ExitCode.REFUSED  # FINDINGS D5: the rows before it are stored, so it is no mistake of usage
        assert done.json == {"created": 1, "refused": 2, "rows": 3}
        assert "line" in done.err
        cli.write("cells.csv", "text,n,metadata\none,1,{},2\ntwo\nthree,3,{\nfour,4,\n")
        done = cli("token", "import", "cells.csv")
        assert (done.code, done.json["created"], done.json["refused"]) == (ExitCode.INCOMPLETE, 1, 3)

    def test_only_a_few_are_told(self, cli: CommandLine) -> None:
        done = cli("token", "import", "-", stdin="[]\n" * 50)
        assert done.json["refused"] == 50
        assert "and 40 more" in done.err


class TestInterruptedServers:
    def test_an_import_that_breaks_off_says_how_to_go_on(self, tmp_path: Path) -> None:
        stored: list[str] = []

        def store(request: Arrived) -> Reply:
            rows = request.json["tokens"]
            stored.extend(row["text"] for row in rows)
            return Reply(201, {"tokens": [token_body(n + 1, text=row["text"]) for n, row in enumerate(rows)]})

        rows = [f"row {n}" for n in range(2500)]
        with ScriptedServer() as server:
            line = CommandLine(server.url, tmp_path)
            line.write("a.txt", "\n".join(rows))
            server.on("GET", "/api/v1/limits", Reply(404))
            server.on("POST", BATCH, store, Reply(500), store)
            key = {"NEUROGRAPH_API_KEY": "k"}
            broken = line("token", "import", "a.txt", environ=key)
            assert (broken.code, broken.json["rows"]) == (ExitCode.SERVER_FAILED, 1000)
            assert "continue with --skip 1000" in broken.err
            server.on("POST", BATCH, store)
            assert line("token", "import", "a.txt", "--skip", "1000", environ=key).json["created"] == 1500
        assert stored == rows

    def test_refused_credentials_stop_at_once(self, tmp_path: Path) -> None:
        with ScriptedServer() as server:
            line = CommandLine(server.url, tmp_path)
            server.on("POST", BATCH, Reply(403))
            done = line(
                "token", "import", "-", "--format", "text", stdin="a\n" * 99, environ={"NEUROGRAPH_API_KEY": "k"}
            )
            assert (done.code, server.count("POST", BATCH)) == (ExitCode.NOT_ALLOWED, 1)

    def test_an_export_that_breaks_off_leaves_the_old_file(self, tmp_path: Path) -> None:
        with ScriptedServer() as server:
            line = CommandLine(server.url, tmp_path)
            old = line.write("a.jsonl", "old\n")
            half = Reply(raw=b'{"id": 1, "text": "a", "embedding": []}\n', headers={"Content-Length": "999"})
            server.on("GET", "/api/v1/tokens/export", half)
            done = line("token", "export", "a.jsonl", "--timeout", "0.5", environ={"NEUROGRAPH_API_KEY": "k"})
            assert done.code in (ExitCode.NO_CONNECTION, ExitCode.TIMED_OUT)
            assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
            assert old.read_text() == "old\n"
