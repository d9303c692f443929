"""Only requests that name this server.

A web page that points a host name of its own at a loopback address is refused here.
"""

import re
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.http.errors import HostNotAllowed

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]@/\s]+)(?::[0-9]{1,5})?")


class HostAllowList:
    """Compares the Host header, without its port, with names given in advance."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(plain_name(name) for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through when its host is one of the names.

        Raises:
            HostNotAllowed: it is not, or there is not exactly one Host header.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name(hosts[0].decode("latin-1")) not in self._names:
            raise HostNotAllowed(
                "The Host header names no host of this server; call it by a name it knows, "
                "or add the name to its setting `allowed_hosts`."
            )
        await self._app(scope, receive, send)


def host_name(header: str) -> str | None:
    """Return the name in a Host header, lower case, without port and brackets; None when it is malformed.

    >>> host_name("LocalHost:8000"), host_name("[::1]:8000"), host_name("evil.example@localhost")
    ('localhost', '::1', None)
    """
    found = _HOST.fullmatch(header.strip().lower())
    return None if found is None else plain_name(found["name"])


def plain_name(name: str) -> str:
    """Return the name of a host without brackets and the dot at its end, lower case."""
    return name.lower().strip("[]").removesuffix(".")
