"""`neurograph-cli` as a real process: with pipes, or on a terminal of its own."""

import fcntl
import io
import json
import os
import pty
import selectors
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from neurograph.cli._app import run

COMMAND = [sys.executable, "-W", "error", "-m", "neurograph.cli"]
DEVELOPER = {"NEUROGRAPH_USERNAME": "developer", "NEUROGRAPH_PASSWORD": "developer123"}


@dataclass(frozen=True)
class Done:
    """Output of a process, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The objects that it printed, one per line."""
        return [json.loads(line) for line in self.out.removesuffix("\n").split("\n") if self.out]


@dataclass(frozen=True)
class CommandLine:
    """Runs commands against a server, as `developer` unless the environment says otherwise."""

    url: str
    folder: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a command: none of the caller's settings of this library."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NEUROGRAPH_")}
        chosen = DEVELOPER if more is None else more
        return {**kept, "NEUROGRAPH_BASE_URL": self.url, "PYTHONUTF8": "0", **chosen}

    def __call__(self, *words: str, stdin: str | bytes = b"", environ: Mapping[str, str] | None = None) -> Done:
        """Run a command to its end, with pipes."""
        done = subprocess.run(
            [*COMMAND, *words],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=self.environment(environ),
            cwd=self.folder,
            timeout=60,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def write(self, name: str, text: str | bytes) -> Path:
        """Return a file in the folder that commands run in."""
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path


@dataclass(frozen=True)
class InProcess(CommandLine):
    """Runs commands in this process, which takes a tenth of the time."""

    def __call__(self, *words: str, stdin: str | bytes = b"", environ: Mapping[str, str] | None = None) -> Done:
        """Run a command to its end."""
        given = io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin)
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("NEUROGRAPH_")]:
                patch.delenv(name)
            for name, value in self.environment(environ).items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["neurograph-cli", *words])
            patch.setattr(sys, "stdin", io.TextIOWrapper(given))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = run()
            out.flush()
            err.flush()
        return Done(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


class Terminal:
    """A command on a terminal of its own; what a person would see and type."""

    def __init__(
        self,
        line: CommandLine,
        words: Sequence[str],
        environ: Mapping[str, str] | None = None,
        width: int = 100,
        stdin: int | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._master, selectors.EVENT_READ)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))

        # The child takes the terminal itself: Python code between fork and exec aborts where gRPC runs in this process.
        # Tests that a shell runs in the background ignore Ctrl-C, and so would what they start.
        take = "import fcntl, os, signal, sys, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0); "
        take += "signal.signal(signal.SIGINT, signal.SIG_DFL); "
        take += "os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", take, *COMMAND, *words],
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave,
            env={**line.environment(environ), "TERM": "xterm"},
            cwd=line.folder,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, words: str, seconds: float = 30) -> str:
        """Return everything seen so far, once these words are among it."""
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if not self._read_more():
                break
        assert words in self.seen, self.seen
        return self.seen

    def press(self, keys: str) -> None:
        """Types; a line ends with a carriage return."""
        os.write(self._master, keys.encode())

    def end(self, seconds: float = 30) -> int:
        """Wait for the end; returns the exit code."""
        deadline = time.monotonic() + seconds
        while self._read_more():
            assert time.monotonic() < deadline, self.seen
        return self.process.wait(seconds)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._selector.close()
        os.close(self._master)

    def _read_more(self) -> bool:
        if self._selector.select(0.1):
            try:
                self.seen += os.read(self._master, 65536).decode(errors="replace")
            except OSError:  # how Linux says that the other side has gone
                return False
        return True
