"""Every instruction set gives the same integer products, and the same exact sums."""

import numpy as np
import pytest
from engines.kernel_rows import built, paths, using
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.engines.embedded.kernel.library import Way, library
from vectrograph.engines.embedded.kernel.search import Searcher


def _products(path: str, codes: np.ndarray, query: np.ndarray) -> list[int]:
    number = paths().index(path)
    out = np.empty(len(codes), np.int32)
    arguments = codes.ctypes.data, query.ctypes.data, codes.shape[1], len(codes), out.ctypes.data
    assert library().vgk_products(number, *arguments) == 0
    return out.tolist()


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("code", [0, 1, 127, 128, 255])
@pytest.mark.parametrize("component", [-127, -1, 0, 127])
def test_products_of_extreme_codes_do_not_saturate(path: str, code: int, component: int) -> None:
    for padded in (64, 128, 192, 16_384):
        codes, query = np.full((2, padded), code, np.uint8), np.full(padded, component, np.int8)
        assert _products(path, codes, query) == [code * component * padded] * 2


@pytest.mark.parametrize("path", paths())
@settings(max_examples=40, deadline=None)
@given(blocks=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_products_are_those_of_numpy(path: str, blocks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (3, 64 * blocks), np.uint8)
    query = random.integers(-127, 128, 64 * blocks).astype(np.int8)
    assert _products(path, codes, query) == (codes.astype(np.int64) @ query.astype(np.int64)).tolist()


@pytest.mark.parametrize("distance", Distance)
@pytest.mark.parametrize("dimension", [1, 2, 15, 16, 17, 100, 1000])
def test_exact_scores_are_the_same_bit_for_bit_on_every_path(distance: Distance, dimension: int) -> None:
    random = np.random.default_rng(dimension)
    vectors = random.standard_normal((50, dimension)).astype(np.float32)
    _, mapped = built(vectors, distance, linked=False)
    answers = set()
    for path in paths():
        with using(path):
            for way in (Way.EXACT, Way.SCAN):
                found = Searcher(dimension).search(
                    mapped, mapped.state(), vectors[7] + np.float32(0.01), 50, beam=1, refine=50, way=way
                )
                answers.add((tuple(found.rows.tolist()), found.scores.tobytes()))
    assert len(answers) == 1


@pytest.mark.parametrize("quantisation", Quantisation)
def test_paths_find_the_same_neighbours(quantisation: Quantisation) -> None:
    random = np.random.default_rng(4)
    vectors = random.standard_normal((400, 70)).astype(np.float32)
    _, mapped = built(vectors, Distance.COSINE, quantisation, breadth=48)
    answers = set()
    for path in paths():
        with using(path):
            found = Searcher(70).search(mapped, mapped.state(), vectors[3], 10, beam=100, refine=30)
            answers.add(tuple(found.rows.tolist()))
    assert len(answers) == 1
