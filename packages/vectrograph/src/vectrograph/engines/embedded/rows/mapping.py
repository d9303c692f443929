"""Read-only maps of files that keep no descriptor: those of `mmap` keep one each before Python 3.13."""

import ctypes
import mmap
import os
import sys
import weakref
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value


def mapped(descriptor: int, length: int) -> Any:
    """Map the first bytes of a file for reading; the map lasts as long as something refers to the result.

    Args:
        descriptor: of the file; it may be closed afterwards.
        length: bytes, at least one.

    Returns:
        Something with the buffer protocol.

    Raises:
        OSError: the system refuses.
    """
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, length, mmap.MAP_SHARED, mmap.PROT_READ, trackfd=False)
    address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    everything = (ctypes.c_ubyte * length).from_address(address)
    # Views of it may be read until the process ends.
    weakref.finalize(everything, _libc.munmap, address, length).atexit = False
    return everything
