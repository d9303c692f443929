"""The space in which nodes lie: moved, stretched and rounded so that one byte per component is enough.

Every distance becomes one that survives moving the origin: cosine is half of the squared L2 of normalised vectors,
and the inner product with a query changes by the same amount for all when its origin moves. So vectors are centred,
which all-positive data (images) need, and stretched by *one* factor, which keeps the geometry; with int8 the factor
uses up -127 … 127. One factor and whole numbers let faiss compare codes as they are: 1.5 to 2.5 times faster than its
quantiser with a range per component, and more accurate on every data set tried.

How much of the tails to cut off is decided by trial: the largest value may be forty times the usual one (normalised
patches of photographs), and a range that holds it leaves no resolution for the rest.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.distances import Norms, norms
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.float32_arithmetic import LONGEST, SHORTEST, relative_error

_SIMD: Final = (64, 16)
"""Codes are padded to a multiple of the first if that adds an eighth at most, else of the second; see `hnsw`."""
# Part of the dimension, as its denominator, that padding to the wide multiple may add.
_PADDING_SHARE: Final = 8
_LARGEST: Final = {"int8": 127.0, "float16": 60_000.0, "float32": np.inf}
_FLOAT16_TOP: Final = 256.0
"""Float16 value that the largest sampled value becomes: room for values 200 times as large, and far from subnormals."""
_LONGER: Final = {"int8": 1.5, "float16": 200.0, "float32": np.inf}
"""Length that a vector may have under dot, in lengths of the longest sampled: so far, cutting lost no neighbour."""
_CUTS: Final = (0.9999, 0.999, 0.99)
"""Shares of values to try to represent without cutting, beside all; on real data each was best somewhere."""
# Components from which the quantiles to try are taken. Bounds the time of sorting them.
_TRIAL_VALUES: Final = 1 << 21
# Sampled vectors that are looked for in a trial: 1,280 neighbours in all.
_TRIAL_QUERIES: Final = 128
# Sampled vectors among which they are looked for. Bounds the time of a trial.
_TRIAL_ROWS: Final = 2048
# Nearest neighbours that a trial counts: as many as recall is measured with.
_TRIAL_K: Final = 10
# Candidates by rounded values among which they must be: refinement puts near ones in order.
_TRIAL_CANDIDATES: Final = 13
# Share of neighbours by which cutting more must be better: below it is the noise of the trial.
_MIN_GAIN: Final = 0.005
SAMPLE: Final = _TRIAL_ROWS + _TRIAL_QUERIES
"""Vectors that training can make use of."""
# Quantile of the lengths that were cut off in the sample: a query may lose twice as much.
_SPILL_QUANTILE: Final = 0.99
# Length, in steps of a code, that a query may lose besides. Chosen: room for rounding.
_SPILL_SLACK: Final = 8.0
# Least factor by which a query may be shortened to fit; below it rounding leaves too little, and the kernel scores.
_MIN_QUERY_SHARE: Final = 0.25
_SURE: Final = 3.0
"""Standard deviations of rounding errors to allow for."""


class Aim(NamedTuple):
    """A query in the space.

    Attributes:
        point: shape (1, width).
        factor: what the query was multiplied by: under dot to fit the range; under cosine, where a part of a normalised
            query sees the same order, below 1 if the whole would not fit.
    """

    point: Vector
    factor: float


@dataclass(frozen=True, slots=True)
class CodeSpace:
    """Mapping of vectors to points of the graph.

    Attributes:
        distance: of the collection.
        quantisation: of components.
        centre: shape (dimension,), what is subtracted (from the normalised vector under cosine).
        scale: what is multiplied by then.
        error: root mean square distance between points and their codes, in the sample. Cutting is left out: it moves
            a point into the box where aims lie, so that it only seems nearer to each of them.
        radius: root mean square distance of points from the centre, in the sample.
        spill: how far nearly all points of the sample, at most, were moved by cutting.
        outside: share of components beyond the range, in the sample.
        longest: length of the longest vector that has a place. Distances from aims only shrink with what is cut; inner
            products do too, and so those would be lost that are the nearest under dot.
    """

    distance: Distance
    quantisation: Quantisation
    centre: Vector
    scale: float
    error: float = 0.0
    radius: float = 0.0
    spill: float = 0.0
    outside: float = 0.0
    longest: float = LONGEST
    _away: float = field(init=False, repr=False, compare=False)
    """Length of the centre."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_away", float(np.dot(self.centre, self.centre)) ** 0.5)

    @classmethod
    def train(cls, distance: Distance, quantisation: Quantisation, vectors: Vector, lengths: Norms) -> "CodeSpace":
        """Fit the space to a random sample of representable vectors, shape (n, dimension), n > 0."""
        points = _normal(distance, vectors, lengths)
        centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = _scale(distance, quantisation, points - centre, centre)
        space = cls(distance, quantisation, centre, scale)
        exact = (points - centre) * np.float32(scale)
        codes, outside = space.place(vectors, lengths)
        rounded = codes[:, : len(centre)]
        if quantisation is Quantisation.FLOAT16:
            rounded = rounded.astype(np.float16).astype(np.float32)
        within = np.clip(exact, -_LARGEST[quantisation], _LARGEST[quantisation])
        return replace(
            space,
            error=_mean_length(rounded - within),
            radius=_mean_length(within),
            spill=_SPILL_SLACK + 2 * float(np.quantile(norms(exact - within), _SPILL_QUANTILE)),
            outside=outside / vectors.size,
            longest=min(LONGEST, float(lengths.max()) * _LONGER[quantisation]) if space.products else LONGEST,
        )

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return len(self.centre)

    @property
    def width(self) -> int:
        """Components of a code."""
        return _width(self.dimension, self.quantisation)

    @property
    def products(self) -> bool:
        """Return whether nodes are ranked by inner product with the aim, not by squared L2 from it."""
        return self.distance is Distance.DOT

    @property
    def _top(self) -> float:
        """The largest component an aim may have."""
        return 127.0 if self.quantisation is Quantisation.INT8 else 1.0

    def representable(self, lengths: Norms) -> NDArray[np.bool_]:
        """Return which vectors have a place here, by their Euclidean lengths; the others must be scored by the
        kernel.
        """
        fits: NDArray[np.bool_] = (lengths >= SHORTEST) & (lengths <= self.longest)
        if self.distance is not Distance.COSINE:
            fits |= lengths == 0
        return fits

    def place(self, vectors: Vector, lengths: Norms) -> tuple[Vector, int]:
        """Return points for representable vectors, as the numbers their codes stand for.

        Args:
            vectors: shape (n, dimension).
            lengths: shape (n,).

        Returns:
            Shape (n, width), float32, and how many components were beyond the range and were cut.
        """
        points = np.zeros((len(vectors), self.width), np.float32)
        inner = points[:, : self.dimension]
        np.subtract(_normal(self.distance, vectors, lengths), self.centre, out=inner)
        inner *= np.float32(self.scale)
        largest = np.float32(_LARGEST[self.quantisation])
        if self.quantisation is Quantisation.FLOAT32:
            return points, 0
        if self.quantisation is Quantisation.INT8:
            np.rint(inner, out=inner)
        outside = int(np.count_nonzero(np.abs(inner) > largest))
        if outside:
            np.clip(inner, -largest, largest, out=inner)
        return points, outside

    def aim(self, query: Vector, length: float) -> Aim | None:
        """Return the point near which to search for a query, or None when it needs an exact search.

        With int8 an aim has whole numbers from -127 to 127: faiss makes it so, or worse, on some processors.

        Args:
            query: shape (dimension,).
            length: its Euclidean length.
        """
        zero = length == 0 and self.distance is not Distance.COSINE
        if not (zero or SHORTEST <= length <= LONGEST):
            return None
        if self.products:
            # Only the order of products counts, so any length will do.
            factor = self._top / (max(float(query.max()), -float(query.min())) or 1.0)
            return Aim(self._rounded(query * np.float32(factor)), factor)
        if self.distance is Distance.COSINE:
            query = query / np.float32(length)
        inner = (query - self.centre) * np.float32(self.scale)
        factor = 1.0
        if self.quantisation is Quantisation.INT8 and float(np.maximum.reduce(np.abs(inner))) > self._top:
            cut = np.clip(inner, -self._top, self._top)
            if float(np.square(inner - cut).sum()) > self.spill**2:
                factor = self._share(query)
                if factor < _MIN_QUERY_SHARE:
                    return None
                cut = np.clip(
                    (query * np.float32(factor) - self.centre) * np.float32(self.scale), -self._top, self._top
                )
            inner = cut
        return Aim(self._rounded(inner), factor)

    def _share(self, query: Vector) -> float:
        """Return how much of a normalised query fits the range; 0 where less of it would not do."""
        if self.distance is not Distance.COSINE:
            return 0.0
        room = np.float32(self._top / self.scale) + np.sign(query) * self.centre
        return max(0.0, float((room / np.maximum(np.abs(query), np.float32(SHORTEST))).min()))

    def _rounded(self, inner: Vector) -> Vector:
        if self.quantisation is Quantisation.INT8:
            inner = np.rint(inner)
        if self.width == len(inner):
            return inner.reshape(1, -1)
        point = np.zeros((1, self.width), np.float32)
        point[0, : len(inner)] = inner
        return point

    def reach(self, aim: Aim, query: Vector, score: float) -> float:
        """Return how far a code may seem to be though its vector is as near as `score`; beyond it codes can be left
        out.

        Args:
            aim: of the query.
            query: shape (dimension,).
            score: of the worst vector that still counts.

        Returns:
            A squared distance from the aim that is not exceeded, or an inner product that is reached, but for chance:
            rounding errors are as good as independent of the directions of vectors, so a product with one has a
            standard deviation of length · error / √dimension. Float32 arithmetic is allowed its error bound.
        """
        relative = relative_error(self.dimension)
        size = self.radius + self.scale * self._away
        # Float16 rounds large components, and long vectors, more than others: its errors do point somewhere.
        narrow = 2.0 if self.quantisation is Quantisation.FLOAT16 else _SURE / self.dimension**0.5
        rounding = (self.dimension / 12) ** 0.5 if self.quantisation is Quantisation.INT8 else 0.0
        if self.products:
            centred = (-score - float(np.dot(query, self.centre))) * aim.factor * self.scale
            length = float(np.linalg.norm(aim.point))
            blur = ((length * self.error) ** 2 + (self.radius * rounding) ** 2) ** 0.5
            return float(centred - narrow * blur - relative * length * size)
        apart = max(score, 0.0)
        if self.distance is Distance.COSINE:
            apart = (1 - aim.factor) ** 2 + 2 * aim.factor * apart
        apart *= self.scale**2
        error = (self.error**2 + rounding**2 + (relative * size) ** 2) ** 0.5
        return float((1 + relative) * apart + error**2 + narrow * (2 * apart**0.5 + error) * error)


