"""Grid: the place of a token in eight spaces of three dimensions each, given or derived from its embedding.

The levels are those of NeuroGraph: physical, sensory, motor, emotional (valence, arousal, dominance), cognitive,
social, temporal and abstract. A level that nobody placed a token in has the derived coordinates, so that every token
has a place in each.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.cdna import DEFAULT_PROFILE, PROFILES
from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.points import KEEP, Keep, Payload, Vector

LEVELS: Final = (
    "L1Physical",
    "L2Sensory",
    "L3Motor",
    "L4Emotional",
    "L5Cognitive",
    "L6Social",
    "L7Temporal",
    "L8Abstract",
)
AXES: Final = 3
"""Axes of a level: x, y and z."""
COMPONENTS: Final = len(LEVELS) * AXES
"""Coordinates of a token: those of level i are 3i, 3i + 1 and 3i + 2."""

DERIVED_SCALE: Final = 300.0
"""Factor of derived coordinates. Measured on 20,000 sentences and on all words of the default model: within the default
radius of 10 around a token are 1.5 % of the others in each single space (300 of 20,000), and nobody is outside of
±300."""
MAX_COORDINATE: Final = 1e100
"""Largest absolute value of a coordinate and of a field radius: sums of scaled squares stay finite."""

DEFAULT_WEIGHT: Final = 0.5
"""Weight of a token that was given none, from 0 to 1: NeuroGraph's default."""
DEFAULT_FIELD_RADIUS: Final = 1.0
"""Distance at which the influence of a token ends unless another was given: NeuroGraph's default."""
DEFAULT_FIELD_STRENGTH: Final = 1.0
"""Influence of a token at its own place unless another was given, from 0 to 1: NeuroGraph's default."""

GRID_KEY: Final = "$grid"
"""Key of a token's payload under which its placement is stored; no metadata may have it."""
PLACEMENT_BYTES: Final = 2_048
"""Room for a stored placement beside the metadata, in bytes of JSON: 27 numbers of up to 25 characters, and names."""

EXPLORER_SCALES: Final = PROFILES[DEFAULT_PROFILE].scales
"""Scale of each level in distances across all levels: NeuroGraph's default profile, explorer."""

Coordinates: TypeAlias = NDArray[np.float64]
"""Shape (tokens, 24)."""
Axes: TypeAlias = tuple[float, float, float]

_INDEX_OF: Final[Mapping[str, int]] = MappingProxyType({name: index for index, name in enumerate(LEVELS)})
_NO_COORDINATES: Final[Mapping[str, Axes]] = MappingProxyType({})
_FIELDS: Final = ("weight", "field_radius", "field_strength")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The part of a token's place that was given, and its field.

    Attributes:
        coordinates: name of a level to x, y and z, for each level that was given.
        weight: from 0 to 1.
        field_radius: distance at which the token's influence ends; 0: it acts at its own place only.
        field_strength: influence at its own place, from 0 to 1.
    """

    coordinates: Mapping[str, Axes] = field(default_factory=lambda: _NO_COORDINATES)
    weight: float = DEFAULT_WEIGHT
    field_radius: float = DEFAULT_FIELD_RADIUS
    field_strength: float = DEFAULT_FIELD_STRENGTH

    def document(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON values; every number comes back bit for bit."""
        document: dict[str, Any] = {}
        if self.coordinates:
            document["coordinates"] = {name: [*self.coordinates[name]] for name in LEVELS if name in self.coordinates}
        document.update(
            (name, getattr(self, name)) for name in _FIELDS if getattr(self, name) != getattr(UNPLACED, name)
        )
        return document


UNPLACED: Final = Placement()
"""The placement of a token that was given nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementChange:
    """Change of a placement; KEEP leaves a part alone, None takes it back.

    Attributes:
        coordinates: name of a level to its new axes, None to derive the level again; levels without an entry stay. None
            derives all levels again.
        weight, field_radius, field_strength: the new value; None for the default.
    """

    coordinates: Mapping[str, Sequence[float] | None] | Keep | None = KEEP
    weight: float | Keep | None = KEEP
    field_radius: float | Keep | None = KEEP
    field_strength: float | Keep | None = KEEP

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is to change."""
        return self == UNCHANGED

    def applied(self, placement: Placement, place: Place = ()) -> Placement:
        """Return a placement with this change.

        Args:
            placement: as it is.
            place: of the token in the request, for an error.

        Raises:
            InvalidArgument: a level is unknown, or a number is not acceptable; nothing was changed.
        """
        changed: dict[str, Any] = {}
        for name in _FIELDS:
            value = getattr(self, name)
            if value is not KEEP:
                default = getattr(UNPLACED, name)
                largest = MAX_COORDINATE if name == "field_radius" else 1.0
                changed[name] = default if value is None else _number(value, (*place, name), 0.0, largest)
        if self.coordinates is None:
            changed["coordinates"] = _NO_COORDINATES
        elif not isinstance(self.coordinates, Keep):
            changed["coordinates"] = self._merged(placement.coordinates, (*place, "coordinates"))
        return replace(placement, **changed) if changed else placement

    def _merged(self, given: Mapping[str, Axes], place: Place) -> Mapping[str, Axes]:
        merged = dict(given)
        if not isinstance(self.coordinates, Mapping):
            raise InvalidArgument.of(place, "must be an object of levels", "dict_type")
        for name, axes in self.coordinates.items():
            if name not in _INDEX_OF:
                raise InvalidArgument.of(
                    (*place, name), f"is no level; the levels are {', '.join(LEVELS)}", "extra_forbidden"
                )
            if axes is None:
                merged.pop(name, None)
            else:
                merged[name] = _axes(axes, (*place, name))
        return merged


