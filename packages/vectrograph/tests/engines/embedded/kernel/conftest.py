"""Data that the tests of the kernel share."""

import numpy as np
import pytest

from benchmarks.engine.datasets import token_table
from vectrograph.domain.points import Vector


@pytest.fixture(scope="session")
def token_rows() -> Vector:
    """Return 6,000 rows of the embedding table of wordllama, in any order."""
    table = token_table()
    table = table[np.abs(table).sum(axis=1) > 0]
    chosen: Vector = np.ascontiguousarray(table[np.random.default_rng(1).permutation(len(table))[:6_000]])
    return chosen
