"""Measure the most that a server answers, offer it four times that, and say what became of it.

Fails when goodput falls under 80 % of the peak, memory grows by more than 256 MiB, a health probe fails, anything is
refused otherwise than with 429, 503 or RESOURCE_EXHAUSTED, or the server does not answer as before as soon as it is
over.

Who sends four times as much needs four times the processor, and where both share one that is taken from the server: the
peak would be measured against less load than the overload. So the server has all processors but the last and the
callers have that one, in every phase (where there is only one, nothing is divided, and that is said). What the callers
could not send in time is told, and a rate that they did not reach is no overload of that height.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.load.callers import Caller, GrpcCaller, HttpCaller, Outcome
from benchmarks.load.phases import Phase, closed, opened
from benchmarks.load.subject import Subject, divided, served

TIMES: Final = 4
LEAST_GOODPUT: Final = 0.8
LEAST_AFTERWARDS: Final = 0.8
LEAST_OFFERED: Final = 0.9
LEAST_PROCESSORS: Final = 0.95
MOST_GROWTH_MIB: Final = 256.0
_CALLERS: Final = (4, 8, 16)


def main() -> int:
    """Run both transports; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each overload; a third of it for each peak")
    parser.add_argument("--points", type=int, default=20_000, help="points to search")
    given = parser.parse_args()
    processors = divided()
    if processors is None:
        print("one processor: the callers share it with the server, and the figures are of both")
    kinds: dict[str, Callable[[Subject], Caller]] = {"REST": HttpCaller, "gRPC": GrpcCaller}
    with (
        tempfile.TemporaryDirectory(prefix="vectrograph-load-") as directory,
        served(Path(directory), given.points, 128, processors) as subject,
    ):
        asyncio.run(_fill_tokens(subject))
        problems = [
            f"{name}: {problem}"
            for name, make in kinds.items()
            for problem in asyncio.run(_measured(name, subject, make, given.seconds))
        ]
    for problem in problems:
        print(f"FAILED  {problem}")
    return bool(problems)


async def _fill_tokens(subject: Subject) -> None:
    from neurograph import AsyncNeuroGraphClient

    async with AsyncNeuroGraphClient(f"http://127.0.0.1:{subject.http_port}", api_key=subject.key) as client:
        await client.tokens.create_many([f"sentence {number} about files and sockets" for number in range(10_000)])


async def _measured(name: str, subject: Subject, make: Callable[[Subject], Caller], seconds: float) -> list[str]:
    caller = make(subject)
    try:
        await closed(subject, caller, 4, 1.0)
        peaks = {callers: await closed(subject, caller, callers, seconds / 3) for callers in _CALLERS}
        callers, best = max(peaks.items(), key=lambda item: item[1].goodput)
        before = subject.resident_mib()
        overload = await opened(subject, caller, TIMES * best.goodput, seconds, seconds / 3)
    finally:
        await caller.close()
    after = (await _recovered(subject, make, callers, seconds)).goodput
    print(
        f"{name}: peak {best.goodput:.0f} requests/s with {callers} callers (p50 {best.quantile(0.5) * 1e3:.0f} ms), "
        f"{best.processors:.2f} processors at work\n"
        f"  offered {TIMES}× ({overload.offered:.0f} requests/s sent): {overload.goodput:.0f} requests/s answered = "
        f"{overload.goodput / best.goodput:.0%} of peak, p50 {overload.quantile(0.5) * 1e3:.0f} ms, "
        f"p99 {overload.quantile(0.99) * 1e3:.0f} ms, {overload.processors:.2f} processors at work\n"
        f"  refused {overload.outcomes[Outcome.REFUSED]}, late {overload.outcomes[Outcome.LATE]}, "
        f"wrong {overload.outcomes[Outcome.WRONG]} {dict(overload.wrong) or ''}\n"
        f"  memory {before:.0f} → {overload.resident_mib:.0f} MiB at most; health: "
        f"{len(overload.health_latencies) - overload.health_failures} of {len(overload.health_latencies)} probes, "
        f"slowest {max(overload.health_latencies) * 1e3:.0f} ms\n"
        f"  afterwards {after:.0f} requests/s"
    )
    return _problems(best, overload, before, after)


async def _recovered(subject: Subject, make: Callable[[Subject], Caller], callers: int, seconds: float) -> Phase:
    caller = make(subject)
    try:
        return await closed(subject, caller, callers, seconds / 3)
    finally:
        await caller.close()


def _problems(best: Phase, overload: Phase, before: float, after: float) -> list[str]:
    found = []
    if overload.offered < LEAST_OFFERED * TIMES * best.goodput:
        found.append(f"the callers sent {overload.offered:.0f} requests/s, which is not {TIMES} times the peak")
    if overload.processors < LEAST_PROCESSORS * best.processors:
        found.append(
            f"the server had {overload.processors:.2f} processors instead of {best.processors:.2f}: something else ran "
            "on this machine, and these figures are no measurement"
        )
    if after < LEAST_AFTERWARDS * best.goodput:
        found.append(f"afterwards {after:.0f} requests/s were answered, under {LEAST_AFTERWARDS:.0%} of the peak")
    if overload.goodput < LEAST_GOODPUT * best.goodput:
        found.append(f"goodput {overload.goodput:.0f} is under {LEAST_GOODPUT:.0%} of {best.goodput:.0f}")
    if overload.resident_mib > before + MOST_GROWTH_MIB:
        found.append(f"memory grew from {before:.0f} to {overload.resident_mib:.0f} MiB")
    if overload.health_failures:
        found.append(f"{overload.health_failures} health probes failed")
    found += [
        f"{overload.outcomes[outcome]} requests ended {outcome.value}, neither answered nor refused"
        for outcome in (Outcome.WRONG, Outcome.LATE)
        if overload.outcomes[outcome]
    ]
    if not overload.outcomes[Outcome.REFUSED]:
        found.append("nothing was refused, so the load was no overload")
    return found


if __name__ == "__main__":
    sys.exit(main())
