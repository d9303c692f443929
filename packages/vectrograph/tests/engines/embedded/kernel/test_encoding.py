"""Codes of vectors: what numpy makes of them, at every dimension and for every kind of vector."""

import numpy as np
import pytest
from engines.kernel_rows import built
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.kernel.arrays import IndexArrays, Mapped, Shape
from vectrograph.engines.embedded.kernel.library import Way
from vectrograph.engines.embedded.kernel.search import Searcher


def _decoded(mapped: Mapped, row: int) -> tuple[Vector, float, float]:
    """Return what a code stands for, its scale and its bias."""
    shape = mapped.shape
    record = mapped.arrays["records"][row]
    scale, bias = record[shape.stride - 8 :].copy().view(np.float32).tolist()
    code = record[: shape.stride - 8]
    if shape.quantisation is Quantisation.INT8:
        values = code[: shape.dimension].astype(np.float32) - 128
    else:
        kind = np.float16 if shape.quantisation is Quantisation.FLOAT16 else np.float32
        values = code.copy().view(kind)[: shape.dimension].astype(np.float32)
    return values * np.float32(scale), scale, bias


_floats = st.floats(-1e4, 1e4, width=32, allow_subnormal=True)
_vectors = st.integers(1, 70).flatmap(lambda n: arrays_of.arrays(np.float32, (n,), elements=_floats))


@settings(max_examples=150, deadline=None)
@given(vector=_vectors, quantisation=st.sampled_from(Quantisation), distance=st.sampled_from(Distance))
def test_a_code_is_as_near_to_its_vector_as_its_kind_allows(
    vector: Vector, quantisation: Quantisation, distance: Distance
) -> None:
    arrays = IndexArrays.create(Shape(distance, quantisation, len(vector)))
    length = float(np.sqrt(np.square(vector.astype(np.float64)).sum()))
    (placed,) = arrays.append(0, vector[np.newaxis])
    assert placed == (length >= 1e-15 or (length == 0 and distance is not Distance.COSINE))
    if not placed:
        assert np.isnan(_decoded(arrays.mapped, 0)[2])
        return
    moved = vector / np.float32(length) if distance is Distance.COSINE else vector
    decoded, scale, bias = _decoded(arrays.mapped, 0)
    largest = float(np.abs(moved).max())
    steps = {Quantisation.INT8: 0.502 / 127, Quantisation.FLOAT16: 2.0**-11, Quantisation.FLOAT32: 2.0**-22}
    assert float(np.abs(decoded - moved).max()) <= steps[quantisation] * largest + 1e-30
    assert scale <= 2.001 * largest or scale in (0.0, 1.0)
    wide = moved.astype(np.float64)
    wanted = 0.0 if distance is Distance.DOT else float(decoded.astype(np.float64) @ wide - wide @ wide / 2)
    assert bias == pytest.approx(wanted, rel=1e-5, abs=1e-6 * largest**2 * len(vector))


@pytest.mark.parametrize("quantisation", Quantisation)
@pytest.mark.parametrize("dimension", [1, 2, 63, 64, 65, 255, 768, 4097, 16_384])
def test_every_dimension_is_searched(quantisation: Quantisation, dimension: int) -> None:
    random = np.random.default_rng(dimension)
    vectors = random.standard_normal((40, dimension)).astype(np.float32)
    _, mapped = built(vectors, Distance.EUCLIDEAN, quantisation, breadth=20)
    searcher = Searcher(dimension)
    for way in Way:
        found = searcher.search(mapped, mapped.state(), vectors[17], 1, beam=40, refine=8, way=way)
        assert (found.rows.tolist(), found.scores.tolist(), found.way) == ([17], [0.0], way)


def test_a_dimension_beyond_the_limit_has_no_record() -> None:
    assert Shape(Distance.DOT, Quantisation.INT8, 16_385).stride == 0
    assert Shape(Distance.DOT, Quantisation.INT8, 256).stride == 264


_STRANGE = {
    "zero": 0.0,
    "minus zero": -0.0,
    "denormal": 1e-42,
    "tiny": 1e-30,
    "small": 1e-12,
    "large": 1e12,
    "huge": 1e30,
    "largest": 3.4e38,
}


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("strange", _STRANGE)
def test_strange_vectors_are_found_and_hide_no_others(distance: Distance, strange: str) -> None:
    """Rows without a code are handed to every search; queries without one are compared exactly."""
    random = np.random.default_rng(5)
    vectors = random.standard_normal((300, 6)).astype(np.float32)
    vectors[40] = np.float32(_STRANGE[strange])
    arrays = IndexArrays.create(Shape(distance, Quantisation.INT8, 6))
    placed = arrays.append(0, vectors)
    mapped = arrays.bind(vectors)
    also = np.flatnonzero(~placed).astype(np.int32)
    state = arrays.publish(1, 300)
    searcher = Searcher(6)
    for query in (vectors[3], vectors[40]):
        exact = searcher.search(mapped, state, query, 300, beam=1, refine=300, way=Way.EXACT)
        assert sorted(exact.rows.tolist()) == list(range(300))
        assert np.isfinite(exact.scores).all()
        found = searcher.search(mapped, state, query, 300, beam=1, refine=300, way=Way.SCAN, also=also)
        assert found.rows.tolist() == exact.rows.tolist()
        assert found.scores.tolist() == exact.scores.tolist()
