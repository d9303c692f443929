"""The server under load: a process of its own, with a collection to search."""

import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vectron_client import Point, VectronClient

COLLECTION: Final = "load"
_START_SECONDS: Final = 60.0
_FREE_PORTS: Final = ("--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0")


@dataclass(frozen=True, slots=True)
class Subject:
    """A running server: its process, addresses and a key that may do what a developer may."""

    pid: int
    http_port: int
    grpc_address: str
    key: str
    dimension: int

    def resident_mib(self) -> float:
        """Return memory that the process holds now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def processor_seconds(self) -> float:
        """Return time that processors have worked for the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def divided() -> set[int] | None:
    """Keep this process to its last processor, and return the others, for the server; None when there is but one."""
    *others, own = sorted(os.sched_getaffinity(0))
    if not others:
        return None
    os.sched_setaffinity(0, {own})
    return set(others)


@contextmanager
def served(
    directory: Path, points: int, dimension: int, processors: set[int] | None, *options: str
) -> Iterator[Subject]:
    """Serve a collection of random points out of a fresh directory, on these processors; None is all."""
    with started(directory, processors, *options) as (process, addresses):
        yield _prepared(process.pid, addresses, points, dimension)


@contextmanager
def started(
    directory: Path, processors: set[int] | None, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Start `vectrograph serve` over a fresh directory, on these processors; yields it and what it tells of itself."""
    command = [sys.executable, "-c", "from vectrograph.cli import main; main()", "serve", "--log-format", "json"]
    if processors is not None:
        # The server decides by its processors how many threads it begins, so they are set before it is.
        begin = f"import os; os.sched_setaffinity(0, {processors}); "
        command[2] = begin + command[2]
    with (directory / "log").open("wb") as log:
        # Without a buffer of this process: what lies there is not seen by `select`, nor passed on to `cat`.
        process = subprocess.Popen(
            [*command, "--data", str(directory / "data"), *_FREE_PORTS, *options],
            bufsize=0,
            stderr=subprocess.PIPE,
            stdout=log,
        )
    assert process.stderr is not None
    drain: subprocess.Popen[bytes] | None = None
    try:
        addresses = _addresses(process)
        # Its log goes on; what nobody reads would make it wait.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield process, addresses
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()
        if drain is not None:
            drain.wait(10)


def _addresses(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stderr is not None
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stderr], [], [], 1.0)
        line = process.stderr.readline() if ready else b""
        if b'"serving"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
    raise RuntimeError("the server did not come up")


def _prepared(pid: int, addresses: dict[str, Any], points: int, dimension: int) -> Subject:
    login = _post(f"{addresses['http']}/api/v1/auth/login", {"username": "developer", "password": "developer123"}, "")
    made = _post(f"{addresses['http']}/api/v1/api-keys", {"name": "load"}, login["access_token"])
    rows = np.random.default_rng(7).standard_normal((points, dimension), np.float32)
    with VectronClient(addresses["grpc"], api_key=made["api_key"]) as client:
        client.create_collection(COLLECTION, dimension, "cosine")
        client.upsert_batch(COLLECTION, [Point(id=str(n), vector=row) for n, row in enumerate(rows)], batch_size=2_000)
    port = int(str(addresses["http"]).rpartition(":")[2])
    return Subject(pid, port, addresses["grpc"], made["api_key"], dimension)


def _post(url: str, body: dict[str, Any], token: str) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310  (our own loopback URL)
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found
