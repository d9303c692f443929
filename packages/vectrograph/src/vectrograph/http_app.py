"""Puts the HTTP application together: the table of routes inside, the middleware around it."""

from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Final

import msgspec
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.domain.addresses import Network
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.gateway.description import add_gateway
from vectrograph.gateway.endpoint import Gateway, is_gateway
from vectrograph.gateway.errors import gateway_error_answer
from vectrograph.gateway.routes import GATEWAY_OPERATIONS
from vectrograph.http.context import Application
from vectrograph.http.endpoint import Endpoint, PathEndpoint
from vectrograph.http.errors import ErrorAnswer, RouteNotFound
from vectrograph.http.middleware.access_log import AccessLog
from vectrograph.http.middleware.body_limit import BODY_SECONDS, BodyLimit
from vectrograph.http.middleware.failures import Failures
from vectrograph.http.middleware.forwarded import Forwarded
from vectrograph.http.middleware.host_allow_list import HostAllowList
from vectrograph.http.middleware.load_shedding import LoadShedder, Refusal
from vectrograph.http.middleware.media_type import MediaType
from vectrograph.http.middleware.origin_allow_list import OriginAllowList
from vectrograph.http.middleware.request_id import RequestId
from vectrograph.http.middleware.security_headers import SecurityHeaders
from vectrograph.http.operation import Operation
from vectrograph.http.scope import request_id_of
from vectrograph.http.workers import Workers
from vectrograph.live.websocket import WEBSOCKET, WebSocketEndpoint
from vectrograph.rest.errors import error_answer
from vectrograph.rest.routes import OPERATIONS
from vectrograph.services import Services
from vectrograph.services.limits.refusal_log import RefusalLog

_SENT: Final = (
    "Authorization",
    "Content-Type",
    "Last-Event-ID",
    "X-API-Key",
    "X-Request-ID",
    "X-Request-Timeout-Ms",
)
_READ: Final = ("X-Request-ID", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def build_http_app(
    services: Services,
    *,
    allowed_hosts: Sequence[str],
    version: str,
    trusted_proxies: Sequence[Network] = (),
    cors_origins: Sequence[str] = (),
    body_seconds: float = BODY_SECONDS,
    max_waiting: int = 1_024,
    placement: ThreadPlacement = ThreadPlacement(),  # noqa: B008 (it has no state)
) -> ASGIApp:
    """Return the REST API, WebSockets and Vectron's HTTP gateway as an ASGI application.

    It serves one event loop, on any number of ports.

    Args:
        services: the use cases behind it; its limits bound the bodies.
        allowed_hosts: names, without ports, that a Host header may carry. No wildcards.
        version: of the server, shown in the answers and in the OpenAPI document.
        trusted_proxies: whose `X-Forwarded-For` is believed.
        cors_origins: whose pages may call from a browser, such as `https://app.example`; none unless named.
        body_seconds: how long a body may take to arrive.
        max_waiting: requests that may wait for a thread; further ones are answered 503.
        placement: where threads run.
    """
    application = Application(services, version, _Document(version), error_answer)
    workers = Workers(max_waiting=max_waiting, placement=placement)
    routes: list[BaseRoute] = [WebSocketRoute(WEBSOCKET.path, WebSocketEndpoint(application, workers))]
    routes += _routes(OPERATIONS, application, workers)
    app: ASGIApp = Router(routes, redirect_slashes=False, default=_no_route)
    app = Gateway(app, GATEWAY_OPERATIONS, application, workers)
    app = MediaType(app)
    app = BodyLimit(app, services.limits.max_body_bytes, body_seconds)
    app = OriginAllowList(app, allowed_hosts, cors_origins)
    app = HostAllowList(app, allowed_hosts)
    refusals = RefusalLog("http")
    app = Failures(app, refusals, write_error)
    app = AccessLog(_for_browsers(app, cors_origins), services.health.count_request, services.traffic)
    app = Forwarded(app, trusted_proxies, services.development)
    refusal = _for_browsers(Refusal(refusals, services.health.count_request, write_error), cors_origins)
    app = LoadShedder(app, refusal, (*OPERATIONS, *GATEWAY_OPERATIONS), workers)
    return RequestId(app)


class _Document:
    """The OpenAPI document as JSON, made when it is first asked for: few servers ever are, and it takes 50 ms."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._made: bytes | None = None
        self._making = Lock()

    def __call__(self) -> bytes:
        """Return it; one caller makes it, and others wait."""
        with self._making:
            if self._made is None:
                from vectrograph.rest.openapi import openapi_document

                document = add_gateway(openapi_document(OPERATIONS, self._version), GATEWAY_OPERATIONS)
                self._made = msgspec.json.encode(document)
            return self._made


def write_error(error: Exception, scope: Scope) -> ErrorAnswer:
    """Write an error in the form of the API that the path of the request belongs to."""
    return gateway_error_answer(error) if is_gateway(scope) else error_answer(error, request_id_of(scope))


def _for_browsers(app: ASGIApp, cors_origins: Sequence[str]) -> ASGIApp:
    """Return a copy with the headers that keep pages from doing harm, and let those of named origins read the
    answer.
    """
    if cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=_SENT,
            expose_headers=_READ,
        )
    return SecurityHeaders(app)


def _routes(operations: Iterable[Operation], application: Application, workers: Workers) -> list[Route]:
    """Return one route per path, in the order of the table, so that a wrong method is told all that exist."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        endpoint = Endpoint(operation, application, workers)
        paths.setdefault(operation.path, {})[operation.method] = endpoint
    return [Route(path, PathEndpoint(endpoints)) for path, endpoints in paths.items()]


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:
    raise RouteNotFound("There is no such path here; /docs lists those that exist.", details={"docs": "/docs"})
