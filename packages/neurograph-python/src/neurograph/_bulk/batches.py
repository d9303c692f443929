"""Creating many tokens: batches of items, and the bodies of requests that they become. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from neurograph._bulk.columns import Columns, document
from neurograph._bulk.items import Encoded
from neurograph._protocol.encoding import encode
from neurograph._protocol.frames import write_frame
from neurograph._protocol.operations import MAX_BATCH_BYTES
from neurograph._wirekit.batching import batches
from neurograph._wirekit.vectors import to_list
from neurograph.models import ServerLimits

# What a batch below both of these holds, every server takes, so nobody needs to be asked.
SMALL_COUNT = 100
# Bytes: half of the limit that nginx has by default.
SMALL_BYTES = 512 * 1024
# Share of a server's body limit that a batch fills: the rest is for the parts around its items.
_SHARE_OF_LIMIT = 0.9


@dataclass(frozen=True, slots=True)
class Batch:
    """The body of a request that creates many.

    Attributes:
        items: what to create.
        bare: whether no part of the tokens but their ids is wanted; asked of servers that read frames, which know it.
    """

    items: Sequence[Encoded]
    bare: bool = False

    def wants_frame(self, known: bool | None) -> bool:
        """Return whether to try a frame: with a server that has not been heard yet when an embedding has been
        packed.
        """
        return any(each.packed is not None for each in self.items) if known is None else known

    def framed(self) -> bytes | None:
        """Return the batch as a vector frame; None when some embeddings are lists, or they are of different lengths."""
        more = b',"include":[]' if self.bare else b""
        if isinstance(self.items, Columns):
            return self.items.framed(more)
        rows = [each.packed for each in self.items if each.packed is not None]
        if len(set(map(len, rows))) != 1 or not rows[0] or any(each.listed for each in self.items):
            return None
        numbers = iter(range(len(rows)))
        bodies = [
            each.body if each.packed is None else each.with_embedding(b"%d" % next(numbers)) for each in self.items
        ]
        return write_frame(document(bodies, more), rows)

    def in_json(self) -> bytes:
        """Return the batch as JSON text."""
        return document(
            each.body if each.packed is None else each.with_embedding(encode(to_list(each.packed)))
            for each in self.items
        )


def is_small(batch: Sequence[Encoded]) -> bool:
    """Return whether any server takes this batch, so that its limits need not be asked for."""
    return len(batch) <= SMALL_COUNT and _size(batch, None) <= SMALL_BYTES


def recut(batch: Sequence[Encoded], limits: ServerLimits | None, frames: bool | None) -> list[Sequence[Encoded]]:
    """Return the batch, cut so that each part is within what the server takes."""
    if limits is None:
        return [batch]
    most = limits.max_batch or len(batch)
    room = int((limits.max_body_bytes or MAX_BATCH_BYTES / _SHARE_OF_LIMIT) * _SHARE_OF_LIMIT)
    if len(batch) <= most and _size(batch, frames) <= room:
        return [batch]
    return list(batches(batch, max_count=max(1, most), max_bytes=max(1, room), size=lambda each: each.size(frames)))


def _size(batch: Sequence[Encoded], frames: bool | None) -> int:
    """Return bytes of a batch on the wire."""
    if isinstance(batch, Columns) and frames is not False:
        return batch.size
    return sum([each.size(frames) for each in batch])


def halves(batch: Sequence[Encoded]) -> list[Sequence[Encoded]]:
    """Return the batch in two parts; one of a single item cannot be cut."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]]
