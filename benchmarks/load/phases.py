"""Load as it comes: a fixed number of callers who wait for each answer, or requests at a fixed rate who do not."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load.callers import Caller, HttpCaller, Outcome, Unexpected
from benchmarks.load.subject import Subject

PATIENCE_SECONDS: Final = 5.0
_HEALTH_PERIOD: Final = 0.25


@dataclass(slots=True)
class Phase:
    """Counts of a phase. Latencies are seconds, of answered requests; health of each probe; memory in MiB.
    `offered` is what was sent, a second; `processors` how many worked for the server, fewer than it can use where
    something else runs on the machine; `wrong` what came instead of an answer or a refusal.
    """

    seconds: float
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    health_latencies: list[float] = field(default_factory=list)
    health_failures: int = 0
    resident_mib: float = 0.0
    offered: float = 0.0
    processors: float = 0.0
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def goodput(self) -> float:
        """Requests answered in time, a second."""
        return self.outcomes[Outcome.OK] / self.seconds

    def quantile(self, share: float) -> float:
        """Return the latency that this share of the answered requests did not exceed; 0 when there were none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def closed(subject: Subject, caller: Caller, callers: int, seconds: float) -> Phase:
    """Callers who each wait for their answer before they ask again."""
    phase = Phase(seconds)
    used = subject.processor_seconds()
    end = time.monotonic() + seconds

    async def one() -> None:
        while time.monotonic() < end:
            await _counted(caller, phase, 0.0, end)

    await asyncio.gather(*(one() for _ in range(callers)))
    phase.processors = (subject.processor_seconds() - used) / seconds
    return phase


async def opened(subject: Subject, caller: Caller, rate: float, seconds: float, warm_up: float) -> Phase:
    """Send requests at a fixed rate, whether or not earlier ones are answered; the health is asked for meanwhile.

    What begins in the first `warm_up` seconds is not counted: that is when queues fill.
    """
    phase = Phase(seconds)
    used, began = subject.processor_seconds(), time.monotonic()
    counted_from, end = began + warm_up, began + warm_up + seconds
    watcher = asyncio.create_task(_watch(subject, phase, end))
    under_way: set[asyncio.Task[None]] = set()
    number = 0
    while (due := began + number / rate) < end:
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(_counted(caller, phase, counted_from, end))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
    took = time.monotonic() - began
    phase.offered, phase.processors = number / took, (subject.processor_seconds() - used) / took
    await asyncio.gather(*under_way)
    await watcher
    return phase


async def _counted(caller: Caller, phase: Phase, counted_from: float, end: float) -> None:
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            outcome = await caller.ask()
    except TimeoutError:
        outcome = Outcome.LATE
    except Unexpected as error:
        phase.wrong[str(error)] += 1
        outcome = Outcome.WRONG
    now = time.monotonic()
    if outcome is Outcome.OK and not counted_from <= now <= end:
        return
    if began >= counted_from or outcome is Outcome.OK:
        phase.outcomes[outcome] += 1
        if outcome is Outcome.OK:
            phase.latencies.append(now - began)


async def _watch(subject: Subject, phase: Phase, end: float) -> None:
    probe = HttpCaller(subject, path="/api/v1/health", method="GET")
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                outcome = await probe.ask()
        except TimeoutError:
            outcome = Outcome.LATE
        except Unexpected:
            outcome = Outcome.WRONG
        phase.health_failures += outcome is not Outcome.OK
        phase.health_latencies.append(time.monotonic() - began)
        phase.resident_mib = max(phase.resident_mib, subject.resident_mib())
        await asyncio.sleep(_HEALTH_PERIOD)
    await probe.close()
