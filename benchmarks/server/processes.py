"""Servers as processes of their own: started, asked for their addresses and their CPU time, and stopped."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        process: its process.
        facts: what it told when it was ready, such as its ports.
    """

    process: subprocess.Popen[bytes]
    facts: Mapping[str, Any]

    def cpu_seconds(self) -> float:
        """Return CPU time of all its threads so far, user and system; in steps of a hundredth on most systems."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def vectrograph(directory: Path) -> Iterator[Running]:
    """`vectrograph serve` with its defaults, on free ports; facts: `grpc` and `http`, addresses."""
    ports = ("--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0")
    # Not the installed script: this runs the code that is imported here, wherever that is.
    program = "from vectrograph.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(directory / "data"), *ports]
    with _started([*command, "--log-format", "json"], directory) as (process, log):
        line = _await_line(process, log, '"serving"')
        yield Running(process, json.loads(line))


@contextmanager
def chroma(directory: Path) -> Iterator[Running]:
    """`chroma run` over a directory, on a free port; facts: `port`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    program = "from chromadb.cli.cli import app; app()"
    command = [
        sys.executable,
        "-c",
        program,
        "run",
        "--path",
        str(directory / "chroma"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with _started(command, directory) as (process, _):
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the Chroma server did not start")
            time.sleep(0.05)
        yield Running(process, {"port": port})


@contextmanager
def baseline(name: str, directory: Path, *arguments: str) -> Iterator[Running]:
    """Provide one of this bench's own servers, `python -m benchmarks.server.NAME`; facts: `port` and what else
    it prints.
    """
    command = [sys.executable, "-m", f"benchmarks.server.{name}", *arguments]
    with _started(command, directory) as (process, log):
        yield Running(process, json.loads(_await_line(process, log, '"port"')))


@contextmanager
def _started(command: list[str], directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ}
        )
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_line(process: subprocess.Popen[bytes], log: Path, mark: str) -> str:
    """Return the first line of the log with a mark."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if mark in line and line.endswith("\n"):
                return line
        if process.poll() is not None:
            break
        time.sleep(0.02)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise RuntimeError(f"the server did not start: {' '.join(last)}")


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
