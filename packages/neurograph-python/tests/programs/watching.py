"""Middleware, repeats, counts, spans and series, as a user writes them; checked, never run."""

from typing import assert_type

from neurograph import AsyncNeuroGraphClient, NeuroGraphClient
from neurograph.metrics import MetricsSnapshot
from neurograph.middleware import AsyncHandler, Handler
from neurograph.observation import Retry
from neurograph.prometheus import ClientCollector
from neurograph.tracing import traced
from neurograph.wire import Request, Response


def mark(request: Request, call_next: Handler) -> Response:
    return call_next(request.with_header("X-Team", "search"))


async def mark_async(request: Request, call_next: AsyncHandler) -> Response:
    response = await call_next(request)
    assert_type(response.status, int)
    return response


def tell(retry: Retry) -> None:
    assert_type(retry.attempt, int)
    assert_type(retry.pause, float)


def synchronous() -> None:
    with NeuroGraphClient("http://localhost:8000", on_retry=tell, middleware=[mark]) as client:
        assert_type(traced(client), NeuroGraphClient)
        assert_type(client.metrics.snapshot(), MetricsSnapshot)
        ClientCollector().watch(client, name="search")


async def asynchronous() -> None:
    async with AsyncNeuroGraphClient(on_retry=tell, middleware=[mark_async]) as client:
        assert_type(traced(client), AsyncNeuroGraphClient)
