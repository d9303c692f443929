"""Streams of events as server-sent events over HTTP. No I/O."""

from urllib.parse import urlencode

from neurograph._protocol import events
from neurograph._protocol.call import Call
from neurograph._protocol.events import Item, Position, SignOfLife, Subscription
from neurograph._protocol.server_sent_events import BareId, Comment, Message, Parser, ReconnectionTime, TooLongError
from neurograph.wire import Request, Response

_MEDIA_TYPE = "text/event-stream"


class SSEWire:
    """One answer with events.

    Args:
        subscription: what to ask for.
        position: where to begin; wins over that of the subscription.
        most_bytes: largest event.
    """

    pings = False

    def __init__(self, subscription: Subscription, position: str | None, most_bytes: int) -> None:
        fields = events.query(subscription)
        # Compressed events would wait in the compressor of a proxy.
        headers = {"Cache-Control": "no-store", "Accept-Encoding": "identity"}
        if position == events.OLDEST:
            fields["since"] = position
        elif position is not None:
            headers["Last-Event-ID"] = position
        target = f"{events.PATH}?{urlencode(fields)}"
        self._request = Request("GET", target, accept=_MEDIA_TYPE, headers=headers, streamed=True)
        self._parser = Parser(most_bytes)
        self._most_bytes = most_bytes
        self.is_open = False

    def call(self) -> Call[Response]:
        """Return the request that opens it."""
        return Call(self._request, lambda response: response)

    def opened(self, response: Response) -> None:
        """Read the head of the answer.

        Raises:
            InvalidResponseError: the answer is no stream of events.
        """
        kind = response.headers.get("content-type", "")
        if response.status != 200 or kind.partition(";")[0].strip().lower() != _MEDIA_TYPE:
            raise events.not_a_stream(response, f"the answer is {kind or 'nothing'} and not {_MEDIA_TYPE}")
        self.is_open = True

    def feed(self, piece: bytes) -> list[Item]:
        """Take the next piece; returns what it completes.

        Raises:
            InvalidResponseError: this is no event.
        """
        try:
            found = self._parser.feed(piece)
        except TooLongError as error:
            raise events.too_long(self._request, str(error), self._most_bytes) from error
        return [read for item in found if (read := self._read(item)) is not None]

    def outgoing(self) -> bytes:
        """Return nothing: an answer is only read."""
        return b""

    def ping(self) -> None:
        """Do nothing: the server sends heartbeats."""

    def _read(self, item: Message | BareId | ReconnectionTime | Comment) -> Item | None:
        if isinstance(item, Comment):
            return SignOfLife()
        if isinstance(item, ReconnectionTime):
            return events.hint(item.milliseconds)
        if isinstance(item, BareId):
            return Position(item.id) if item.id else None
        frame = events.parsed(item.data, self._request)
        if item.event in ("", "message"):
            return events.event({**frame, "id": item.id or None}, self._request)
        if item.event == "dropped":
            return events.event(events.missed(frame), self._request)
        if item.event == "end":
            return events.end(frame)
        return None  # a control frame of a later server
