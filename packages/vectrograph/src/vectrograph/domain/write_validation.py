"""Validation of writes: everything is checked before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vectrograph.domain.capabilities import EngineLimits
from vectrograph.domain.collections import CollectionSpec, IdKind
from vectrograph.domain.errors import InvalidArgument, Place, TooLarge
from vectrograph.domain.ids import encode_id, require_storable
from vectrograph.domain.payloads import QuickEncoder, encode_payload
from vectrograph.domain.points import Delete, DeleteWhere, Keep, Op, Patch, Put, Vector, WriteLimits
from vectrograph.domain.vectors import stack

_WITH_CONTENT: Final = (Put, Patch)


@dataclass(frozen=True, slots=True)
class ValidatedWrites:
    """An accepted write, encoded. Index i of `payloads` and `texts` belongs to operation i.

    Attributes:
        ops: the operations.
        vectors: those of the Puts, in their order, shape (puts, dimension), float32.
        payloads: compact JSON as UTF-8, KEEP, or None where the operation has none.
        texts: UTF-8, KEEP or None.
    """

    ops: tuple[Op, ...]
    vectors: Vector
    payloads: tuple[bytes | Keep | None, ...]
    texts: tuple[bytes | Keep | None, ...]


def validate_writes(
    ops: Sequence[Op],
    spec: CollectionSpec,
    limits: EngineLimits,
    lower: WriteLimits | None = None,
    quick: QuickEncoder | None = None,
) -> ValidatedWrites:
    """Check and encode the operations of one write.

    Args:
        ops: the operations.
        spec: of the collection.
        limits: of the engine.
        lower: of the service, which hold where they are lower.
        quick: writes most payloads.

    Raises:
        InvalidArgument: an id, vector, payload or text is not acceptable; its place begins with `"ops", i`.
        TooLarge: too many operations, or a payload or text over its limit.
    """
    max_batch, max_payload_bytes = limits.max_batch, limits.max_payload_bytes
    if lower is not None:
        max_batch, max_payload_bytes = min(max_batch, lower.max_batch), min(max_payload_bytes, lower.max_payload_bytes)
    if len(ops) > max_batch:
        raise batch_too_large("ops", len(ops), max_batch)
    puts = [(position, op) for position, op in enumerate(ops) if isinstance(op, Put)]
    vectors = stack([op.vector for _, op in puts], spec.dimension, lambda nth: ("ops", puts[nth][0], "vector"))
    payloads: list[bytes | Keep | None] = []
    texts: list[bytes | Keep | None] = []
    named_by_caller, longest = spec.ids is IdKind.STRING, limits.max_id_bytes
    # Written for batches: what is usual is accepted here, without a call for each part of each operation.
    for position, op in enumerate(ops):
        if isinstance(op, _WITH_CONTENT):
            name, payload, text = op.id, op.payload, op.text
            if not (named_by_caller and type(name) is str and 0 < len(name) <= longest and name.isascii()):
                _require_id(op, spec.ids, ("ops", position), limits)
            if isinstance(payload, Keep):
                payloads.append(payload)
            else:
                payloads.append(encode_payload(payload, ("ops", position, "payload"), max_payload_bytes, quick))
            texts.append(text if text is None else _encode_text(text, ("ops", position, "text"), limits))
        else:
            _require_id(op, spec.ids, ("ops", position), limits)
            payloads.append(None)
            texts.append(None)
    return ValidatedWrites(tuple(ops), vectors, tuple(payloads), tuple(texts))


def batch_too_large(field: str, count: int, limit: int) -> TooLarge:
    """Return the refusal of a list of more items than one request may have."""
    message = f"holds {count} items and the limit max_batch is {limit}; send several requests."
    return TooLarge.of(field, message, limit, "items")


def _require_id(op: Op, kind: IdKind, where: Place, limits: EngineLimits) -> None:
    if isinstance(op, DeleteWhere):
        return
    if not isinstance(op, Put | Patch | Delete):
        raise InvalidArgument.of(where, f"{type(op).__name__} is not an operation", "type_error")
    place = (*where, "id")
    if isinstance(op, Put) and op.id is None:
        if kind is not IdKind.SERIAL:
            raise InvalidArgument.of(place, "is missing; this collection does not assign ids", "missing")
        return
    encode_id(op.id or "", place, limits.max_id_bytes)
    if isinstance(op, Put):
        require_storable(op.id or "", kind, place)


def _encode_text(text: str | Keep, where: Place, limits: EngineLimits) -> bytes | Keep:
    if isinstance(text, Keep):
        return text
    if not isinstance(text, str):
        raise InvalidArgument.of(where, "must be a string or null", "string_type")
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument.of(where, "is not valid Unicode: it has an unpaired surrogate") from error
    if len(encoded) > limits.max_text_bytes:
        raise TooLarge.of(
            where,
            f"is {len(encoded)} bytes of UTF-8 and the limit is {limits.max_text_bytes}; split it.",
            limits.max_text_bytes,
            "bytes",
        )
    return encoded
