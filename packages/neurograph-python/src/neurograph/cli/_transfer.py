"""`token import` and `token export`: whole files, with a progress bar, in bounded memory."""

import csv
import io
import json
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from neurograph._atomic_files import writing
from neurograph.cli._exits import ExitCode
from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._meter import Meter, metered
from neurograph.cli._output import printable
from neurograph.cli._rows import Row, RowFormat, format_of, opened, problem_of, read_rows
from neurograph.cli._values import json_argument
from neurograph.exceptions import ConfigurationError, NeuroGraphError, PayloadTooLargeError, ValidationError

if TYPE_CHECKING:
    from neurograph._bulk.results import FailedItem

# Settled as a whole before the next is begun, so that an interrupted import knows exactly how far it came.
_GROUP = 1_000
# Refused lines that are shown one by one: they fit on a screen; the others are counted.
_SHOWN_FAILURES = 10


@dataclass
class _Tally:
    """Progress of an import."""

    skipped: int = 0
    settled: int = 0
    created: int = 0
    refused: int = 0
    shown: list[tuple[int, str]] = field(default_factory=list)
    stopped: NeuroGraphError | None = None
    interrupted: bool = False
    torn: bool = False

    @property
    def rows(self) -> int:
        """Rows of the file that need no further attention, those skipped included."""
        return self.skipped + self.settled