@cache
def _width(dimension: int, quantisation: Quantisation) -> int:
    if quantisation is Quantisation.FLOAT32:
        return dimension
    wide, narrow = (-(-dimension // block) * block for block in _SIMD)
    return wide if (wide - dimension) * _PADDING_SHARE <= dimension else narrow


def _mean_length(rows: Vector) -> float:
    return float(np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean()))


def _normal(distance: Distance, vectors: Vector, lengths: Norms) -> Vector:
    return vectors / lengths[:, np.newaxis] if distance is Distance.COSINE else vectors


def _scale(distance: Distance, quantisation: Quantisation, centred: Vector, centre: Vector) -> float:
    sizes = np.abs(centred).ravel()
    top = float(sizes.max())
    if top == 0.0 or quantisation is Quantisation.FLOAT32:
        return 1.0
    if quantisation is Quantisation.FLOAT16:
        return _FLOAT16_TOP / top
    best, chosen = -1.0, top
    for limit in (top, *np.quantile(sizes[:: 1 + len(sizes) // _TRIAL_VALUES], _CUTS).tolist()):
        if limit == 0.0:
            break
        hits = _trial(distance, centred, centre, 127.0 / limit)
        if hits > best + _MIN_GAIN:
            best, chosen = hits, limit
    return 127.0 / chosen


def _trial(distance: Distance, centred: Vector, centre: Vector, scale: float) -> float:
    """Return share of the ten nearest of some vectors that are among the thirteen nearest after rounding and
    cutting.
    """
    queries = centred[: min(_TRIAL_QUERIES, len(centred) // 2)]
    rows = centred[len(queries) :][:_TRIAL_ROWS]
    if len(rows) <= _TRIAL_CANDIDATES or not len(queries):
        return 1.0
    rounded = _coded(rows, scale)
    if distance is Distance.DOT:
        queries = queries + centre
        exact, seen = -(queries @ rows.T), -(queries @ rounded.T)
    else:
        aims = _coded(queries, scale)
        exact = np.square(rows).sum(axis=1) - 2 * (queries @ rows.T)
        seen = np.square(rounded).sum(axis=1) - 2 * (aims @ rounded.T)
    limits = np.partition(exact, _TRIAL_K - 1, axis=1)[:, _TRIAL_K - 1, np.newaxis]
    among = np.argpartition(seen, _TRIAL_CANDIDATES - 1, axis=1)[:, :_TRIAL_CANDIDATES]
    hits = (np.take_along_axis(exact, among, axis=1) <= limits).sum(axis=1)
    return float(np.minimum(hits, _TRIAL_K).mean() / _TRIAL_K)


def _coded(points: Vector, scale: float) -> Vector:
    coded: Vector = np.clip(np.rint(points * np.float32(scale)), -127, 127) / np.float32(scale)
    return coded
