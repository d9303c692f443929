"""Serving the gateway: paths matched before they are decoded, bodies read as protocol buffers' JSON.

A part of a path is decoded after the path has been taken apart, so that an id may hold slashes and anything else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.domain.errors import InvalidArgument
from vectrograph.gateway.proto_json import read_message, read_query
from vectrograph.http.context import Application
from vectrograph.http.endpoint import Endpoint, Rendered, Request
from vectrograph.http.errors import MethodNotAllowed, RouteNotFound
from vectrograph.http.operation import Operation
from vectrograph.http.scope import raw_path
from vectrograph.http.workers import Workers

PREFIX: Final = b"/v1"
_TRANSLATED: Final = (b"grpc-metadata-content-type", b"application/grpc")


def is_gateway(scope: Scope) -> bool:
    """Tell whether a request is for the gateway, by its path as it was sent."""
    path = raw_path(scope)
    return path == PREFIX or path.startswith(PREFIX + b"/")


class GatewayEndpoint(Endpoint):
    """Serves one operation; the fields that the path names replace those of the body."""

    def _given(self, request: Request) -> Any:
        operation = self._operation
        kind = operation.frame if request.framed else operation.body
        if operation.query is not None:
            message = read_query(operation.query, request.query)
        elif kind is not None:
            message = read_message(kind, request.body, self._application.services.limits)
        else:
            return None
        return msgspec.structs.replace(message, **request.path)

    def _work(self, request: Request) -> Rendered:
        rendered = super()._work(request)
        rendered.headers.append(_TRANSLATED)
        return rendered


@dataclass(frozen=True, slots=True)
class Template:
    """A path of the table: its text, its parts by their places, and who answers each method."""

    path: str
    fixed: tuple[tuple[int, bytes], ...]
    varying: tuple[tuple[int, str], ...]
    endpoints: Mapping[str, GatewayEndpoint]

    @classmethod
    def of(cls, path: str, endpoints: Mapping[str, GatewayEndpoint]) -> "Template":
        """Build from a path of the table."""
        parts = list(enumerate(path[1:].split("/")))
        fixed = tuple((place, part.encode()) for place, part in parts if not part.startswith("{"))
        varying = tuple((place, part[1:-1]) for place, part in parts if part.startswith("{"))
        return cls(path, fixed, varying, endpoints)

    def match(self, parts: list[bytes]) -> dict[str, bytes] | None:
        """Return the parts that vary, still encoded, of a path with as many parts; None when this is another path."""
        for place, part in self.fixed:
            if parts[place] != part:
                return None
        found = {name: parts[place] for place, name in self.varying}
        return found if all(found.values()) else None


class Gateway:
    """Answers everything under `/v1` and hands the rest on."""

    def __init__(
        self, others: ASGIApp, operations: Iterable[Operation], application: Application, workers: Workers
    ) -> None:
        self._others = others
        paths: dict[str, dict[str, GatewayEndpoint]] = {}
        for operation in operations:
            endpoint = GatewayEndpoint(operation, application, workers)
            paths.setdefault(operation.path, {})[operation.method] = endpoint
        self._templates: dict[int, list[Template]] = {}
        for path, found in paths.items():
            self._templates.setdefault(path.count("/"), []).append(Template.of(path, found))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            RouteNotFound, MethodNotAllowed: there is no such path, or no such method of it.
            InvalidArgument: a part of the path is not UTF-8.
        """
        if scope["type"] != "http" or not is_gateway(scope):
            await self._others(scope, receive, send)
            return
        template, endpoint, found = self._find(scope["method"], raw_path(scope)[1:].split(b"/"))
        scope["route"] = template
        scope["path_params"] = {name: _decoded(name, part) for name, part in found.items()}
        await endpoint(scope, receive, send)

    def _find(self, method: str, parts: list[bytes]) -> tuple[Template, GatewayEndpoint, dict[str, bytes]]:
        """Return the first path of the table that has the method: an id may be called as a fixed part of
        another path.
        """
        candidates = self._templates.get(len(parts), ())
        matched = [(template, found) for template in candidates if (found := template.match(parts)) is not None]
        if not matched:
            raise RouteNotFound("There is no such path here.")
        for template, found in matched:
            if endpoint := template.endpoints.get(method):
                return template, endpoint, found
        raise MethodNotAllowed(f"This path has no method {method}.")


def _decoded(name: str, part: bytes) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument.of(name, "is not UTF-8 in the path; percent-encode its UTF-8 bytes") from error
