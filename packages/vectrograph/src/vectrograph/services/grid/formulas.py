"""Influence and density at a place: the formulas of NeuroGraph's core, for a field radius of 0 as well."""

import math

import numpy as np

from vectrograph.services.grid.arrays import Floats


def influence(distances: Floats, radii: Floats, strengths: Floats) -> float:
    """Return Σ strength · (1 − distance / field radius) over the tokens whose field reaches the place.

    A token with field radius 0 acts at its own place only, with its whole strength.

    >>> influence(np.array([0.0, 1.0, 5.0]), np.array([0.0, 4.0, 4.0]), np.array([0.5, 1.0, 1.0]))
    1.25
    """
    reached = distances <= radii
    distances, radii, strengths = distances[reached], radii[reached], strengths[reached]
    share = np.divide(distances, radii, out=np.zeros(len(radii)), where=radii > 0)
    return float(np.sum(strengths * (1.0 - share)))


def density(count: int, radius: float, dimensions: int) -> float:
    """Return tokens per volume of a ball: count / (4/3 · π · r³), in three dimensions.

    In n dimensions the volume is π^(n/2) / Γ(n/2 + 1) · rⁿ (NIST Digital Library of Mathematical Functions, 5.19.4).

    >>> round(density(10, 1.0, 3), 6)
    2.387324
    """
    factor = 4.0 / 3.0 * math.pi if dimensions == 3 else math.pi ** (dimensions / 2) / math.gamma(dimensions / 2 + 1)
    try:
        volume = factor * radius**dimensions
    except OverflowError:
        return 0.0
    return count / volume
