"""Rows of the table `points`, and many of them read as one row: integers as text, bytes as one blob."""

import json
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

import apsw
import msgspec
import numpy as np

from vectrograph.domain.points import Point, Vector
from vectrograph.domain.queries import Include
from vectrograph.engines.embedded.disk.failures import UNDECODABLE, Damaged

CONTENT: Final = Include(vector=False, payload=True, text=True)
BARE: Final = Include(vector=False, payload=False, text=False)

_INTEGERS: Final = ("label", "version", "created_seq", "created_at", "updated_at", "checksum")
_decode: Final = msgspec.json.Decoder().decode
_WIDTH: Final = len(_INTEGERS) + 5
_NONE_READ: Final = [-1, -1, -1]
_THREE: Final = Struct("<3q").pack
_EIGHT: Final = Struct("<8q").pack


class Record(NamedTuple):
    """A stored point, encoded. `payload` and `vector` are None where not read, `text` also where there is none."""

    label: int
    version: int
    created_seq: int
    created_at: int
    updated_at: int
    id: bytes
    payload: bytes | None
    text: bytes | None
    vector: bytes | None = None

    def checksum(self) -> int:
        """Return CRC-32 over everything but the vector, which has its own."""
        label, version, created_seq, created_at, updated_at, name, payload, text, _ = self
        payload = payload or b""
        size = -1 if text is None else len(text)
        numbers = _EIGHT(label, version, created_seq, created_at, updated_at, len(name), len(payload), size)
        return crc32(b"".join((numbers, name, payload, text or b"")))

    @property
    def nbytes(self) -> int:
        """Bytes of payload, text and vector, as far as they were read."""
        return len(self.payload or b"") + len(self.text or b"") + len(self.vector or b"")

    def point(self, include: Include) -> Point:
        """Return the record as a point with the parts asked for, as far as they were read."""
        return Point(
            id=self.id.decode(),
            vector=decode_vector(self.vector) if include.vector and self.vector is not None else None,
            payload=decode_payload(self.payload) if include.payload and self.payload is not None else None,
            text=self.text.decode() if include.text and self.text is not None else None,
            created_at=self.created_at,
            updated_at=self.updated_at,
            version=self.version,
            created_seq=self.created_seq,
        )


def decode_payload(stored: bytes) -> dict[str, Any]:
    """Return the payload of a text that the domain's `encode_payload` made, as its `decode_payload` gives it, in a
    tenth of the time.
    """
    payload: dict[str, Any] = _decode(stored)
    return payload


def decode_vector(stored: bytes) -> Vector:
    """Return a writable vector from its bytes: little-endian float32."""
    return np.frombuffer(stored, "<f4").astype(np.float32)


def vector_checksum(label: int, stored: bytes | memoryview) -> int:
    """Return CRC-32 over a vector and the label it belongs to."""
    return crc32(stored, crc32(label.to_bytes(8, "little")))


def change_checksum(seq: int, kind: int, at: int, id: bytes) -> int:
    """Return CRC-32 over an entry of the log of changes."""
    return crc32(_THREE(seq, kind, at) + id)


def reply_checksum(*columns: object) -> int:
    """Return CRC-32 over an idempotency record: principal, operation, key, body hash, result, time.

    Takes values of other types too: what is damaged has some checksum, and it is not the one that is stored.
    """
    return crc32(json.dumps(columns, default=repr).encode())


def state_checksum(seq: int, next_serial: int, count: int) -> int:
    """Return CRC-32 over the counters of a collection."""
    return crc32(_THREE(seq, next_serial, count))


def read_records(
    connection: apsw.Connection, condition: str, bindings: Sequence[object], include: Include
) -> list[Record]:
    """Return the points that an SQL condition selects (`WHERE …`, and ORDER BY, LIMIT); in no particular order.

    Args:
        connection: to read on.
        condition: what follows `FROM points`.
        bindings: values of its question marks.
        include: what to read besides id and numbers.

    Raises:
        Damaged: a checksum does not hold.
        apsw.TooBigError: all together are more than SQLite's largest value (1 GB).
    """
    row: Any = connection.execute(_query(condition, include), tuple(bindings)).fetchall()[0]
    count, numbers, data = row
    if not count:
        return []
    try:
        return _split(_decode(f"[{numbers or ''}]"), count, data, include)
    except UNDECODABLE as error:
        raise Damaged(f"a point cannot be decoded: {error}") from error


@lru_cache(maxsize=128)
def _query(condition: str, include: Include) -> str:
    """Return the statement; there are some ten conditions, each with eight choices of parts."""
    parts = [
        f"p.{name}" if wanted else "NULL" for name, wanted in (("payload", include.payload), ("text", include.text))
    ]
    parts.append("v.vector" if include.vector else "NULL")
    sizes = ["length(p.id)", *(f"ifnull(length({part}), -1)" for part in parts)]
    check = "ifnull(v.checksum, -1)" if include.vector else "-1"
    numbers = " || ',' || ".join([*(f"p.{name}" for name in _INTEGERS), *sizes, check])
    data = " || ".join(["p.id", *(f"ifnull({part}, x'')" for part in parts)])
    join = "LEFT JOIN vectors AS v ON v.label = p.label" if include.vector else ""
    # Built from constants; what callers pass is bound.
    selected = f"(SELECT * FROM points {condition}) AS p {join}"  # noqa: S608
    return f"SELECT count(*), group_concat({numbers}), CAST(group_concat({data}, '') AS BLOB) FROM {selected}"  # noqa: S608


def _split(numbers: list[int], count: int, data: bytes, include: Include) -> list[Record]:
    if len(numbers) != count * _WIDTH:
        # SQLite leaves a row out whose numbers are NULL.
        raise Damaged(f"of {count} points some have no numbers")
    records = []
    offset = 0
    verifiable = include.payload and include.text
    for row in zip(*[iter(numbers)] * _WIDTH, strict=True):
        label, version, created_seq, created_at, updated_at, checksum, id_size, *sizes, vector_check = row
        name = data[offset : offset + id_size]
        offset += id_size
        payload: bytes | None = None
        text: bytes | None = None
        vector: bytes | None = None
        if sizes != _NONE_READ:
            parts: list[bytes | None] = []
            for size in sizes:
                parts.append(None if size < 0 else data[offset : offset + size])
                offset += max(size, 0)
            payload, text, vector = parts
        record = Record(label, version, created_seq, created_at, updated_at, name, payload, text, vector)
        if verifiable and record.checksum() != checksum:
            raise Damaged(f"the checksum of point {name!r} does not hold")
        if include.vector and (vector is None or vector_checksum(label, vector) != vector_check):
            raise Damaged(f"the checksum of the vector of point {name!r} does not hold")
        records.append(record)
    return records
