"""Entries that parts of the HTTP server leave for one another in the scope of a request."""

from typing import Final

from starlette.types import Scope

FAULTS: Final = "vectrograph.faults"
"""Key of the list that the connection puts a `FramingRefused` into, before or while the request is served."""
REQUEST_ID: Final = "vectrograph.request_id"
"""Key of the id that the request goes by in its answer and in log lines."""
TENANT: Final = "vectrograph.tenant"
"""Key of the tenant that the caller of the request belongs to, once the caller is known."""


def request_id_of(scope: Scope) -> str:
    """Return the id of the request, as the middleware `RequestId` set it."""
    return str(scope[REQUEST_ID])


def raw_path(scope: Scope) -> bytes:
    """Return the path as it was sent, still percent-encoded, without the query string."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.partition(b"?")[0]
