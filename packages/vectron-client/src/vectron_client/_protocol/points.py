"""Points and search results between dataclasses and their bytes on the wire. Pure.

Messages are built and read through a wire-compatible view in which a vector is `bytes`, so that a vector goes from the
buffer it is in to the message, and back, without a Python number per component. Encodings that are legal but that
nobody uses (unpacked, or a packed field in two pieces) would lose components in that view; answers that look like it
are read again in the ordinary one.
"""

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from vectron_client._pb import bytesview_pb as view
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb import vectron_pb as wire
from vectron_client._protocol import payloads
from vectron_client._protocol.arguments import listed
from vectron_client._wirekit.values import WrongValueError, text
from vectron_client._wirekit.vectors import VectorError, pack, settled, to_list
from vectron_client.exceptions import InvalidArgumentError, MessageTooLargeError
from vectron_client.models import PackedVector, Point, given_vector

#: Tags of `UpsertRequest.points`, `Point.id` and `Point.vector`: field numbers 2, 1 and 2, length-delimited.
_POINTS_TAG, _ID_TAG, _VECTOR_TAG = (bytes([number << 3 | 2]) for number in (2, 1, 2))


#: Characters of an id in a message; ids that a server takes are shorter, unless they are not ASCII.
_SHOWN_ID = 512


def encode_vector(vector: Any, dimension: int) -> bytes:
    """Return a query vector as float32 bytes.

    Args:
        vector: anything that `Point.vector` takes.
        dimension: components it must have; 0 means any number but none.

    Raises:
        InvalidArgumentError: empty, of another dimension, or with a component that is no finite number.

    >>> encode_vector([1.0, -2.0], 2).hex()
    '0000803f000000c0'
    """
    try:
        packed = _pack(vector)
        _check_dimension(packed, dimension, "expected_vector_dim is")
    except ValueError as error:
        raise InvalidArgumentError(str(error), details=_facts("vector", error)) from error
    return packed


def encode_vectors(vectors: Any, dimension: int) -> tuple[bytes, int]:
    """Return query vectors, one after the other, and how many they are.

    Args:
        vectors: a numpy array of shape (queries, dimension), or an iterable of vectors as `Point.vector` takes them.
        dimension: components each must have; 0 means as many as the first one has.

    Raises:
        InvalidArgumentError: one is empty, of another dimension, or has a component that is not finite; names it.

    >>> packed, queries = encode_vectors([[1.0, 2.0], (3.0, 4.0)], 2)
    >>> len(packed), queries
    (16, 2)
    """
    if getattr(vectors, "ndim", None) == 2 and len(vectors):
        return _encode_matrix(vectors, dimension)
    encoded: list[bytes] = []
    for position, vector in enumerate(listed("vectors", vectors)):
        try:
            packed = _pack(vector)
            _check_dimension(packed, dimension, "expected_vector_dim is" if not encoded else "the first one has")
        except ValueError as error:
            facts = {**_facts(f"vectors[{position}]", error), "position": position}
            raise InvalidArgumentError(f"vectors[{position}]: {error}", details=facts) from error
        dimension = len(packed) // 4
        encoded.append(packed)
    return b"".join(encoded), len(encoded)


