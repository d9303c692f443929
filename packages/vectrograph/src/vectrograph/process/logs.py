"""Logging: structlog for own lines, one formatter for those of libraries, human on a terminal and JSON
otherwise.
"""

import atexit
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, TextIO, TypeAlias

import msgspec
import structlog

from vectrograph.settings import LogFormat, LogLevel

Processor = structlog.typing.Processor

# Libraries that log each start and migration at INFO, into the log of a program that only uses `running`.
_CHATTY_LIBRARIES = ("alembic", "uvicorn")


def configure(level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send this process's log lines to `stream` (default: standard error). Called by the command line only."""
    out = stream if stream is not None else sys.stderr
    human = form is LogFormat.HUMAN or (form is LogFormat.AUTO and out.isatty())
    shared = _shared_processors()
    renderer = _renderer(human, out)
    number = logging.getLevelNamesMapping()[level.value.upper()]
    structlog.configure(
        processors=[*shared, *([] if human else [structlog.processors.format_exc_info]), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_named(structlog.WriteLoggerFactory(file=out) if human else _gathering(out)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if human else [structlog.processors.format_exc_info]),
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _gathering(out: TextIO) -> Callable[..., "GatheredLines"]:
    """Return all loggers share one gathering of lines: their order is kept."""
    lines = GatheredLines(out)
    return lambda *_: lines


class _Named:
    """A logger of structlog that knows the name it was asked for."""

    def __init__(self, logger: Any, name: str) -> None:
        self.name = name
        for method in ("debug", "info", "warning", "error", "exception", "critical"):
            setattr(self, method, getattr(logger, method))


def _named(factory: Callable[..., Any]) -> Callable[..., _Named]:
    return lambda *names: _Named(factory(), names[0] if names else "")


Listener: TypeAlias = Callable[[str, str, Mapping[str, Any]], None]
"""Is told of a line: name of the logger, level such as `info`, and its fields; `event` is the message."""
_listeners: list[Listener] = []


def listen(listener: Listener) -> Callable[[], None]:
    """Tell somebody of each line of the configured level, before it is written.

    Inside someone else's process these are the lines of structlog only.

    Returns:
        A function that ends it.
    """
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def _tell(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if _listeners:
        record = line.get("_record")
        name = record.name if isinstance(record, logging.LogRecord) else getattr(logger, "name", "")
        for listener in _listeners:
            listener(name, "error" if method == "exception" else method, line)
    return line


def configure_embedded(level: LogLevel | None = None) -> None:
    """Inside someone else's process: lines from this level up go to the standard logger `vectrograph`, and a host's own
    structlog set-up is left alone.

    Args:
        level: least severe line; warnings and errors only when absent, as before.
    """
    if structlog.is_configured() and not _embedded.done:
        return
    number = logging.WARNING if level is None else logging.getLevelNamesMapping()[level.value.upper()]
    _embedded.done = True
    logging.getLogger("vectrograph").setLevel(number)
    for name in _CHATTY_LIBRARIES:
        if logging.getLogger(name).level == logging.NOTSET:  # a level that the host program has set is left alone
            logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _tell,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_named(_StandardLogger),
    )


class _Embedded:
    """Return whether this module set structlog up, so that a second server may change its level."""

    done = False


_embedded = _Embedded()


def _StandardLogger(*_: Any) -> logging.Logger:  # noqa: N802  (structlog calls it as a class)
    return logging.getLogger("vectrograph")


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_color_message,
        _tell,
    ]


def _renderer(human: bool, out: TextIO) -> Processor:
    if human:
        # The default formatter prints local variables, credentials and bodies among them.
        return structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(serializer=_json)


def _json(event: object, **_: Any) -> str:
    """Ten times as fast as the standard library: every call leaves a line."""
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _drop_color_message(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Uvicorn repeats each message with terminal colours in it."""
    event.pop("color_message", None)
    return event


# Seconds that lines are gathered before they are written together. Chosen: whoever watches the log notices no delay.
_GATHER_SECONDS: Final = 0.2


class GatheredLines:
    """Logger of structlog that gathers rendered lines; warnings and above are written at once.

    Debug and info lines are written together after at most a fifth of a second, by a thread of its own: a write per
    call makes the thread that answers give up the interpreter, and costs more than the line. `kill -9` may lose that
    moment's lines; every other end writes them.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines: deque[str] = deque()
        self._writing = threading.Lock()
        self._some = threading.Event()
        threading.Thread(target=self._write_on, name="log-lines", daemon=True).start()
        atexit.register(self.write)

    def debug(self, line: str) -> None:
        """Take a line that may wait a moment."""
        self._lines.append(line)
        if not self._some.is_set():
            self._some.set()

    def error(self, line: str) -> None:
        """Write a line now, after those before it."""
        self._lines.append(line)
        self.write()

    info = debug
    warning = error
    exception = error
    critical = error
    msg = error

    def write(self) -> None:
        """Write what has been gathered."""
        with self._writing:
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            if lines:
                self._out.write("\n".join(lines) + "\n")
                self._out.flush()

    def _write_on(self) -> None:
        pause = threading.Event()
        while True:
            self._some.wait()
            pause.wait(_GATHER_SECONDS)
            # Before the writing: a line that comes after it sets the flag again.
            self._some.clear()
            self.write()
