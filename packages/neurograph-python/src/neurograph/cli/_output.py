"""Output of commands: tables on a terminal, JSON otherwise or on request."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

Row = Mapping[str, Any]
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}
_MOMENTS = frozenset({"created_at", "updated_at", "expires_at", "last_used_at", "timestamp"})


class Format(str, Enum):
    """Form of the output: `auto` means tables on a terminal and JSON elsewhere."""

    AUTO = "auto"
    TABLE = "table"
    JSON = "json"


class Output:
    """Writes results to standard output.

    As JSON a single thing is one object, and a list is one object per line. Both are UTF-8, whatever the locale says.

    Args:
        chosen: format; `auto` looks at standard output.
    """

    def __init__(self, chosen: Format) -> None:
        self.is_json = chosen is Format.JSON or (chosen is Format.AUTO and not sys.stdout.isatty())
        if self.is_json:
            _speak_utf8()

    def thing(self, fields: Row) -> None:
        """Show one thing: an object, or a table of a line per field."""
        if self.is_json:
            _write_json(fields)
            return
        table = _table([""], header=False)
        table.add_column("", overflow="fold")
        for name, value in fields.items():
            table.add_row(_text(name, style="bold"), _text(_shown(name, value)))
        _draw(table)

    def things(self, rows: Iterable[Row], columns: Sequence[str], nothing: str) -> None:
        """Show a list: an object per line, or a table.

        Args:
            rows: as many as there are; as JSON they are written as they come.
            columns: of the table, in this order.
            nothing: what to say, on standard error, when a table would be empty.
        """
        if self.is_json:
            for row in rows:
                _write_json(row)
            return
        held = list(rows)
        if not held:
            print(nothing, file=sys.stderr)
            return
        table = _table(columns)
        for row in held:
            table.add_row(*(_text(_shown(column, row.get(column))) for column in columns))
        _draw(table)

    def event(self, fields: Row, line: str) -> None:
        """Show one of things that come one after the other, at once: an object, or a line."""
        if self.is_json:
            _write_json(fields)
        else:
            print(printable(line.replace("\n", " ")))
        sys.stdout.flush()

    def done(self, fields: Row, sentence: str) -> None:
        """Confirm an action that has no result of its own: an object, or a sentence."""
        if self.is_json:
            _write_json(fields)
        else:
            print(sentence)


def printable(text: str) -> str:
    r"""Return the text with control characters made visible, so that stored text cannot play tricks on the terminal.

    >>> print(printable("red\x1b[31m"))
    red\x1b[31m
    """
    return text.translate(_CONTROL)


def fields_of(model: "BaseModel", *, without: Sequence[str] = ()) -> dict[str, Any]:
    """Return a model as JSON values, unknown fields included."""
    return model.model_dump(mode="json", exclude=set(without))


def _write_json(fields: Row) -> None:
    sys.stdout.write(json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n")


def _speak_utf8() -> None:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", newline="\n")


def _table(columns: Sequence[str], header: bool = True) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, header_style="bold", pad_edge=False)
    for column in columns:
        numeric = column in ("id", "similarity", "distance")
        table.add_column(column, overflow="fold", justify="right" if numeric else "left", no_wrap=numeric)
    return table


def _text(value: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(value, style=style)


def _draw(table: Any) -> None:
    from rich.console import Console

    if sys.stdout.isatty():
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # a real terminal is a TextIOWrapper
        Console(file=sys.stdout).print(table)
    else:
        _speak_utf8()
        Console(file=sys.stdout, width=int(os.environ.get("COLUMNS", "120"))).print(table)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(_moment(value) if name in _MOMENTS else value)
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (dict, list)):
        return printable(json.dumps(value, ensure_ascii=False)) if value else ""
    return str(value)


def _moment(text: str) -> str:
    """Return a point in time to the second, in the reader's own time zone."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
