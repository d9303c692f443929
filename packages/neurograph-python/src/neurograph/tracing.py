"""OpenTelemetry spans for every attempt of every call. Needs the extra `opentelemetry`.

>>> from neurograph import NeuroGraphClient
>>> client = traced(NeuroGraphClient("http://localhost:8000", api_key="ng_key"))
>>> client.close()

There is one client span for each HTTP request, repeats and logins included, as the semantic conventions for HTTP want
it (https://opentelemetry.io/docs/specs/semconv/http/http-spans/): named after method and path template, a child of the
span that is current where the call was made. The context is sent along in the headers of the configured propagator
(`traceparent`), so that the server's spans become its children. No span holds a query string, a body or a credential.
The span of a streamed answer ends when the answer begins.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import overload
from urllib.parse import urlsplit

from neurograph._version import __version__
from neurograph.async_client import AsyncNeuroGraphClient
from neurograph.client import NeuroGraphClient
from neurograph.middleware import AsyncHandler, Handler
from neurograph.wire import Request, Response

try:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
except ImportError as error:
    raise ImportError(
        "neurograph.tracing needs OpenTelemetry: pip install 'neurograph-python[opentelemetry]'", name=error.name
    ) from error

_IDS = (
    (re.compile(r"(/tokens)/\d+"), r"\1/{token_id}"),
    (re.compile(r"(/api-keys)/[^/]+"), r"\1/{key_id}"),
)
_PORTS = {"http": 80, "https": 443}
# Smallest HTTP status that marks a span as failed, as OpenTelemetry's conventions for clients have it.
_MIN_ERROR_STATUS = 400


class Tracing:
    """Middleware that draws a span around every attempt of the synchronous client.

    Args:
        base_url: of the client, for the attributes `server.address`, `server.port` and `url.full`.
        tracer_provider: None means the global one.
    """

    def __init__(self, base_url: str, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("neurograph", __version__, tracer_provider)
        self._base_url = base_url
        parts = urlsplit(base_url)
        self._server: dict[str, str | int] = {
            "server.address": parts.hostname or "",
            "server.port": parts.port or _PORTS.get(parts.scheme, 0),
        }

    def __call__(self, request: Request, call_next: Handler) -> Response:
        """Send the request within a span of its own."""
        with self._span(request) as span:
            return _told(span, call_next(_carrying(request)))

    @contextmanager
    def _span(self, request: Request) -> Generator[Span, None, None]:
        path = request.target.partition("?")[0]
        template = _template(path)
        attributes: dict[str, str | int] = {
            **self._server,
            "http.request.method": request.method,
            "url.full": self._base_url + path,
            "url.template": template,
        }
        if request.attempt:
            attributes["http.request.resend_count"] = request.attempt
        if request.request_id is not None:
            attributes["neurograph.request_id"] = request.request_id
        name = f"{request.method} {template}"
        with self._tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                raise


class AsyncTracing(Tracing):
    """As Tracing, for the asynchronous client."""

    async def __call__(self, request: Request, call_next: AsyncHandler) -> Response:  # type: ignore[override]
        """Send the request within a span of its own."""
        with self._span(request) as span:
            return _told(span, await call_next(_carrying(request)))


@overload
def traced(client: NeuroGraphClient, tracer_provider: TracerProvider | None = None) -> NeuroGraphClient: ...


@overload
def traced(client: AsyncNeuroGraphClient, tracer_provider: TracerProvider | None = None) -> AsyncNeuroGraphClient: ...


def traced(
    client: NeuroGraphClient | AsyncNeuroGraphClient, tracer_provider: TracerProvider | None = None
) -> NeuroGraphClient | AsyncNeuroGraphClient:
    """Return a client that shares connections and login with the given one, and draws spans.

    The spans are outermost: they contain the work of all other middleware.

    Args:
        client: synchronous or asynchronous.
        tracer_provider: None means the global one.
    """
    kind = AsyncTracing if isinstance(client, AsyncNeuroGraphClient) else Tracing
    return client.with_options(middleware=[kind(client.base_url, tracer_provider), *client.middleware])


def _carrying(request: Request) -> Request:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    for name, value in carrier.items():
        request = request.with_header(name, value)
    return request


def _told(span: Span, response: Response) -> Response:
    span.set_attribute("http.response.status_code", response.status)
    if response.status >= _MIN_ERROR_STATUS:
        span.set_attribute("error.type", str(response.status))
        span.set_status(StatusCode.ERROR)
    return response


def _template(path: str) -> str:
    for pattern, replacement in _IDS:
        path = pattern.sub(replacement, path)
    return path
