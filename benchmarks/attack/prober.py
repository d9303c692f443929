"""An ordinary caller while a server is attacked: `python -m benchmarks.attack.prober TARGET.json SECONDS`.

Prints `ready`, then one JSON line with what became of the probes. Every kind of probe is asked at fixed times, whether
or not earlier ones were answered, and its latency counts from that time: a server that stalls is late for all of them.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
import numpy as np

from benchmarks.attack.target import COLLECTION, DIMENSION, Target
from benchmarks.load.callers import HttpCaller, Outcome, Unexpected
from benchmarks.load.phases import PATIENCE_SECONDS
from vectrograph.rpc._pb import vectron_pb as pb

# Seconds between two probes of a kind.
_PERIOD: Final = 0.1
_TOP_K: Final = 10
_FILTER: Final = '{"path": "bucket", "eq": 3}'
# The first answers build what later ones use: code, a column for the filter, connections.
_WARM_UP_SECONDS: Final = 60.0

Probe: TypeAlias = Callable[[], Awaitable[Outcome]]


class Prober:
    """One caller with connections of its own, and what became of what it asked."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._context = target.tls()
        self._rest = HttpCaller(target, path=f"/api/v1/tokens/{target.token}", method="GET", context=self._context)
        self._channel: Any = _channel(target)
        self._call: Any = self._channel.unary_unary("/vectron.v1.VectronService/Search")
        vector = np.random.default_rng(1).standard_normal(DIMENSION, np.float32)
        search = pb.SearchRequest(collection=COLLECTION, vector=vector.tolist(), top_k=_TOP_K)
        filtered = pb.SearchRequest(collection=COLLECTION, vector=vector.tolist(), top_k=_TOP_K, filter_json=_FILTER)
        bodies = search.SerializeToString(), filtered.SerializeToString()
        self.probes: dict[str, Probe] = {
            "livez": self._livez,
            "REST get": self._rest.ask,
            "gRPC search": lambda: self._search(bodies[0]),
            "gRPC filtered search": lambda: self._search(bodies[1]),
        }
        self.latencies: dict[str, list[float]] = {name: [] for name in self.probes}
        self.unanswered: dict[str, Counter[str]] = {name: Counter() for name in self.probes}

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()
        await self._channel.close()

    async def warm_up(self) -> None:
        """Ask each probe once, and fail where one is not answered."""
        for name, probe in self.probes.items():
            async with asyncio.timeout(_WARM_UP_SECONDS):
                if (outcome := await probe()) is not Outcome.OK:
                    raise RuntimeError(f"{name} ended {outcome} before the attack")

    async def ask(self, name: str, due: float) -> None:
        """Ask one probe that is due now, and write down what became of it."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                outcome = await self.probes[name]()
        except TimeoutError:
            self.unanswered[name][f"no answer in {PATIENCE_SECONDS:g} s"] += 1
        except (Unexpected, OSError) as error:
            self.unanswered[name][str(error) or type(error).__name__] += 1
        else:
            if outcome is Outcome.OK:
                self.latencies[name].append(time.monotonic() - due)
            else:
                self.unanswered[name][outcome.value] += 1

    async def _livez(self) -> Outcome:
        """Ask on a new connection, as a supervisor does."""
        caller = HttpCaller(self._target, path="/livez", method="GET", context=self._context)
        try:
            return await caller.ask()
        finally:
            await caller.close()

    async def _search(self, body: bytes) -> Outcome:
        try:
            answer = await self._call(body, metadata=(("x-api-key", self._target.key),))
        except grpc.aio.AioRpcError as error:
            raise Unexpected(f"{error.code().name}: {error.details()}") from error
        found = len(pb.SearchResponse.FromString(answer).results)
        if found != _TOP_K:
            raise Unexpected(f"{found} hits")
        return Outcome.OK


def _channel(target: Target) -> Any:
    if not target.certificate:
        return grpc.aio.insecure_channel(target.grpc)
    return grpc.aio.secure_channel(target.grpc, grpc.ssl_channel_credentials(Path(target.certificate).read_bytes()))


async def probed(target: Target, seconds: float) -> dict[str, Any]:
    """Ask for so long, all kinds in turn, and return latencies in seconds and reasons of failures, by kind."""
    prober = Prober(target)
    try:
        await prober.warm_up()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        names = list(prober.probes)
        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while (due := began + number * _PERIOD / len(names)) < began + seconds:
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(prober.ask(names[number % len(names)], due))
                number += 1
    finally:
        await prober.close()
    return {
        "asked": number,
        "latencies": prober.latencies,
        "unanswered": {name: dict(reasons) for name, reasons in prober.unanswered.items() if reasons},
    }


def main(arguments: list[str]) -> None:
    """Probe until the time is over. It begins when a line comes on standard input."""
    target = Target.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    print(json.dumps(asyncio.run(probed(target, float(arguments[1])))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