UNCHANGED: Final = PlacementChange()
"""The change that changes nothing."""


def split_payload(payload: Payload) -> tuple[Payload, Placement]:
    """Return metadata and placement of a stored payload. A value under `GRID_KEY` that is no placement is metadata.

    >>> split_payload({"a": 1, "$grid": {"weight": 0.25}})[1].weight
    0.25
    """
    if GRID_KEY not in payload:
        return payload, UNPLACED
    placement = stored_placement(payload[GRID_KEY])
    if placement is None:
        return payload, UNPLACED
    return {name: value for name, value in payload.items() if name != GRID_KEY}, placement


def joined_payload(metadata: Payload, placement: Placement) -> Payload:
    """Return the payload that holds metadata and placement.

    >>> joined_payload({"a": 1}, UNPLACED)
    {'a': 1}
    """
    document = placement.document()
    return {**metadata, GRID_KEY: document} if document else metadata


def stored_placement(document: object) -> Placement | None:
    """Return the placement that a value under `GRID_KEY` stands for; None when it is none."""
    if not isinstance(document, Mapping) or not document or not document.keys() <= {"coordinates", *_FIELDS}:
        return None
    if any(value is None for value in document.values()):
        return None
    coordinates = document.get("coordinates", _NO_COORDINATES)
    if not isinstance(coordinates, Mapping) or any(axes is None for axes in coordinates.values()):
        return None
    try:
        return PlacementChange(**document).applied(UNPLACED)
    except InvalidArgument:
        return None


def refuse_reserved_key(metadata: Payload | None, place: Place) -> None:
    """Accept metadata without the reserved key.

    Raises:
        InvalidArgument: it has the key.
    """
    if metadata is not None and GRID_KEY in metadata:
        raise InvalidArgument.of(
            place,
            f"has the key {GRID_KEY}, under which the server stores coordinates; send them as `coordinates`, `weight`, "
            "`field_radius` and `field_strength`",
        )


def derive(vectors: Vector) -> Coordinates:
    """Return the derived coordinates of embeddings.

    They are the first 24 components of the orthonormal discrete cosine transform of type II (N. Ahmed, T. Natarajan,
    K. R. Rao, "Discrete Cosine Transform", IEEE Transactions on Computers C-23, 1974; scaled as `scipy.fft.dct(x,
    norm="ortho")`), times `DERIVED_SCALE`: component k of a vector x of dimension d is
    c(k) · Σ x(n) cos(π (2n + 1) k / 2d), with c(0) = √(1/d), else c(k) = √(2/d). Component 3i + a is axis a of level i;
    with fewer than 24 dimensions those from d on are 0. The projection is linear and keeps the distances of these
    components, and an embedding has the same coordinates whatever is derived beside it.

    Args:
        vectors: shape (tokens, dimension).

    >>> round(float(derive(np.ones((1, 4), np.float32))[0, 0]), 9)
    600.0
    """
    # Not a matrix product: those of BLAS round differently for another number of rows.
    projected: Coordinates = np.einsum("nd,kd->nk", vectors.astype(np.float64), _basis(vectors.shape[1]))
    projected *= DERIVED_SCALE
    return projected


def placed(derived: Coordinates, placements: Sequence[Placement]) -> Coordinates:
    """Put the given coordinates of each token over its derived ones, in place; returns them."""
    for row, placement in zip(derived, placements, strict=True):
        for name, axes in placement.coordinates.items():
            first = _INDEX_OF[name] * AXES
            row[first : first + AXES] = axes
    return derived


@lru_cache(maxsize=8)
def _basis(dimension: int) -> Coordinates:
    """Return the basis of the projection, shape (24, dimension)."""
    columns = np.arange(dimension, dtype=np.float64)
    basis = np.zeros((COMPONENTS, dimension))
    for k in range(min(COMPONENTS, dimension)):
        scale = math.sqrt((1.0 if k == 0 else 2.0) / dimension)
        basis[k] = scale * np.cos(math.pi * (2.0 * columns + 1.0) * k / (2.0 * dimension))
    basis.flags.writeable = False
    return basis


def _axes(axes: object, place: Place) -> Axes:
    if not isinstance(axes, Sequence) or isinstance(axes, str | bytes):
        raise InvalidArgument.of(place, "must be a list of three numbers: x, y and z", "list_type")
    if len(axes) != AXES:
        raise InvalidArgument.of(place, f"has {len(axes)} axes and a level has three: x, y and z", "value_error")
    x, y, z = (_number(axis, (*place, n), -MAX_COORDINATE, MAX_COORDINATE) for n, axis in enumerate(axes))
    return x, y, z


def _number(value: object, place: Place, least: float, most: float) -> float:
    if not _is_number(value):
        raise InvalidArgument.of(place, "must be a number", "float_type")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidArgument.of(place, "must be a finite number", "finite_number")
    if not least <= number <= most:
        raise InvalidArgument.of(place, f"is {number!r} and must be from {least:g} to {most:g}", "out_of_range")
    return number


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
