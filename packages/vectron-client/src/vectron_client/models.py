"""Arguments and results of calls: plain dataclasses with real lists and dictionaries.

Vectors of answers stay the bytes they arrived as until somebody looks at them.
"""

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeAlias, cast, overload

from vectron_client._wirekit.vectors import to_array, to_list

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer

    VectorLike: TypeAlias = Sequence[SupportsFloat] | Buffer | npt.NDArray[Any]
    VectorsLike: TypeAlias = Iterable[VectorLike] | npt.NDArray[Any]
else:
    VectorLike: TypeAlias = Any
    """A vector as callers pass it: list, tuple, `array.array`, numpy array, or anything with the buffer protocol."""
    VectorsLike: TypeAlias = Any
    """Vectors as callers pass them: a list of vectors, or a numpy array of shape (vectors, dimension)."""


class PackedVector(bytes):
    """A vector of an answer: little-endian float32, 4 bytes a component, not yet unpacked."""

    __slots__ = ()


class _VectorField:
    """Descriptor of a dataclass field that takes any vector and reads as a list of floats.

    What was given stays as it is for sending. A packed vector is unpacked at the first look, and the list then takes
    its place, so that changes to it count.
    """

    def __init__(self, *, required: bool) -> None:
        self._required = required

    @overload
    def __get__(self, instance: None, owner: type) -> tuple[()]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> list[float]: ...
    def __get__(self, instance: object | None, owner: type) -> list[float] | tuple[()]:
        if instance is None:  # how dataclass asks for the default of the field
            if self._required:
                raise AttributeError("vector")
            return ()
        given = cast("_WithArray", instance)
        values: list[float] = _as_list(given._vector)
        if isinstance(given._vector, PackedVector):
            given._vector = values
        return values

    def __set__(self, instance: object, vector: VectorLike) -> None:
        # An attribute: looking up `__dict__` would make a dictionary for every point, at half the cost of the point.
        cast("_WithArray", instance)._vector = vector


def _as_list(vector: Any) -> Any:
    """Return the components as a list; what is no vector stays as it is, so that looking at it raises nothing."""
    if isinstance(vector, PackedVector):
        return to_list(vector)
    if isinstance(vector, (list, tuple)):
        components = cast("Sequence[Any]", vector)
        return components if isinstance(components, list) else list(components)
    convert = getattr(vector, "tolist", None)
    return convert() if callable(convert) else vector


def given_vector(item: "Point | SearchResult") -> Any:
    """Return the vector as it was given, without conversion: list, array, buffer or `PackedVector`.

    >>> given_vector(Point("a", (1, 2)))
    (1, 2)
    """
    return item._vector


def _shown(item: "Point | SearchResult") -> str:
    """Return the vector for `repr`: in full up to eight components, else its beginning and length; unpacks no more."""
    vector = given_vector(item)
    if isinstance(vector, PackedVector):
        length = len(vector) // 4
        values = to_list(vector[: 4 * min(length, 8)])
    else:
        whole = _as_list(vector)
        values = cast("list[Any]", whole)
        length = len(values) if isinstance(whole, list) else 0
    return repr(values) if length <= 8 else f"[{', '.join(map(repr, values[:4]))}, … {length} in all]"


class _WithArray:
    """Holds the vector of a model as it was given, and gives it its form as a numpy array."""

    _vector: Any

    @property
    def vector_array(self) -> "npt.NDArray[np.float32]":
        """The vector as a numpy array of shape (n,) and dtype float32.

        The array of a vector that came from the server shares the memory it arrived in and is read-only.

        Raises:
            ImportError: numpy is not installed; `pip install "vectron-client[numpy]"` brings it.
        """
        vector = self._vector
        if isinstance(vector, PackedVector):
            array: npt.NDArray[np.float32] = to_array(vector)
            return array
        return importlib.import_module("numpy").asarray(vector, dtype="float32")  # type: ignore[no-any-return]


@dataclass(repr=False)
class Point(_WithArray):
    """A vector with an id and a payload.

    Attributes:
        id: any text of 1 to 512 bytes, unique in its collection.
        vector: given as a list, tuple, `array.array`, numpy array or anything with the buffer protocol; reads as a list
            of floats. The server keeps float32.
        payload: what to keep beside the vector: text keys, JSON values.

    >>> point = Point("vec1", (0.5, 0.25), {"title": "first"})
    >>> point.vector
    [0.5, 0.25]
    """

    id: str
    vector: _VectorField = _VectorField(required=True)
    payload: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Point(id={self.id!r}, vector={_shown(self)}, payload={self.payload!r})"


@dataclass(repr=False)
class SearchResult(_WithArray):
    """One hit of a search.

    Attributes:
        id: the point's id.
        score: a distance: **lower is closer**, and results come in ascending order. cosine: 1 - cos(query, vector),
            from 0 to 2. euclidean: the squared Euclidean distance. dot: the negative inner product.
        payload: what was stored beside the vector; empty when the search left it out.
        vector: a list of floats; empty unless the search asked for vectors.

    >>> SearchResult("vec1", 0.25)
    SearchResult(id='vec1', score=0.25, payload={}, vector=[])
    """

    id: str
    score: float
    payload: dict[str, Any] = field(default_factory=dict)
    vector: _VectorField = _VectorField(required=False)

    def __repr__(self) -> str:
        return f"SearchResult(id={self.id!r}, score={self.score!r}, payload={self.payload!r}, vector={_shown(self)})"


@dataclass(frozen=True)
class ShardStatus:
    """One partition of a collection.

    Attributes:
        shard_id: number of the shard.
        replicas: ids of the workers that hold a copy.
        leader_id: id of the worker that takes its writes; 0 while there is none.
        ready: whether it can answer.
    """

    shard_id: int
    replicas: list[int]
    leader_id: int
    ready: bool


@dataclass(frozen=True)
class CollectionStatus:
    """A collection as the server describes it.

    Attributes:
        name: its name.
        dimension: components of each vector.
        distance: `cosine`, `euclidean` or `dot`.
        shards: its partitions.
    """

    name: str
    dimension: int
    distance: str
    shards: list[ShardStatus]

    @property
    def ready(self) -> bool:
        """Return whether every shard can answer.

        >>> CollectionStatus("docs", 4, "cosine", [ShardStatus(1, [1], 1, True)]).ready
        True
        """
        return bool(self.shards) and all(shard.ready for shard in self.shards)


@dataclass(frozen=True)
class FeedbackItem:
    """Judgement of one result of a search.

    Attributes:
        result_id: id of the point.
        relevance_score: from 1, useless, to 5, perfect.
        clicked: whether it was opened.
        position: its place in the results, from 0.
        comment: anything in words.
    """

    result_id: str
    relevance_score: int
    clicked: bool = False
    position: int = 0
    comment: str = ""


@dataclass(frozen=True)
class UserProfile:
    """An account as the server describes it.

    Attributes:
        id: its id.
        email: its address.
        created_at: when it came to be, in UTC.
        plan: `FREE` or `PAID`; empty when the server does not say.
        subscription_status: `ACTIVE`, `CANCELED` or `PAST_DUE`; empty when the server does not say.
    """

    id: str
    email: str
    created_at: datetime
    plan: str
    subscription_status: str
