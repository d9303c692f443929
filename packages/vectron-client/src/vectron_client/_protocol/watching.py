"""Watching a collection: its changes, over one call after the other. Pure."""

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from vectron_client._execution.call import Call, Request
from vectron_client._execution.feeds import Begin, Feed, SilenceError, Take
from vectron_client._execution.retries import RetryPlan
from vectron_client._pb.methods import VECTROGRAPH_SERVICE_METHODS
from vectron_client._pb.vectrograph_pb import WatchRequest, WatchResponse
from vectron_client._protocol.arguments import encode_filter, flag, text
from vectron_client._protocol.payloads import decode
from vectron_client._results import ChangedPoint, ChangeEvent
from vectron_client._wirekit.attempts import attempts
from vectron_client._wirekit.deadline import Deadline
from vectron_client._wirekit.flow import Flow
from vectron_client.exceptions import (
    DeadlineExceededError,
    FailedPreconditionError,
    UnavailableError,
    VectronError,
)
from vectron_client.filters import FilterLike

#: Seconds without an answer after which a call counts as broken: three heartbeats of the server.
SILENCE_SECONDS = 45.0
#: Where to begin, instead of a position: at the oldest change that the server holds.
OLDEST = "oldest"
_METHOD = VECTROGRAPH_SERVICE_METHODS["Watch"]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Watching:
    """A reader of the changes of a collection: where it is, and how it goes on when a call breaks.

    A call is opened again until that succeeds or is refused, with pauses in between that begin anew once something has
    come of a call besides its first answer. The next call begins where the last one broke off.

    Attributes:
        position: after everything that was given out; None before there is any.
        is_closed: whether nothing more will come.

    Args:
        collection: which.
        plan: of repeats.
        seconds: for opening a call; None for no limit.
        filter: which points events are wanted of.
        since: a position, `OLDEST`, or None for now.
        include_payload: bring payloads along.
        include_text: bring texts along.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    def __init__(
        self,
        collection: str,
        plan: RetryPlan,
        seconds: float | None,
        *,
        filter: FilterLike | None,
        since: str | None,
        include_payload: bool,
        include_text: bool,
    ) -> None:
        self._plan = plan
        self._seconds = seconds
        self._since = "" if since is None else text("since", since)
        self.position = None if since == OLDEST else since
        request = WatchRequest(
            collection=text("collection", collection),
            filter_json=encode_filter(filter),
            include_payload=flag("include_payload", include_payload),
            include_text=flag("include_text", include_text),
        )
        self._call = Call(_METHOD, request.SerializeToString(), _read)
        self.is_closed = False
        self._feed: Feed | None = None
        self._is_open = False
        self._is_reading = False
        self._has_progressed = False
        self._pending: deque[ChangeEvent] = deque()
        # After what is pending.
        self._end: str | None = None

    def ready(self) -> ChangeEvent | None:
        """Return the next event if it is here already."""
        if self.is_closed or self._is_reading or not self._pending:
            return None
        return self._deliver()

    def open(self) -> Flow[None]:
        """Open the first call: whatever happens from then on comes.

        Raises:
            VectronError: it could not be opened in time, or is refused.
        """
        if self._is_open or self.is_closed:
            return
        deadline = Deadline.after(self._seconds)
        policy = self._plan.policy(writes=False, named=False)
        with self._alone():
            yield from attempts(lambda: self._opened(deadline), policy, deadline, self._plan.spread)
        self._is_open = True

    def next(self) -> Flow[ChangeEvent | None]:
        """Wait for the next event; None when the reader was closed.

        Raises:
            VectronError: a call is refused, as when the credential was revoked or the collection dropped; the reader is
                closed then.
            FailedPreconditionError: another thread or task waits already.
        """
        yield from self.open()
        with self._alone():
            return (
                yield from attempts(
                    self._event,
                    self._plan.reopening,
                    Deadline.after(None),
                    self._plan.spread,
                    progressed=lambda: self._has_progressed,
                )
            )

    def close(self) -> None:
        """Give out nothing more. Another thread may call this, and a signal handler."""
        self.is_closed = True
        feed = self._feed
        if feed is not None:
            feed.cancel()

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        if self._is_reading:
            raise FailedPreconditionError(
                "another thread or task is waiting for the next change of this watch; make a watch for each"
            )
        self._is_reading = True
        try:
            yield
        except VectronError:
            self.is_closed = True
            raise
        finally:
            self._is_reading = False
            if self.is_closed:
                self._hang_up()

    def _event(self) -> Flow[ChangeEvent | None]:
        while not self.is_closed:
            if self._pending:
                return self._deliver()
            if self._feed is None or not self._feed.is_usable:
                yield from self._opened(Deadline.after(self._seconds))
            else:
                yield from self._receive(self._feed, SILENCE_SECONDS)
        return None

    def _deliver(self) -> ChangeEvent:
        event = self._pending.popleft()
        self.position = event.position if self._pending or self._end is None else self._end
        return event

    def _opened(self, deadline: Deadline) -> Flow[None]:
        """Begin a call and wait for its first answer, which has its position."""
        self._has_progressed = False
        if self.is_closed:
            return
        since = WatchRequest(since=self.position or self._since).SerializeToString()
        # Two encodings in a row are the encoding of both together.
        request = Request(_METHOD, self._call.body + since, self._seconds, gzip=self._plan.gzip)
        feed: Feed = yield Begin(request)
        self._feed = feed
        yield from self._receive(feed, deadline.timeout())
        self._has_progressed = bool(self._pending)

    def _receive(self, feed: Feed, seconds: float | None) -> Flow[None]:
        """Take note of the next answer; of none when the reader is closed meanwhile."""
        if self.is_closed:
            return
        try:
            answer: bytes | None = yield Take(feed, seconds)
            if answer is None and not self.is_closed:
                raise UnavailableError("the server ended Watch without an error")
            if answer is not None:
                self._note(self._call.result(answer))
        except SilenceError:
            self._hang_up()
            raise self._silent(seconds) from None
        except VectronError:
            self._hang_up()
            if not self.is_closed:
                raise

    def _note(self, answer: tuple[list[ChangeEvent], str]) -> None:
        events, position = answer
        self._has_progressed = True
        if events:
            self._pending.extend(events)
            self._end = position or None
        elif position:
            self.position = position

    def _silent(self, seconds: float | None) -> VectronError:
        if not self._is_open:
            return DeadlineExceededError(
                f"Watch was not opened within {self._seconds:g} s; allow more with timeout=… or "
                "ClientOptions.timeout_seconds"
            )
        return UnavailableError(f"Watch: the server has sent nothing for {seconds:g} s")

    def _hang_up(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None and feed.is_usable:
            feed.cancel()


def _read(answer: bytes) -> tuple[list[ChangeEvent], str]:
    response = WatchResponse.FromString(answer)
    return [_event(event) for event in response.events], response.position


def _event(event: Any) -> ChangeEvent:
    return ChangeEvent(
        id=event.id,
        type=event.type,
        version=event.version,
        time=_EPOCH + timedelta(microseconds=event.time_us),
        position=event.position,
        matches=event.matches if event.HasField("matches") else None,
        point=_point(event.point) if event.HasField("point") else None,
    )


def _point(point: Any) -> ChangedPoint:
    return ChangedPoint(
        version=point.version,
        payload=decode({}, point.payload_json) if point.payload_json else None,
        text=point.text if point.HasField("text") else None,
    )
