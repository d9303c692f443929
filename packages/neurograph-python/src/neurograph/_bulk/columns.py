"""Creating many tokens: plain items side by side, and the cutting of items into batches. No I/O.

Most items of a large load are a text and a float32 array of one length. Those are put into one matrix as they are read,
and what can be done with all of them at once is done then: whether all numbers are finite, how large they are, the
frame. Only what goes wrong makes an object of each.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, overload

from neurograph._bulk.items import Encoded, encoded
from neurograph._protocol import operations
from neurograph._protocol.encoding import encode, packed, plain_text
from neurograph._protocol.frames import write_frame
from neurograph._protocol.operations import NewToken
from neurograph._protocol.vector_bodies import Dialect
from neurograph._wirekit.batching import Batcher
from neurograph.exceptions import ValidationError


def document(bodies: Iterable[bytes], more: bytes = b"") -> bytes:
    """Return JSON objects as the tokens of a request, with more of its members behind them.

    >>> document([b'{"text":"a"}'], b',"include":[]')
    b'{"tokens":[{"text":"a"}],"include":[]}'
    """
    return b'{"tokens":[%b]%b}' % (b",".join(bodies), more)


class Columns(Sequence[Encoded]):
    """Items of a text and a float32 array of one length; as a sequence, of encoded items made when they are looked at.

    Args:
        dimension: components of each array, at least one.
        spare: matrices of this dimension that nobody uses any more; new memory costs more than all the rest.

    Attributes:
        dimension: as given.
        size: bytes on the wire, in a frame.
    """

    def __init__(self, dimension: int, spare: list[Any]) -> None:
        numpy = sys.modules["numpy"]
        self.dimension = dimension
        self.size = 0
        self._kind = numpy.ndarray
        self._dtype = numpy.dtype("float32")
        self._shape = (dimension,)
        self._most_bytes = operations.MAX_BATCH_BYTES
        self._room = max(1, min(operations.MAX_BATCH_COUNT, self._most_bytes // (4 * dimension)))
        self._each = len(b'{"text":}') + 4 * dimension
        self._spare = spare
        self._matrix: Any = spare.pop() if spare else numpy.empty((self._room, dimension), numpy.float32)
        self._texts: list[bytes] = []
        self._items: list[NewToken] = []
        self._indices: list[int] = []

    def take(self, item: NewToken, index: int) -> bool:
        """Take an item, and copies its array; False when it is of another kind, or there is no room."""
        if type(item) is not dict or len(item) != 2:
            return False
        text: Any = item.get("text")
        array: Any = item.get("embedding")
        if type(array) is not self._kind or type(text) is not str:
            return False
        if array.shape != self._shape or array.dtype is not self._dtype:
            return False
        place = len(self._items)
        if not text.isascii():
            plain_text(text, f"tokens.{index}.text")
        written = encode(text)
        size = self.size + len(written) + self._each
        if place == self._room or (place and size > self._most_bytes):
            return False
        self._matrix[place] = array
        self.size = size
        self._texts.append(written)
        self._items.append(item)
        self._indices.append(index)
        return True

    def framed(self, more: bytes) -> bytes:
        """Return the items as a vector frame, with more members in its document."""
        bodies = [b'{"text":%b,"embedding":%d}' % (text, n) for n, text in enumerate(self._texts)]
        return write_frame(document(bodies, more), memoryview(self._matrix[: len(bodies)]))

    def unsound(self) -> dict[int, ValidationError]:
        """By their places here, the errors of items with components that are not finite."""
        finite = sys.modules["numpy"].isfinite(self._matrix[: len(self)])
        if finite.all():
            return {}
        wrong = {}
        for place in (~finite.all(axis=1)).nonzero()[0].tolist():
            try:
                packed(self._matrix[place], f"tokens.{self._indices[place]}.embedding")
            except ValidationError as error:  # noqa: PERF203 - names the component; few are wrong
                wrong[place] = error
        return wrong

    def release(self) -> None:
        """Let others have the memory; to be called once, when nobody will look at the items any more."""
        self._spare.append(self._matrix)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, place: int) -> Encoded: ...
    @overload
    def __getitem__(self, place: slice) -> list[Encoded]: ...
    def __getitem__(self, place: int | slice) -> Encoded | list[Encoded]:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        body = b'{"text":%b}' % self._texts[place]
        row = self._matrix[range(len(self))[place]].tobytes()
        return Encoded(self._indices[place], self._items[place], body, row)


class Cutter:
    """Cuts items into batches as they are read.

    Args:
        dialect: whether the server reads frames, as far as it is known when an item comes.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._columns: Columns | None = None
        self._spare: dict[int, list[Any]] = {}
        self._batcher = Batcher[Encoded](max_count=operations.MAX_BATCH_COUNT, max_bytes=operations.MAX_BATCH_BYTES)

    def take(self, item: NewToken, index: int) -> Sequence[Encoded] | None:
        """Take one item; returns the batch that it completed, if any.

        Raises:
            ValidationError: it is no token. Nothing was taken.
        """
        columns = self._columns
        if columns is not None and columns.take(item, index):
            return None
        begun = self._begun(item, index)
        if begun is not None:  # there was no room, or nothing to have room in
            self._columns = begun
            return columns
        each = encoded(item, index, pack_lists=self._dialect.frames is True)
        if columns is not None:  # what is of different kinds goes together, in the slower way
            self._columns = None
            for earlier in columns:
                self._batcher.add(earlier, earlier.size(None))
            columns.release()
        return self.add(each)

    def add(self, each: Encoded) -> Sequence[Encoded] | None:
        """Take an item that is encoded already; returns the batch that it completed, if any."""
        return self._batcher.add(each, each.size(self._dialect.frames))

    def flush(self) -> Sequence[Encoded] | None:
        """Return what is left, or None when nothing is; call it once the items have ended."""
        columns, self._columns = self._columns, None
        return columns or self._batcher.flush()

    def _begun(self, item: NewToken, index: int) -> Columns | None:
        """Return columns that begin with this item; None when it is not plain, or has to go to others."""
        numpy = sys.modules.get("numpy")
        if numpy is None or self._dialect.frames is False or len(self._batcher) or type(item) is not dict:
            return None
        array: Any = item.get("embedding")
        if type(array) is not numpy.ndarray or array.ndim != 1 or not array.size:
            return None
        if self._columns is not None and self._columns.dimension != len(array):
            return None
        begun = Columns(len(array), self._spare.setdefault(len(array), []))
        return begun if begun.take(item, index) else None
