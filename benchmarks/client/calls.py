"""Figure `calls`: single calls beside bare httpx2 that sends and receives the same bytes and decodes nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, Final

import httpx2

from benchmarks.client.serving import CANNED, served
from neurograph import AsyncNeuroGraphClient, NeuroGraphClient

_KEY: Final = "ng_0123456789abcdef0123456789abcdef"
_TEXT: Final = "hello world"
_BODY: Final = b'{"text":"hello world"}'
_HEADERS: Final = {
    "User-Agent": "neurograph-python/0.60.0",
    "Accept": "application/json",
    "X-Request-Timeout-Ms": "30000",
    "X-Request-ID": "0" * 32,
    "Authorization": f"Bearer {_KEY}",
}
_WRITING: Final = {**_HEADERS, "Content-Type": "application/json", "Idempotency-Key": "0" * 32}
CALLS: Final = ("health.check", "tokens.get", "tokens.create")


def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    """Return requests/s and processor seconds per call: ours and bare, in turn, in one process.

    Args:
        count: calls of each in each round.
        rounds: whose median counts.

    Returns:
        A row for each call and each of the two worlds: `call`, `world`, and for both sides the medians `rate` (1/s)
        and `cpu` (seconds per call), with `ratio` of the two processor times, itself a median over rounds.
    """
    with served(CANNED) as url:
        synchronous = _synchronous(url, count, rounds)
        return synchronous + asyncio.run(_asynchronous(url, count, rounds))


def _synchronous(url: str, count: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    with NeuroGraphClient(url, api_key=_KEY) as client, httpx2.Client() as bare:
        tokens = f"{url}/api/v1/tokens"
        pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "health.check": (client.health.check, lambda: bare.get(f"{url}/api/v1/health", headers=_HEADERS)),
            "tokens.get": (lambda: client.tokens.get(7), lambda: bare.get(f"{tokens}/7", headers=_HEADERS)),
            "tokens.create": (
                lambda: client.tokens.create(_TEXT),
                lambda: bare.post(tokens, headers=_WRITING, content=_BODY),
            ),
        }
        for call in CALLS:
            measured = [tuple(_timed(side, count) for side in pairs[call]) for _ in range(rounds + 1)]
            rows.append(_row(call, "sync", measured[1:]))  # the first warms up
    return rows


async def _asynchronous(url: str, count: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    async with AsyncNeuroGraphClient(url, api_key=_KEY) as client, httpx2.AsyncClient() as bare:
        tokens = f"{url}/api/v1/tokens"
        pairs: dict[str, tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]]]] = {
            "health.check": (client.health.check, lambda: bare.get(f"{url}/api/v1/health", headers=_HEADERS)),
            "tokens.get": (lambda: client.tokens.get(7), lambda: bare.get(f"{tokens}/7", headers=_HEADERS)),
            "tokens.create": (
                lambda: client.tokens.create(_TEXT),
                lambda: bare.post(tokens, headers=_WRITING, content=_BODY),
            ),
        }
        for call in CALLS:
            ours, theirs = pairs[call]
            measured = [(await _awaited(ours, count), await _awaited(theirs, count)) for _ in range(rounds + 1)]
            rows.append(_row(call, "async", measured[1:]))
    return rows


def _timed(side: Callable[[], Any], count: int) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        side()
    return (time.process_time() - cpu) / count, count / (time.perf_counter() - wall)


async def _awaited(side: Callable[[], Awaitable[Any]], count: int) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        await side()
    return (time.process_time() - cpu) / count, count / (time.perf_counter() - wall)


def _row(call: str, world: str, measured: list[Any]) -> dict[str, Any]:
    ours, theirs = zip(*measured, strict=True)
    return {
        "call": call,
        "world": world,
        "ours": {"cpu": median(cpu for cpu, _ in ours), "rate": median(rate for _, rate in ours)},
        "bare": {"cpu": median(cpu for cpu, _ in theirs), "rate": median(rate for _, rate in theirs)},
        "ratio": median(mine[0] / other[0] for mine, other in measured),
    }
