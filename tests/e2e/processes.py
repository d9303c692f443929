"""The server as a real process, for tests that kill it, stop it, or read what it prints."""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VECTROGRAPH = str(Path(sys.executable).with_name("vectrograph"))
FREE_PORTS = ("--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0")


class ServerProcess:
    """A `vectrograph serve` of our own, with the lines it has logged so far; `open_files` is its hard limit."""

    def __init__(self, data: Path, *options: str, open_files: int | None = None, **environment: str) -> None:
        command = [VECTROGRAPH, "serve", "--data", str(data), *FREE_PORTS, "--log-format", "json", *options]
        self.process = subprocess.Popen(
            command if open_files is None else ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh", *command],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        assert self.process.stderr is not None
        self._stderr = self.process.stderr
        self._rest = b""
        self.lines: list[str] = []
        self._discarding: threading.Thread | None = None

    def read_until(self, word: str, seconds: float = 120) -> str:
        """Return the first line from here on that contains `word`."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._stderr, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                while b"\n" in self._rest:
                    line, _, self._rest = self._rest.partition(b"\n")
                    self.lines.append(line.decode())
                    if word in self.lines[-1]:
                        return self.lines[-1]
                if selector.select(timeout=0.1):
                    chunk = os.read(self._stderr.fileno(), 65536)
                    if not chunk:
                        break
                    self._rest += chunk
        raise AssertionError(f"no line with {word!r}; got {self.lines} and {self._rest!r}")

    def serving(self) -> dict[str, Any]:
        """Return the parsed line that tells the addresses."""
        line: dict[str, Any] = json.loads(self.read_until('"serving"'))
        return line

    def discard_lines(self) -> None:
        """Throw away what is logged from here on: a pipe that nobody reads is full in the end, and stops the server."""

        def discard() -> None:
            while os.read(self._stderr.fileno(), 65536):
                continue

        self._discarding = threading.Thread(target=discard)
        self._discarding.start()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds: float = 20) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.kill()
        if self._discarding is not None:
            self._discarding.join()
        self._stderr.close()


@contextmanager
def serve(data: Path, *options: str, open_files: int | None = None, **environment: str) -> Iterator[ServerProcess]:
    """Provide a server process that is gone after the block."""
    process = ServerProcess(data, *options, open_files=open_files, **environment)
    try:
        yield process
    finally:
        process.close()
