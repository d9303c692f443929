"""Binary forms of PostgreSQL's protocol: vectors, rows for COPY, checksums, idempotency replies."""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from vectrograph.domain.points import Change, ChangeKind, Outcome, OutcomeStatus, Point, Vector, WriteResult
from vectrograph.domain.queries import Include

COPY_BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_END: Final = b"\xff\xff"
KINDS: Final = {ChangeKind.UPDATED: 1, ChangeKind.PATCHED: 2, ChangeKind.DELETED: 3, ChangeKind.CREATED: 4}
"""Numbers of kinds in the log. They are stored: never change one."""
KIND_OF: Final = {number: kind for kind, number in KINDS.items()}

SHORTEST: Final = 1e-15
"""Length of a vector below which sums of squares vanish in float32, PostgreSQL's arithmetic. Vectors shorter than this
or longer than LONGEST are `special`: they are in no index and their scores are computed here."""
LONGEST: Final = 1e15
"""Length of a vector above which sums of squares may overflow in float32."""

_FIXED: Final = Struct(">h iq iq iq iq ii ii i?")
_CHANGE: Final = Struct(">h iq ih iq i")
_SIZE: Final = Struct(">i")
_VECTOR: Final = Struct(">i hh")
_NUMBERS: Final = Struct("<6q")
_ARRAY: Final = Struct(">iiIii")
# Number of the type bigint in every PostgreSQL.
_BIGINT: Final = 20
_EMPTY_ARRAY: Final = Struct(">iiI").pack(0, 0, _BIGINT)
_NULL: Final = _SIZE.pack(-1)
# Columns of `schema.POINT_COLUMNS`, as each row of COPY says it.
_COLUMNS: Final = 12
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


class Row(NamedTuple):
    """A stored point without its vector, encoded. `payload` and `text` are None where not read."""

    created_seq: int
    version: int
    created_at: int
    updated_at: int
    id: bytes
    payload: bytes | None = None
    text: bytes | None = None

    def checksum(self) -> int:
        """Return CRC-32 over everything but the vector, as PostgreSQL's signed integer."""
        created_seq, version, created_at, updated_at, name, payload, text = self
        size = -1 if text is None else len(text)
        numbers = _NUMBERS.pack(created_seq, version, created_at, updated_at, len(name), size)
        return _signed(crc32(b"".join((numbers, name, payload or b"", text or b""))))

    def point(self, include: Include, vector: bytes | None = None) -> Point:
        """Return the point with the parts asked for; `vector` is in PostgreSQL's binary form."""
        return Point(
            id=self.id.decode(),
            vector=decode_vector(vector) if include.vector and vector is not None else None,
            payload=decode_payload(self.payload) if include.payload and self.payload is not None else None,
            text=self.text.decode() if include.text and self.text is not None else None,
            created_at=self.created_at,
            updated_at=self.updated_at,
            version=self.version,
            created_seq=self.created_seq,
        )


class VectorParameter(bytes):
    """A vector in PostgreSQL's binary form, as an argument of a statement."""

    @classmethod
    def of(cls, vector: Vector) -> "VectorParameter":
        """Return a vector as an argument."""
        return cls(encode_vector(vector))


class NumbersParameter(bytes):
    """Whole numbers as bigint[] in PostgreSQL's binary form, as an argument of a statement."""

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "NumbersParameter":
        """Return numbers as an argument."""
        values = np.empty(len(numbers), np.dtype([("size", ">i4"), ("value", ">i8")]))
        values["size"], values["value"] = 8, numbers
        return cls((_ARRAY.pack(1, 0, _BIGINT, len(numbers), 1) if len(numbers) else _EMPTY_ARRAY) + values.tobytes())


def encode_vector(vector: Vector) -> bytes:
    """Return the binary form of pgvector: dimension, zero, float32 in network order."""
    return len(vector).to_bytes(2, "big") + b"\x00\x00" + vector.astype(">f4").tobytes()


def decode_vector(stored: bytes) -> Vector:
    """Return a writable vector from pgvector's binary form.

    >>> decode_vector(encode_vector(np.array([0.5, -2], np.float32))).tolist()
    [0.5, -2.0]
    """
    return np.frombuffer(stored, ">f4", offset=4).astype(np.float32)


def decode_vectors(stored: Sequence[bytes], dimension: int) -> Vector:
    """Return vectors as one matrix, shape (n, dimension)."""
    rows = np.frombuffer(b"".join(stored), np.dtype([("head", ">u4"), ("vector", ">f4", (dimension,))]))
    return np.ascontiguousarray(rows["vector"], np.float32)


def decode_payload(stored: bytes) -> dict[str, Any]:
    """Return the payload of a text that the domain's `encode_payload` made."""
    payload: dict[str, Any] = _decode(stored)
    return payload


def is_usual(length: float) -> bool:
    """Return whether float32 sums can tell apart what lies along a vector of this length."""
    return SHORTEST <= length <= LONGEST


def fields_of(payload: bytes) -> bytes | None:
    """Return the payload for the column `fields`, None where jsonb cannot hold it."""
    return None if b"\\u0000" in payload else payload


def vector_checksum(created_seq: int, vector: bytes) -> int:
    """Return CRC-32 over a vector in binary form and the point it belongs to, as PostgreSQL's signed integer."""
    return _signed(crc32(vector, crc32(created_seq.to_bytes(8, "little"))))


def copy_point(row: Row, vector: bytes, special: bool) -> bytes:
    """Return a point as a row of COPY in binary format; the columns are those of `schema.POINT_COLUMNS`."""
    payload = row.payload or b"{}"
    fields = fields_of(payload)
    parts = [
        _FIXED.pack(
            *(_COLUMNS, 8, row.created_seq, 8, row.version, 8, row.created_at, 8, row.updated_at),
            *(4, row.checksum(), 4, vector_checksum(row.created_seq, vector), 1, special),
        ),
        *(_SIZE.pack(len(row.id)), row.id, _SIZE.pack(len(payload)), payload),
        *((_NULL,) if row.text is None else (_SIZE.pack(len(row.text)), row.text)),
        # The first byte of jsonb is the version of its binary form.
        *((_NULL,) if fields is None else (_SIZE.pack(len(fields) + 1), b"\x01", fields)),
        *(_SIZE.pack(len(vector)), vector),
    ]
    return b"".join(parts)


def copy_changes(changes: Iterable[Change]) -> bytes:
    """Return changes as rows of COPY: seq, kind, at, id."""
    parts: list[bytes] = []
    for change in changes:
        name = change.id.encode()
        parts += (_CHANGE.pack(4, 8, change.seq, 2, KINDS[change.kind], 8, change.at, len(name)), name)
    return b"".join(parts)


def encode_reply(result: WriteResult) -> bytes:
    """Return the result of a write as it is kept under its idempotency key."""
    return _encode([result.seq, result.at, [[each.id, each.status.value, each.version] for each in result.outcomes]])


def decode_reply(stored: bytes) -> WriteResult:
    """Return the result that `encode_reply` kept, marked as a replay."""
    seq, at, outcomes = _decode(stored)
    told = tuple(Outcome(name, OutcomeStatus(status), version) for name, status, version in outcomes)
    return WriteResult(seq=seq, outcomes=told, at=at, replayed=True)


def _signed(checksum: int) -> int:
    return checksum - (1 << 32) if checksum >= 1 << 31 else checksum
