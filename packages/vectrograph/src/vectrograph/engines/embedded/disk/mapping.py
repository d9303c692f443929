"""Files mapped into memory, without a descriptor that stays open."""

import ctypes
import mmap
import os
import sys
import weakref
from typing import Any, Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
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
_FAILED: Final = ctypes.c_void_p(-1).value


def mapped(descriptor: int, length: int, *, offset: int = 0, writable: bool = False) -> Any:
    """Map part of a file; the map lasts as long as something refers to the result.

    Whoever maps the same part of a file, in this process or another, sees the same bytes.

    Args:
        descriptor: of the file; it may be closed afterwards.
        length: bytes, at least one.
        offset: of the first byte, a multiple of the page size.
        writable: whether what is written to the map is written to the file.

    Returns:
        Something with the buffer protocol.

    Raises:
        OSError: the system refuses.
    """
    protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, length, mmap.MAP_SHARED, protection, offset=offset, trackfd=False)
    address = _libc.mmap(None, length, protection, mmap.MAP_SHARED, descriptor, offset)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    everything = (ctypes.c_ubyte * length).from_address(address)
    # Views of it may be read until the process ends.
    weakref.finalize(everything, _libc.munmap, address, length).atexit = False
    return everything
