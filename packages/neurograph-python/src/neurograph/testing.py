"""Aids for tests of programs that use this library: clients without a server, and failures by script.

>>> client = MockNeuroGraphClient(seed=1)
>>> token = client.tokens.create(text="hello", metadata={"a": 1})
>>> [hit.token.id for hit in client.tokens.query(text="hello", top_k=1)], len(token.embedding)
([1], 768)

Streams of events deliver the changes that are made through the same mock:

>>> with client.events.subscribe("tokens", since="oldest") as events:
...     next(events).type
'created'

A mock is the real client: it encodes, decodes, checks and repeats as ever; only the network is replaced by a memory.
`FailureScript` puts failures before it, so that what a program makes of them can be tested as well.
"""

import time
from datetime import datetime, timezone
from typing import Any

from neurograph._mock_events import AsyncMockLine
from neurograph._mock_server import Memory
from neurograph.async_client import AsyncNeuroGraphClient
from neurograph.client import NeuroGraphClient
from neurograph.middleware import AsyncHandler, Handler
from neurograph.models import APIKey, Token
from neurograph.wire import Request, Response

# Components of an embedding of the clients for tests, unless they are told another number.
DIMENSION = 768


class FailureScript:
    """Middleware that fails as told, one step per attempt, and then lets everything through.

    Args:
        steps: a status is answered with, an exception is raised, None lets an attempt through.

    >>> script = FailureScript(503, None)
    >>> client = MockNeuroGraphClient(middleware=[script])
    >>> client.tokens.create(text="repeated").id, script.attempts
    (1, 2)
    """

    def __init__(self, *steps: int | Exception | None) -> None:
        self._steps = list(steps)
        self.attempts = 0

    def __call__(self, request: Request, call_next: Handler) -> Response:
        """Answers, raises, or lets the request through."""
        return self._failure(request) or call_next(request)

    def _failure(self, request: Request) -> Response | None:
        self.attempts += 1
        step = self._steps.pop(0) if self._steps else None
        if isinstance(step, Exception):
            raise step
        if step is None:
            return None
        body = b'{"success": false, "error": {"code": "SCRIPTED", "message": "a scripted failure", "details": {}}}'
        return Response(request, step, {}, body)


class AsyncFailureScript(FailureScript):
    """As FailureScript, for the asynchronous client."""

    async def __call__(self, request: Request, call_next: AsyncHandler) -> Response:  # type: ignore[override]
        """Answers, raises, or lets the request through."""
        return self._failure(request) or await call_next(request)


class MockNeuroGraphClient(NeuroGraphClient):
    """The synchronous client over a memory of its own.

    Args:
        seed: of the embeddings; the same seed and text give the same vector, here and in every run.
        dimension: components of an embedding.
        options: as of NeuroGraphClient, `middleware` included.
    """

    def __init__(self, *, seed: int = 0, dimension: int = DIMENSION, **options: Any) -> None:
        self.memory = Memory(seed, dimension)

        def remembered(request: Request, call_next: Handler) -> Response:
            return self.memory.answer(request)

        middleware = [*options.pop("middleware", ()), remembered]
        defaults: dict[str, Any] = {"base_url": "http://mock.invalid", "api_key": "ng_mock_client"}
        super().__init__(**{**defaults, **options}, middleware=middleware)


class AsyncMockNeuroGraphClient(AsyncNeuroGraphClient):
    """The asynchronous client over a memory of its own; arguments as of MockNeuroGraphClient."""

    def __init__(self, *, seed: int = 0, dimension: int = DIMENSION, **options: Any) -> None:
        self.memory = Memory(seed, dimension)

        async def remembered(request: Request, call_next: AsyncHandler) -> Response:
            return self.memory.answer(request, AsyncMockLine)

        middleware = [*options.pop("middleware", ()), remembered]
        defaults: dict[str, Any] = {"base_url": "http://mock.invalid", "api_key": "ng_mock_client"}
        super().__init__(**{**defaults, **options}, middleware=middleware)


def mock_neurograph_client(**options: Any) -> MockNeuroGraphClient:
    """Return a mock client; arguments as of MockNeuroGraphClient."""
    return MockNeuroGraphClient(**options)


def mock_token(**overrides: Any) -> Token:
    """Return a token as a server might send it.

    >>> mock_token(text="mine").text
    'mine'
    """
    fields = {"id": 1, "text": "mock token", "embedding": [0.1] * DIMENSION, "metadata": {}, "created_at": _now()}
    return Token.model_validate({**fields, **overrides})


def mock_api_key(**overrides: Any) -> APIKey:
    """Return an API key as a server might send it, with a secret that opens nothing.

    >>> mock_api_key(scopes=["tokens:read"]).scopes
    ['tokens:read']
    >>> mock_api_key().api_key
    'ng_mock_00000001'
    """
    fields = {"key_id": "key_00000001", "name": "mock key", "key_prefix": "ng_mock_", "created_at": _now()}
    return APIKey.model_validate({**fields, "scopes": [], "api_key": "ng_mock_00000001", **overrides})


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), timezone.utc)
