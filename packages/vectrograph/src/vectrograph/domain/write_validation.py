"""Validation of writes: everything is checked before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from vectrograph.domain.capabilities import EngineLimits
from vectrograph.domain.collections import CollectionSpec, IdKind
from vectrograph.domain.errors import InvalidArgument, TooLarge
from vectrograph.domain.ids import encode_id, require_storable
from vectrograph.domain.payloads import encode_payload
from vectrograph.domain.points import Delete, DeleteWhere, Keep, Op, Patch, Payload, Put, Vector
from vectrograph.domain.vectors import stack


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


def validate_writes(ops: Sequence[Op], spec: CollectionSpec, limits: EngineLimits) -> ValidatedWrites:
    """Check and encode the operations of one write.

    Raises:
        InvalidArgument: an id, vector, payload or text is not acceptable; the field is `ops[i].…`.
        TooLarge: too many operations, or a payload or text over its limit.
    """
    if len(ops) > limits.max_batch:
        raise TooLarge(
            f"The write has {len(ops)} operations and the limit is {limits.max_batch}; send several.",
            details={"field": "ops", "limit": limits.max_batch, "unit": "items"},
        )
    places = [position for position, op in enumerate(ops) if isinstance(op, Put)]
    vectors = stack(
        [op.vector for op in ops if isinstance(op, Put)],
        spec.dimension,
        lambda nth: f"ops[{places[nth]}].vector",
    )
    payloads: list[bytes | Keep | None] = []
    texts: list[bytes | Keep | None] = []
    for position, op in enumerate(ops):
        where = f"ops[{position}]"
        _require_id(op, spec.ids, where, limits)
        if isinstance(op, Put | Patch):
            payloads.append(_encode_payload(op.payload, where, limits))
            texts.append(_encode_text(op.text, where, limits))
        else:
            payloads.append(None)
            texts.append(None)
    return ValidatedWrites(tuple(ops), vectors, tuple(payloads), tuple(texts))


def _require_id(op: Op, kind: IdKind, where: str, limits: EngineLimits) -> None:
    if isinstance(op, DeleteWhere):
        return
    if isinstance(op, Put) and op.id is None:
        if kind is not IdKind.SERIAL:
            raise InvalidArgument.of(f"{where}.id", "is missing; this collection does not number its points", "missing")
        return
    if not isinstance(op, Put | Patch | Delete):
        raise InvalidArgument.of(where, f"{type(op).__name__} is no operation", "type_error")
    encode_id(op.id or "", f"{where}.id", limits.max_id_bytes)
    if isinstance(op, Put):
        require_storable(op.id or "", kind, f"{where}.id")


def _encode_payload(payload: Payload | Keep, where: str, limits: EngineLimits) -> bytes | Keep:
    if isinstance(payload, Keep):
        return payload
    return encode_payload(payload, f"{where}.payload", limits.max_payload_bytes)


def _encode_text(text: str | Keep | None, where: str, limits: EngineLimits) -> bytes | Keep | None:
    if text is None or isinstance(text, Keep):
        return text
    if not isinstance(text, str):
        raise InvalidArgument.of(f"{where}.text", "must be a string or null", "string_type")
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument.of(f"{where}.text", "is not valid Unicode: it holds half a surrogate pair") from error
    if len(encoded) > limits.max_text_bytes:
        raise TooLarge(
            f"{where}.text is {len(encoded)} bytes of UTF-8 and the limit is {limits.max_text_bytes}; split it.",
            details={"field": f"{where}.text", "limit": limits.max_text_bytes, "unit": "bytes"},
        )
    return encoded
