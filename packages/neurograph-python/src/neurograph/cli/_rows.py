"""Files of tokens, row by row: JSON lines, CSV and TSV, and plain text."""

import csv
import io
import json
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

from neurograph.exceptions import ConfigurationError, ValidationError

_IGNORED = frozenset({"id", "created_at", "updated_at"})
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # byte order marks, as bytes that are not UTF-8 are read
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".text": "text",
}


class RowFormat(str, Enum):
    """Format of a file of tokens."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    TEXT = "text"


class Row(dict[str, Any]):
    """One token to be created, which knows where it came from.

    Attributes:
        line: in its file, from 1; the last one where a row spans several.
        problem: why it is no token; None when it may be one.
        raw: what stands in the file, of a row with a problem.
    """

    def __init__(self, line: int, fields: dict[str, Any], problem: str | None = None, raw: Any = None) -> None:
        super().__init__(fields)
        self.line = line
        self.problem = problem
        self.raw = raw

    def encoded(self) -> bytes:
        """Return the row as a line of JSON; one that is no token as an object of its line, its problem and its content.

        >>> Row(3, {}, "is not JSON", "{").encoded()
        b'{"line": 3, "problem": "is not JSON", "raw": "{"}\\n'
        """
        whole = dict(self) if self.problem is None else {"line": self.line, "problem": self.problem, "raw": self.raw}
        try:
            return json.dumps(whole, ensure_ascii=False).encode() + b"\n"
        except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
            return json.dumps(whole).encode() + b"\n"


class BrokenTable(ValidationError):
    """A table of which nothing can be read from some row on; all rows before it were given."""


def format_of(name: str, chosen: RowFormat | None) -> RowFormat:
    """Return the format of a file: as chosen, else by the end of its name; JSON lines on standard input.

    Raises:
        ConfigurationError: the name says nothing.

    >>> format_of("notes.txt", None).value, format_of("-", None).value
    ('text', 'jsonl')
    """
    if chosen is not None:
        return chosen
    if name == "-":
        return RowFormat.JSONL
    known = _SUFFIXES.get(Path(name).suffix.lower())
    if known is None:
        raise ConfigurationError(
            f"{name}: the format is not clear from the file extension; pass --format jsonl, csv, tsv or text"
        )
    return RowFormat(known)


@contextmanager
def opened(name: str) -> Generator[BinaryIO, None, None]:
    """Provide a file to read bytes from, or standard input for `-`.

    Raises:
        ConfigurationError: it cannot be opened.
    """
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below; only opening may be the caller's mistake
    except OSError as error:
        raise ConfigurationError(f"cannot read {name}: {error.strerror or error}") from error
    with file:
        yield file


def read_rows(file: BinaryIO, kind: RowFormat, text_column: str = "text") -> Iterator[Row]:
    """Yield the rows of a file, read as they are needed; blank lines are left out.

    JSON lines are objects with `text` and optionally `metadata` and `embedding`, or bare strings. A table has a header;
    its column `text_column` is the text, `metadata` and `embedding` hold JSON, and every other column becomes
    metadata, as text. What only a server makes (`id`, `created_at`, `updated_at`) is left out, and so is an empty
    embedding, which stands in an export without vectors: every export can be imported.

    Raises:
        ConfigurationError: a table has no column of that name, a column without a name or two of one name, or its
            header cannot be read.
        BrokenTable: the quoting of a row is broken, so that nobody knows where the next one begins.

    >>> [dict(row) for row in read_rows(io.BytesIO(b"text,lang\\nbonjour,fr\\n"), RowFormat.CSV)]
    [{'text': 'bonjour', 'metadata': {'lang': 'fr'}}]
    """
    if kind in (RowFormat.CSV, RowFormat.TSV):
        return _table(file, "," if kind is RowFormat.CSV else "\t", text_column)
    return _lines(file, _json_row if kind is RowFormat.JSONL else _text_row)


def _lines(file: Iterable[bytes], parse: Any) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        raw = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Row(number, {}, f"is not UTF-8: {error}", raw.decode("utf-8", "backslashreplace").rstrip("\r\n"))
            continue
        yield parse(number, text)


def _text_row(number: int, text: str) -> Row:
    return Row(number, {"text": text})


def _json_row(number: int, text: str) -> Row:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"is not JSON ({error}); plain lines need --format text", text)
    if isinstance(value, str):
        return Row(number, {"text": value})
    if not isinstance(value, dict):
        return Row(number, {}, f"is {type(value).__name__}; expected an object with text, or a string", value)
    return Row(
        number,
        {name: member for name, member in value.items() if name not in _IGNORED and not _is_left_out(name, member)},
    )


def _is_left_out(name: str, member: Any) -> bool:
    """Return whether a member is the empty embedding of an export without vectors."""
    return name == "embedding" and member == []


def _table(file: BinaryIO, delimiter: str, text_column: str) -> Iterator[Row]:
    # A byte that is not UTF-8 becomes a lone surrogate, so that it is a problem of its row alone.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text, delimiter=delimiter, strict=True, restkey="", restval=None)
    begun = 1
    csv.field_size_limit(2**31 - 1)  # a text may be longer than the 128 KiB that the module allows a cell
    try:
        _check_header(list(reader.fieldnames or []), text_column)
        begun = reader.line_num + 1
        for cells in reader:
            yield _table_row(reader.line_num, cells, text_column)
            begun = reader.line_num + 1
    except csv.Error as error:
        if begun == 1:
            raise ConfigurationError(f"the header of the table cannot be read: {error}") from error
        raise BrokenTable.of(f"line {begun}", f"and all later lines cannot be read as a table: {error}") from error
    finally:
        text.detach()  # whoever opened the file closes it


def _check_header(names: list[str], text_column: str) -> None:
    """Refuse a header under which cells would be lost: two columns of one name, one without a name, or no text.

    Raises:
        ConfigurationError: it is such a header.
    """
    if names and names[0].startswith(_UTF_16):
        raise ConfigurationError("the table is UTF-16; save it as UTF-8")
    if text_column not in names:
        shown = ", ".join(map(_visible, names)) or "none"
        raise ConfigurationError(f"the table has no column {text_column}; its columns are: {shown}; see --text-column")
    for place, name in enumerate(names, 1):
        if not name:
            raise ConfigurationError(f"column {place} of the table has no name; name it in the first line or remove it")
        if name in names[: place - 1]:
            raise ConfigurationError(f"the table has two columns {_visible(name)}; rename or remove one")


def _table_row(line: int, cells: dict[str, Any], text_column: str) -> Row:
    row = _judged(line, dict(cells), text_column)
    if row.problem is not None:
        row.raw = {str(name): _visible(cell) for name, cell in cells.items()}
    return row


def _visible(cell: Any) -> Any:
    """Return a cell with bytes that are not UTF-8 spelled out."""
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if type(cell) is str else cell


def _judged(line: int, cells: dict[str, Any], text_column: str) -> Row:
    for name, cell in cells.items():
        if type(cell) is str and not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
            return Row(line, {}, f"is not UTF-8 in the column {name}")
    if "" in cells or None in cells.values():
        return Row(line, {}, "has a different number of cells than the header")
    fields: dict[str, Any] = {"text": cells.pop(text_column)}
    try:
        metadata = json.loads(cells.pop("metadata", None) or "null")
        embedding = json.loads(cells.pop("embedding", None) or "null")
    except (ValueError, RecursionError) as error:
        return Row(line, {}, f"has a cell with invalid JSON: {error}")
    rest = {name: cell for name, cell in cells.items() if name not in _IGNORED}
    if rest and not isinstance(metadata, (dict, type(None))):
        return Row(line, {}, "has metadata that is not an object")
    joined = {**(metadata or {}), **rest} if rest else metadata
    if joined is not None:
        fields["metadata"] = joined
    if embedding is not None and not _is_left_out("embedding", embedding):
        fields["embedding"] = embedding
    return Row(line, fields)


def problem_of(row: Row) -> ValidationError:
    """Return the error of a row that is no token."""
    return ValidationError.of(f"line {row.line}", row.problem or "is not a token")
