"""Log lines on their way to a stream: those of single calls are gathered for a moment, so that calls never wait."""

import atexit
import threading
from collections import deque
from typing import Final, TextIO

_MOMENT_SECONDS: Final = 0.2


class GatheredLines:
    """What structlog calls a logger: takes rendered lines, those of warnings and above at once.

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
            pause.wait(_MOMENT_SECONDS)
            # Before the writing: a line that comes after it sets the flag again.
            self._some.clear()
            self.write()
