"""Limits of float32 arithmetic, for paths that choose candidates with it before the kernel scores them.

See N. J. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: in any order of summation,
|fl(q·v) - q·v| <= d·u/(1 - d·u)·|q||v|.
"""

from typing import Final

# Least length of a vector, besides 0, whose float32 products do not vanish. Shorter vectors go to the kernel directly.
SHORTEST: Final = 1e-15
# Largest length of a vector whose float32 products do not overflow. Longer vectors go to the kernel directly.
LONGEST: Final = 1e15

# u, the unit roundoff of float32 (IEEE 754).
_UNIT_ROUNDOFF: Final = 2.0**-24
# Operations allowed beyond the d of a product. Chosen: room for the few that scale it or combine it with lengths.
_MORE_OPERATIONS: Final = 32


def relative_error(dimension: int) -> float:
    """Return a bound of the rounding error of an inner product, as a share of the product of the two lengths.

    Args:
        dimension: of both vectors.

    >>> relative_error(96) == 2**-17
    True
    """
    return (dimension + _MORE_OPERATIONS) * _UNIT_ROUNDOFF
