"""Entries that parts of the HTTP server leave for one another in the scope of a request."""

from typing import Final, Protocol

from starlette.types import Scope

from vectrograph.services.call import Origin

FAULTS: Final = "vectrograph.faults"
"""Key of the list that the connection puts a `RequestRefused` into, before or while the request is served."""
REQUEST_ID: Final = "vectrograph.request_id"
"""Key of the id that the request goes by in its answer and in log lines."""
CONNECTION: Final = "vectrograph.connection"
"""Key of the `StreamingConnection` that the request came over, where the connection is one."""
STREAMING: Final = "vectrograph.streaming"
"""Key that is there when the answer goes on for as long as its reader wants."""
TENANT: Final = "vectrograph.tenant"
"""Key of the tenant that the caller of the request belongs to, once the caller is known."""


class StreamingConnection(Protocol):
    """A connection, as an answer sees it that goes on for as long as its reader wants."""

    def begin_stream(self) -> None:
        """Wait for the reader: it is cut off only when it has taken nothing at all for a minute."""
        ...

    def abort(self) -> None:
        """Close at once; what was not taken is given up."""
        ...


def request_id_of(scope: Scope) -> str:
    """Return the id of the request, as the middleware `RequestId` set it."""
    return str(scope[REQUEST_ID])


def origin_of(scope: Scope) -> Origin:
    """Return where the request came from, and its id."""
    client = scope.get("client")
    return Origin("" if client is None else str(client[0]), request_id_of(scope))


def raw_path(scope: Scope) -> bytes:
    """Return the path as it was sent, still percent-encoded, without the query string."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.partition(b"?")[0]