@connected
def import_tokens(
    invocation: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="File to read; - reads standard input.")],
    format: Annotated[
        RowFormat | None,
        typer.Option(
            "--format", help="Format. Default: from the file extension; jsonl for standard input.", show_default=False
        ),
    ] = None,
    text_column: Annotated[str, typer.Option("--text-column", help="Column with the text, in CSV and TSV.")] = "text",
    skip: Annotated[
        int, typer.Option("--skip", help="Number of rows to skip, such as those stored by an earlier run.")
    ] = 0,
    failed: Annotated[
        Path | None, typer.Option("--failed", help="Write the refused rows to this file, as JSON lines.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Create a token for each row of a file: JSON lines, CSV, TSV, or one text per line.

    Invalid rows are reported and skipped (exit code 12). If the server stops responding, or after Ctrl-C, the import
    ends after the rows in progress, and prints how to continue.
    """
    kind = format_of(file, format)
    with opened(file) as source:
        rows = islice(read_rows(source, kind, text_column), skip, None)
        if failed is None:
            tally = _load(invocation, source, rows, skip, None, quiet)
        else:
            with writing(failed) as kept:
                tally = _load(invocation, source, rows, skip, kept, quiet)
    _report(invocation, tally, failed)


def _load(
    invocation: Invocation, source: BinaryIO, rows: Iterator[Row], skipped: int, kept: BinaryIO | None, quiet: bool
) -> _Tally:
    tally = _Tally(skipped=skipped)
    interruption = _Interruption()
    with metered(source, "importing", quiet) as meter, interruption.handling():
        try:
            while tally.stopped is None and not interruption.asked:
                group, broken = _next_group(rows)
                if broken is not None and not group and tally.rows == skipped:
                    raise broken
                if not group and broken is None:
                    return tally
                with interruption.finishing():
                    _store(invocation, group, tally, kept, meter)
                if broken is not None:
                    tally.stopped = broken
        except KeyboardInterrupt:
            tally.torn = interruption.asked
            interruption.asked = True
    tally.interrupted = interruption.asked
    return tally


def _next_group(rows: Iterator[Row]) -> tuple[list[Row], NeuroGraphError | None]:
    """Return the next rows, and the error that ends the file, if it comes behind them."""
    group: list[Row] = []
    try:
        group.extend(islice(rows, _GROUP))
    except NeuroGraphError as error:
        return group, error
    return group, None


def _store(invocation: Invocation, group: list[Row], tally: _Tally, kept: BinaryIO | None, meter: Meter) -> None:
    """Create the tokens of one group of rows."""
    good = [row for row in group if row.problem is None]
    refused: list[tuple[Row, NeuroGraphError]] = [(row, problem_of(row)) for row in group if row.problem is not None]
    before = tally.rows
    result = invocation.client.tokens.create_many(
        good, on_error="collect", keep_tokens=False, progress=lambda done, _: meter(before + done)
    )
    lost = [(good[failure.index], failure.error) for failure in result.failed if not _is_about_its_row(failure)]
    refused += [(good[failure.index], failure.error) for failure in result.failed if _is_about_its_row(failure)]
    tally.created += len(result.created_ids)
    tally.refused += len(refused)
    if lost:
        tally.stopped = lost[0][1]
        place = next(place for place, row in enumerate(group) if row is lost[0][0])
        tally.settled += place
        # Batches after the one that was lost may have been stored.
        behind = len(group) - place - len(lost) - sum(row.line > lost[0][0].line for row, _ in refused)
        tally.torn = tally.torn or behind > 0
    else:
        tally.settled += len(group)
    for row, error in sorted(refused, key=lambda pair: pair[0].line):
        if len(tally.shown) < _SHOWN_FAILURES:
            tally.shown.append((row.line, _reason(error)))
    if kept is not None:
        try:
            kept.writelines(row.encoded() for row, _ in (*refused, *lost))
            kept.flush()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            tally.stopped = tally.stopped or NeuroGraphError(f"the file for --failed cannot be written: {reason}")
    meter(tally.rows)


def _is_about_its_row(failure: "FailedItem") -> bool:
    return isinstance(failure.error, (ValidationError, PayloadTooLargeError))


def _reason(error: NeuroGraphError) -> str:
    problems = error.details.get("errors") if isinstance(error, ValidationError) else None
    if not isinstance(problems, list) or not problems or not isinstance(problems[0], dict):
        return error.message
    place = str(problems[0].get("field", "")).split(".", 2)
    named = f"{place[2]} " if len(place) == 3 and place[0] == "tokens" else ""
    return f"{named}{problems[0].get('message', error.message)}"


def _report(invocation: Invocation, tally: _Tally, failed: Path | None) -> None:
    """Tell what became of an import, and ends with the exit code that says so.

    Raises:
        NeuroGraphError: what stopped it.
    """
    facts = {"created": tally.created, "refused": tally.refused, "rows": tally.rows}
    sentence = f"created {tally.created} tokens"
    if tally.refused:
        sentence += f", refused {tally.refused} rows"
    invocation.output.done(facts, sentence)
    for line, reason in tally.shown:
        print(f"  line {line}: {printable(reason)}", file=sys.stderr)
    if tally.refused > len(tally.shown):
        print(f"  and {tally.refused - len(tally.shown)} more", file=sys.stderr)
    if failed is not None and (tally.refused or tally.stopped):
        print(f"The refused rows are in {failed}.", file=sys.stderr)
    if tally.torn:
        print(f"Up to {_GROUP} later rows may be stored as well.", file=sys.stderr)
    if tally.stopped is not None or tally.interrupted:
        print(f"Stopped after {tally.rows} rows; continue with --skip {tally.rows}", file=sys.stderr)
    if tally.stopped is not None:
        raise tally.stopped
    if tally.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if tally.refused:
        raise typer.Exit(ExitCode.INCOMPLETE)


class _Interruption:
    """Handler of Ctrl-C during an import: it ends at once between groups of rows, and after the group under way
    otherwise; the second one ends it at once.

    Attributes:
        asked: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._busy = False

    @contextmanager
    def handling(self) -> Generator[None, None, None]:
        """Listen to Ctrl-C."""
        before = signal.signal(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def finishing(self) -> Generator[None, None, None]:
        """Put the first Ctrl-C off to the end of the block."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._busy:
            raise KeyboardInterrupt
        self.asked = True
        print("\nfinishing the rows in progress; press Ctrl-C again to stop at once", file=sys.stderr)


@connected
def export_tokens(
    invocation: Invocation,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="File to write; - is standard output.")] = "-",
    format: Annotated[
        RowFormat | None,
        typer.Option("--format", help="jsonl or csv. Default: from the file extension.", show_default=False),
    ] = None,
    filter: Annotated[
        str | None, typer.Option("--filter", help="Only tokens whose metadata match (JSON, or @file).")
    ] = None,
    without_embedding: Annotated[bool, typer.Option("--without-embedding", help="Do not export vectors.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Export all tokens in ascending order of id, for `token import`. The file appears when it is complete."""
    kind = format_of(file, format)
    if kind not in (RowFormat.JSONL, RowFormat.CSV):
        raise ConfigurationError(f"an export cannot be {kind.value}; pass --format jsonl or csv")
    chosen: dict[str, Any] = {
        "filter": json_argument(filter, "--filter", dict),
        "include": ("text", "metadata") if without_embedding else None,
    }
    target = sys.stdout.buffer if file == "-" else file
    with metered(None, "exporting", quiet or file == "-") as meter:
        if kind is RowFormat.CSV:
            count = _write_table(invocation, target, chosen, meter, not without_embedding)
        else:
            with writing(target) as place:
                count = invocation.client.tokens.export(cast(BinaryIO, _Counting(place, meter)), **chosen)
    if file != "-":
        invocation.output.done({"exported": count, "file": file}, f"exported {count} tokens to {file}")


class _Counting(io.RawIOBase):
    """A file that counts the lines written into it."""

    def __init__(self, file: BinaryIO, meter: Meter) -> None:
        self._file = file
        self._meter = meter
        self._count = 0

    def write(self, data: Any) -> int:
        """Write one line."""
        self._count += 1
        self._meter(self._count)
        return self._file.write(data)


def _write_table(
    invocation: Invocation, target: str | BinaryIO, chosen: dict[str, Any], meter: Meter, vectors: bool
) -> int:
    columns = ["id", "text", "metadata", *(["embedding"] if vectors else []), "created_at"]
    count = 0
    with writing(target) as place:
        text = io.TextIOWrapper(place, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, columns, extrasaction="ignore")
        writer.writeheader()
        for count, token in enumerate(invocation.client.tokens.stream(**chosen), 1):
            fields = token.model_dump(mode="json")
            for name in ("metadata", "embedding"):
                fields[name] = json.dumps(fields[name], ensure_ascii=False) if fields[name] else None
            writer.writerow(fields)
            meter(count)
        text.flush()
        text.detach()
    return count
