"""`events`: tail."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._output import fields_of
from neurograph.cli._values import json_argument

if TYPE_CHECKING:
    from neurograph._resources.event_stream import EventStream
    from neurograph.models import Event

app = typer.Typer(help="What happens on the server.", no_args_is_help=True, add_completion=False)


@app.callback()
def events() -> None:
    """Show what happens on the server."""


@app.command()
@connected
def tail(
    invocation: Invocation,
    channels: Annotated[
        str,
        typer.Argument(
            metavar="[CHANNELS]",
            help="Separated by commas: tokens, collection:NAME, collections, metrics, status, signals, actions, logs, "
            "connections.",
        ),
    ] = "tokens",
    filter: Annotated[
        str | None, typer.Option("--filter", help="Only points that match: a JSON object, @file, or -.")
    ] = None,
    include: Annotated[str, typer.Option("--include", help="payload, text, or both with a comma.")] = "",
    since: Annotated[
        str | None, typer.Option("--since", help="Position to go on from, or oldest. Default: now.")
    ] = None,
) -> None:
    """Show events as they happen, until Ctrl-C; then the --since that goes on from there."""
    condition = json_argument(filter, "--filter", dict)
    with invocation.client.events.subscribe(channels, filter=condition, include=include, since=since) as stream:
        place = _Place(stream, invocation)
        with place.told():
            for event in stream:
                with place.kept():
                    invocation.output.event(fields_of(event), _line(event))


class _Place:
    """The position after everything that was written: an event that was not is to come again."""

    def __init__(self, stream: "EventStream", invocation: Invocation) -> None:
        self._stream = stream
        self._invocation = invocation
        self._is_writing = False
        self._written = stream.position

    @contextmanager
    def kept(self) -> Generator[None, None, None]:
        """Write an event."""
        self._is_writing = True
        yield
        self._written = self._stream.position
        self._is_writing = False

    @contextmanager
    def told(self) -> Generator[None, None, None]:
        """Say how to go on, however it ends."""
        try:
            yield
        finally:
            position = self._written if self._is_writing else self._stream.position
            if position is not None:
                self._invocation.note({"position": position}, f"go on with: --since {position}")


def _line(event: "Event") -> str:
    """Return an event as a line for people."""
    moment = event.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    words = [moment, event.channel, event.type]
    rest: dict[str, Any] = dict(event.data)
    if event.point_id is not None:
        words.append(str(rest.pop("id")))
        words.append(f"v{rest.pop('version', '?')}")
    if rest:
        words.append(json.dumps(rest, ensure_ascii=False))
    return "  ".join(words)
