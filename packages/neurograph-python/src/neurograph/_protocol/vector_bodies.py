"""Bodies with vectors, which can be written as JSON or as a frame, and the choice between the two. No I/O.

A server that reads frames is recognised by its answers and its limits. One that has not been heard yet is sent a frame
when the caller's vectors are arrays, so that no component ever becomes a Python float; should it refuse, the request
goes again as JSON, and from then on everything does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from neurograph._protocol.call import Call
from neurograph._protocol.encoding import encode, packed, vector
from neurograph._protocol.frames import VECTORS, is_frame, write_frame
from neurograph._wirekit.flow import Flow
from neurograph.exceptions import NeuroGraphError
from neurograph.wire import Response

T = TypeVar("T")

# HTTP status of a server that does not read vector frames.
_UNSUPPORTED_MEDIA_TYPE = 415
# What servers answer that take every body for JSON.
_UNREADABLE = frozenset({400, 422})


@dataclass(frozen=True, slots=True)
class VectorBody:
    """A body with vectors.

    Attributes:
        values: the vectors as the caller gave them.
        places: how errors call them.
        document: makes the JSON object from what stands for the vectors: lists, or numbers of rows.
        stable: whether the same arguments must always make the same bytes, because the caller has named the request.
    """

    values: Sequence[Any]
    places: Sequence[str]
    document: Callable[[Sequence[Any]], Any]
    stable: bool = False

    def wants_frame(self, known: bool | None) -> bool:
        """Return whether to try a frame: with a server that has not been heard yet when JSON would make lists of
        arrays.
        """
        if known is not None and not self.stable:
            return known
        return known is not False and any(not isinstance(value, (list, tuple)) for value in self.values)

    def framed(self) -> bytes | None:
        """Return the body as a frame; None when its vectors are of different lengths, which a server tells better.

        Raises:
            ValidationError: names the component that is no finite number within float32.
        """
        rows = [packed(value, place) for value, place in zip(self.values, self.places, strict=True)]
        if len(set(map(len, rows))) != 1 or not rows[0]:
            return None
        return write_frame(encode(self.document(range(len(rows)))), rows)

    def in_json(self) -> bytes:
        """Return the body as JSON text.

        Raises:
            ValidationError: names the component that is no finite number.
        """
        lists = [vector(value, place) for value, place in zip(self.values, self.places, strict=True)]
        return encode(self.document(lists))


class Dialect:
    """Knowledge about a server: whether it reads frames; None before its first answer."""

    def __init__(self) -> None:
        self.frames: bool | None = None

    def heard(self, response: Response) -> None:
        """Learn from an answer: a server that was asked for a frame and sent something else knows none."""
        if 200 <= response.status < 300 and VECTORS in response.request.accept:
            self.frames = is_frame(response.headers.get("content-type", ""))

    def advertised(self, media_type: str | None) -> None:
        """Learn from the limits of the server."""
        if media_type == VECTORS:
            self.frames = True


def negotiated(call: Call[T], dialect: Dialect, run: Callable[[Call[T]], Flow[T]]) -> Flow[T]:
    """Run a call with its body in the form that the server reads.

    Raises:
        NeuroGraphError: the call failed.
    """
    if call.body is None:
        return (yield from run(call))
    frame = call.body.framed() if call.body.wants_frame(dialect.frames) else None
    if frame is not None:
        request = replace(call.request, body=frame, content_type=VECTORS)
        try:
            return (yield from run(replace(call, request=request)))
        except NeuroGraphError as error:
            unread = error.status_code in _UNREADABLE and dialect.frames is None
            if error.status_code != _UNSUPPORTED_MEDIA_TYPE and not unread:
                raise
    return (yield from run(replace(call, request=replace(call.request, body=call.body.in_json()))))
