"""The ways in which a stream of events may come."""

from collections.abc import Callable
from functools import partial
from typing import Any

from neurograph._protocol.events import Subscription, Wire
from neurograph._protocol.sse_wire import SSEWire
from neurograph.exceptions import ConfigurationError, ValidationError

SSE = "sse"
WEBSOCKET = "websocket"


def wire_of(transport: Any, subscription: Subscription, most_bytes: int) -> Callable[[str | None], Wire]:
    """Return what makes the wire of a connection that begins at a position.

    Raises:
        ValidationError: there is no such transport.
        ConfigurationError: it needs a package that is not installed.
    """
    if transport in (None, SSE):
        return partial(SSEWire, subscription, most_bytes=most_bytes)
    if transport == WEBSOCKET:
        try:
            from neurograph._protocol.websocket_wire import WebSocketWire
        except ImportError as error:
            raise ConfigurationError(
                'transport="websocket" needs the package websockets: pip install "neurograph-python[websocket]"',
                request_sent=False,
            ) from error
        return partial(WebSocketWire, subscription, most_bytes=most_bytes)
    raise ValidationError.of("transport", f"is {transport!r}; pass 'sse' or 'websocket'")