def _encode_matrix(matrix: Any, dimension: int) -> tuple[bytes, int]:
    """As one long vector, which is checked at once; an error names the row."""
    rows, width = matrix.shape
    try:
        packed = _pack(matrix.reshape(rows * width))
        _check_dimension(packed[: 4 * width], dimension, "expected_vector_dim is")
    except ValueError as error:
        component = getattr(error, "position", None)
        place = "vectors" if component is None else f"vectors[{component // width}][{component % width}]"
        reason = getattr(error, "reason", str(error))
        facts = {"field": place} if component is None else {"field": place, "position": component // width}
        raise InvalidArgumentError(f"{place} {reason}", details=facts) from error
    return packed, rows


def encode_points(
    points: Iterable[Point], *, dimension: int, max_bytes: int, forms: payloads.ServerForms | None = None
) -> Iterator[bytes]:
    """Yield each point as its share of an UpsertRequest, tag and length included; joined they make up the whole list.

    Args:
        points: read lazily, one at a time.
        dimension: components each vector must have; 0 means as many as the first one has.
        max_bytes: longest share.
        forms: what is known about the server; looked at for each point.

    Raises:
        InvalidArgumentError: a point is wrong; message and `details` name its id and position.
        MessageTooLargeError: a point does not fit into a message even alone.
    """
    reason = "expected_vector_dim is"
    plain: Callable[[Any], bytes | None] | None = None
    for position, point in enumerate(_iterated(points)):
        quick = None if plain is None else plain(point)
        if quick is not None and len(quick) <= max_bytes:
            yield quick
            continue
        try:
            vector = _checked_vector(point)
            if not vector or (dimension and len(vector) != 4 * dimension):
                _check_dimension(vector, dimension, reason)
            share = _share(point, vector, forms)
        except (ValueError, TypeError) as error:
            raise _about(point, position, error) from error
        if not dimension:
            dimension, reason = len(vector) // 4, "the points before it have"
        plain = plain or _plain_shares(dimension)
        if len(share) > max_bytes:
            raise MessageTooLargeError(
                f"point {point.id!r} (position {position}) takes {len(share)} bytes where {max_bytes} fit into a "
                "message; shorten its payload or raise ClientOptions.max_send_message_length",
                details={"position": position, "point_id": point.id, "size": len(share), "limit": max_bytes},
            )
        yield share


def _plain_shares(dimension: int) -> Callable[[Any], bytes | None] | None:
    """Make shares of points without a payload whose vectors are float32 arrays, as most of a large load are.

    The array is copied once, into the share. Of any other point, and of what is wrong, there is no share: `_share` and
    the checks before it see to those.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or sys.byteorder != "little":
        return None
    array, dtype, shape, isfinite = numpy.ndarray, numpy.dtype("float32"), (dimension,), numpy.isfinite
    middle = _VECTOR_TAG + _varint(4 * dimension)
    beginnings: dict[int, bytes] = {}

    def share(point: Any) -> bytes | None:
        if type(point) is not Point:
            return None
        vector, id = given_vector(point), point.id
        if type(vector) is not array or vector.dtype is not dtype or vector.shape != shape or vector.strides != (4,):
            return None
        if point.payload != {} or not id or type(id) is not str or b"\0" in isfinite(vector).tobytes():
            return None
        try:
            name = id.encode()
        except UnicodeEncodeError:
            return None
        beginning = beginnings.get(len(name))
        if beginning is None:
            inside = 1 + len(_varint(len(name))) + len(name) + len(middle) + 4 * dimension
            beginning = beginnings[len(name)] = _POINTS_TAG + _varint(inside) + _ID_TAG + _varint(len(name))
        return b"".join((beginning, name, middle, vector))

    return share


def _about(point: Any, position: int, error: Exception) -> InvalidArgumentError:
    """Return the error about one of several points, with its name."""
    name = f"points[{position}]"
    facts = {**_facts(name, error), "position": position}
    if isinstance(point, Point) and isinstance(point.id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        shown = point.id if len(point.id) <= _SHOWN_ID else f"{point.id[:_SHOWN_ID]}…"
        name = f"point {shown!r} (position {position})"
        facts["point_id"] = point.id
    return InvalidArgumentError(f"{name}: {error}", details=facts)


def _iterated(points: Any) -> Iterator[Any]:
    try:
        return iter(points)
    except TypeError as error:
        message = f"points is {type(points).__name__}; pass a list or another iterable of Point"
        raise InvalidArgumentError(message, details={"field": "points"}) from error


def _checked_vector(point: Any) -> bytes:
    if not isinstance(point, Point):
        raise TypeError(f"is {type(point).__name__}; pass a vectron_client.Point")
    id: Any = point.id
    if type(id) is not str or not id or not id.isascii():
        point.id = text(id, "id")
    vector = given_vector(point)
    if hasattr(vector, "__next__"):  # an iterator yields once, and the point may be sent again
        point.vector = vector = settled(vector)
    return _pack(vector)


def _share(point: Point, vector: bytes, forms: payloads.ServerForms | None) -> bytes:
    """Return a point within a message. Written by hand but for its payload: protobuf would copy the vector
    twice more.
    """
    name, rest = point.id.encode(), b""
    payload = point.payload
    if payload or type(payload) is not dict:
        texts, whole = payloads.encode(payload, forms)
        message = view.Point(payload_json=whole) if whole else view.Point()
        written = message.payload
        for key, value in texts.items():  # `update` is a good deal slower
            written[key] = value
        rest = message.SerializeToString()
    head = b"".join((_ID_TAG, _varint(len(name)), name, _VECTOR_TAG, _varint(len(vector))))
    return b"".join((_POINTS_TAG, _varint(len(head) + len(vector) + len(rest)), head, vector, rest))


def _pack(vector: Any) -> bytes:
    if isinstance(vector, PackedVector):  # it may hold anything the server sent, so it is checked like any other
        vector = memoryview(vector).cast("f") if sys.byteorder == "little" else to_list(vector)
    return pack(vector)


def _check_dimension(packed: bytes, dimension: int, reason: str) -> None:
    if not packed:
        raise VectorError("vector", "is empty")
    if dimension and len(packed) != 4 * dimension:
        raise VectorError("vector", f"has {len(packed) // 4} components; {reason} {dimension}")


def _facts(field: str, error: Exception) -> dict[str, Any]:
    if isinstance(error, WrongValueError):
        return {"field": f"{field}.{error.place}"}
    component = getattr(error, "position", None)
    return {"field": field} if component is None else {"field": field, "component": component}


@functools.lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    """Return a number as protobuf writes lengths: seven bits a byte, lowest first, the high bit on all but the last.

    >>> _varint(300).hex()
    'ac02'
    """
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_point(answer: bytes) -> Point | None:
    """Return the point of a GetResponse, or None when it has none.

    Raises:
        ValueError: its payload cannot be read.
    """
    message = view.GetResponse.FromString(answer)
    if not message.HasField("point"):
        return None
    point: Any = message.point
    # A second piece of a packed field makes the message shorter, an unpacked component is left over as unknown.
    unusual = message.ByteSize() != len(answer) or len(UnknownFieldSet(point))
    if unusual or not point.vector or len(point.vector) % 4:
        point = wire.GetResponse.FromString(answer).point
    return Point(point.id, read_vector(point.vector), payloads.decode(point.payload, point.payload_json))


def read_vector(vector: Any) -> Any:
    """Return the vector of a message for a model: packed from the view, a list from the ordinary message."""
    return PackedVector(vector) if isinstance(vector, bytes) else list(vector)


def read_points(answer: bytes, *, with_vectors: bool) -> tuple[list[Point], str]:
    """Return the points and the cursor of a ScrollResponse.

    Raises:
        ValueError: a payload cannot be read.
    """
    page = view.ScrollResponse.FromString(answer)
    points: Any = page.points
    lengths = {len(point.vector) for point in points}
    # All have the dimension of their collection; see `decode_point` for the length of the message.
    odd = len(lengths) > 1 or not any(lengths) or sum(lengths) % 4 or page.ByteSize() != len(answer)
    if with_vectors and odd:
        points = extensions.ScrollResponse.FromString(answer).points
    vectors = (read_vector(point.vector) if with_vectors else () for point in points)
    made = [
        Point(point.id, vector, payloads.decode(point.payload, point.payload_json))
        for point, vector in zip(points, vectors, strict=True)
    ]
    return made, page.cursor
