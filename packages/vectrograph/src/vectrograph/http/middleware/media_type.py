"""Bodies are `application/json`, or vector frames where a route takes them, said so and not compressed.

A web page cannot send that to another origin without asking first, and nobody answers such a question here.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from vectrograph.http.errors import UnsupportedMediaType
from vectrograph.http.vector_frames import is_frame

_FRAMES: Final = ("/api/v1/", "/v1/")  # each route there says for itself whether it takes them
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class MediaType:
    """Looks at requests that write and have a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through when its body, if any, is JSON.

        Raises:
            UnsupportedMediaType: the body is of another type, of none, or compressed.
        """
        if scope["type"] == "http" and scope["method"] not in _READS:
            headers: dict[bytes, bytes] = dict(scope["headers"])
            if b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b" 0"):
                _require_type(headers, frames=scope["path"].startswith(_FRAMES))
        await self._app(scope, receive, send)


def _require_type(headers: dict[bytes, bytes], *, frames: bool) -> None:
    content_type = headers.get(b"content-type", b"")
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type != b"application/json" and not (frames and is_frame(content_type.decode("latin-1"))):
        raise UnsupportedMediaType(
            "The body must be JSON; send it with the header Content-Type: application/json.",
            details={"expected": "application/json"},
        )
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity":
        raise UnsupportedMediaType(
            "Compressed bodies are not accepted; send the body as it is, without Content-Encoding.",
            details={"expected": "identity"},
        )
