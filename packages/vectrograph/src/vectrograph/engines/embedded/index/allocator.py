"""Settings of the C library and the kernel for large blocks of memory.

glibc keeps freed blocks of up to 32 MB for the next request once it has seen such sizes come and go, as copies of
graphs do: with 20,000 x 256 vectors 68 MB were resident and 52 after trimming, which takes half a millisecond.

A walk along a graph jumps through its codes and links. In pages of 4 KB they need more entries than the processor's
table of pages has, already at 31,000 x 256; in pages of 2 MB a walk took 83 µs there instead of 87 (Linux 6.18 in a
virtual machine).
"""

import ctypes
import mmap
import sys
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_PAGE: Final = mmap.PAGESIZE
# Number of the advice in Linux' madvise(2).
_MADV_HUGEPAGE: Final = 14
_MADV_COLLAPSE: Final = 25
"""Number of the advice of Linux 6.1."""


@cache
def _function(name: str) -> Any:
    """Return one of the C library, None on other systems and where it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def give_back() -> None:
    """Let the system have what is free."""
    # Other C libraries for Linux have no such function, and keep less.
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def use_large_pages(block: NDArray[np.generic]) -> None:
    """Ask the kernel to hold the memory of an array in large pages, now; where it will not, nothing changes.

    The kernel copies the block: a millisecond for 2 MB, in which the interpreter is free.
    """
    advise = _function("madvise")
    if advise is None or not block.nbytes:
        return
    start = -(-block.ctypes.data // _PAGE) * _PAGE
    length = (block.ctypes.data + block.nbytes) // _PAGE * _PAGE - start
    for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
        if length > 0:
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)
