"""One attack measured: a fresh server, an attacker, a prober, and SIGTERM while the attack still goes on."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.target import attacked

CALM: Final = "nobody attacks"
"""The first measurement, with which the others are compared."""

ROOT: Final = Path(__file__).resolve().parents[2]
_LOOK_SECONDS: Final = 0.1
# A server that has not stopped by then is killed.
_STOP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The effect of one attack.

    Attributes:
        attack: its name.
        sent, refused, cut_off: requests or connections of the attacker, and what the server did to them.
        asked: probes.
        latencies: milliseconds of each answered probe, by kind.
        unanswered: reasons with their number, by kind.
        memory_before_mib, memory_mib: resident memory before the attack, and the most that there was.
        threads, descriptors: the most of the server.
        stop_seconds: from SIGTERM to the end.
        status: exit status of the server.
        broken: what ended the attack against its will; empty when nothing did.
    """

    attack: str
    sent: int
    refused: int
    cut_off: int
    asked: int
    latencies: dict[str, list[float]]
    unanswered: dict[str, dict[str, int]]
    memory_before_mib: float
    memory_mib: float
    threads: int
    descriptors: int
    stop_seconds: float
    status: int
    broken: str

    @property
    def answered(self) -> int:
        """Probes that were answered."""
        return sum(map(len, self.latencies.values()))

    def quantile(self, share: float) -> float:
        """Return the milliseconds that this share of all answered probes did not exceed; 0 when there were none."""
        ordered = sorted(latency for each in self.latencies.values() for latency in each)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Watcher:
    """The most that a process held while this was open."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before_mib = _kib(self._process, "VmRSS") / 1024
        self.memory_mib = self.before_mib
        self.threads = self.descriptors = 0

    def __enter__(self) -> Self:
        # The peak that the kernel keeps counts from here on, where it allows that.
        with suppress(OSError):
            (self._process / "clear_refs").write_text("5")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            over = self._over.wait(_LOOK_SECONDS)
            try:
                self.memory_mib = max(self.memory_mib, _kib(self._process, "VmHWM") / 1024)
                self.threads = max(self.threads, _kib(self._process, "Threads"))
                self.descriptors = max(self.descriptors, len(os.listdir(self._process / "fd")))
            except OSError:
                return  # the server has ended, which the probes tell
            if over:
                return


def measured(name: str, points: int, seconds: float, processors: set[int] | None) -> Measurement:
    """Measure one attack, or `CALM`, on a server of its own."""
    attack = ATTACKS.get(name)
    with tempfile.TemporaryDirectory(prefix="vectrograph-attack-") as folder:
        directory = Path(folder)
        with attacked(directory, points, processors, tls=attack is not None and attack.tls) as (server, target):
            file = directory / "target.json"
            file.write_text(target.to_json(), encoding="utf-8")
            file.chmod(0o600)
            with (
                _helper("prober", str(file), str(seconds)) as prober,
                _helper("attacker", name, str(file)) if attack else _nobody() as attacker,
            ):
                with Watcher(server.pid) as held:
                    if attacker is not None:
                        _tell(attacker)
                    _tell(prober)
                    probes = json.loads(_line(prober))
                done: dict[str, Any] = {"counts": {}, "broken": ""}
                if attacker is not None:
                    _tell(attacker)
                    done = json.loads(_line(attacker))
                # The attack goes on.
                began = time.monotonic()
                server.send_signal(signal.SIGTERM)
                try:
                    status = server.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    server.kill()
                    status = server.wait()
                stop_seconds = time.monotonic() - began
    counts = done["counts"]
    return Measurement(
        attack=name,
        sent=counts.get("sent", 0),
        refused=counts.get("refused", 0),
        cut_off=counts.get("cut off", 0),
        asked=probes["asked"],
        latencies={kind: [1e3 * each for each in found] for kind, found in probes["latencies"].items()},
        unanswered=probes["unanswered"],
        memory_before_mib=held.before_mib,
        memory_mib=held.memory_mib,
        threads=held.threads,
        descriptors=held.descriptors,
        stop_seconds=stop_seconds,
        status=status,
        broken=done["broken"],
    )


@contextmanager
def _nobody() -> Iterator[None]:
    yield None


@contextmanager
def _helper(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process of this bench and wait until it is ready; at the end its input is closed, and so it ends."""
    command = [sys.executable, "-m", f"benchmarks.attack.{module}", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            if (line := _line(process)) != "ready\n":
                raise RuntimeError(f"the {module} said {line!r} instead of being ready")
            yield process
        except BaseException:
            process.kill()
            raise


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process of this bench ended with status {process.wait()}; its reason is above")
    return line


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _kib(process: Path, name: str) -> int:
    """Return the number beside a name of a process's status."""
    for line in (process / "status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise OSError(f"{process} has no {name}")
