"""The native library: loading it, the structs it shares with Python, and the instruction sets it can use.

It is called through ctypes, which gives up the GIL for every call and needs no compiler for each version of Python.
`kernel/vectrograph_kernel.h` of the distribution's sources says what the structs and functions mean.
"""

import ctypes
import os
import sys
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

from vectrograph.domain.collections import Distance, Quantisation

FORMAT: Final = 1
"""Number of the format of arrays and structs; a library of another is refused."""
LINKS: Final = 32
"""Neighbours of a row on level 0."""
UPPER_LINKS: Final = 16
"""Neighbours of a row on each level above."""
ALIVE: Final = 2**63 - 1
"""Value of `died` for a row that is live."""
HEADER_BYTES: Final = 4096
"""Of the header array: a page, of which the kernel uses the beginning."""

# Names the path to use: one of `instruction_sets()`. For tests, and for measuring what another processor would do.
_VARIABLE: Final = "VECTROGRAPH_INSTRUCTION_SET"
_ENDINGS: Final = {"win32": ".dll", "darwin": ".dylib"}
LIBRARY: Final = Path(__file__).with_name("_kernel.native" + _ENDINGS.get(sys.platform, ".so"))
"""Written by `hatch_build.py` when the distribution is built. Two dots in its name keep Python from seeing a module."""


class KernelUnavailable(Exception):
    """The library is missing, of another format, or not for this processor."""


class Way(IntEnum):
    """Way to search: walk along the links, scan the codes, or compare the original vectors."""

    WALK = 0
    SCAN = 1
    EXACT = 2


class Status(IntEnum):
    """Result of a call."""

    OK = 0
    STOPPED = 1
    NO_MEMORY = 2
    NO_ROOM = 3
    BAD_ARGUMENT = 4
    STALE = 5


METRICS: Final = {Distance.COSINE: 0, Distance.EUCLIDEAN: 1, Distance.DOT: 2}
KINDS: Final = {Quantisation.INT8: 0, Quantisation.FLOAT16: 1, Quantisation.FLOAT32: 2}

_pointer, _long, _int = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class HeaderStruct(ctypes.Structure):
    """The header array. Its counters are read and written by the kernel alone, which does so atomically."""

    _fields_ = (
        ("magic", ctypes.c_uint64),
        ("format", ctypes.c_uint32),
        ("dimension", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("metric", ctypes.c_uint32),
        ("stride", _long),
        ("_padding", ctypes.c_uint8 * 32),
        ("linked", _long),
        ("entry", _long),
        ("upper_used", _long),
        ("_padding2", ctypes.c_uint8 * 40),
        ("turn", ctypes.c_uint64),
        ("seq", _long),
        ("rows", _long),
        ("_padding3", ctypes.c_uint8 * 40),
    )


class IndexStruct(ctypes.Structure):
    """Addresses of the arrays in this process."""

    _fields_ = (
        ("header", _pointer),
        ("records", _pointer),
        ("links", _pointer),
        ("upper_at", _pointer),
        ("upper", _pointer),
        ("same", _pointer),
        ("died", _pointer),
        ("vectors", _pointer),
        ("created", _pointer),
        ("centre", _pointer),
        ("locks", _pointer),
        ("capacity", _long),
        ("upper_capacity", _long),
        ("vector_rows", _long),
        ("stride", _long),
        ("dimension", _int),
        ("kind", _int),
        ("metric", _int),
        ("_padding", _int),
    )


class QueryStruct(ctypes.Structure):
    """Query of a search; `Searcher` packs its fields in this order."""

    _fields_ = (
        ("vector", _pointer),
        ("allowed", _pointer),
        ("list", _pointer),
        ("also", _pointer),
        ("stop", _pointer),
        ("allowed_rows", _long),
        ("list_count", _long),
        ("also_count", _long),
        ("seq", _long),
        ("rows", _long),
        ("linked", _long),
        ("budget", _long),
        ("k", _int),
        ("beam", _int),
        ("refine", _int),
        ("way", _int),
        ("any_dead", _int),
        ("_padding", _int),
    )


class AnswerStruct(ctypes.Structure):
    """Answer of a search."""

    _fields_ = (
        ("rows", _pointer),
        ("scores", _pointer),
        ("count", _long),
        ("compared", _long),
        ("refined", _long),
        ("accepted", _long),
        ("way", _long),
    )


class LinkOptionsStruct(ctypes.Structure):
    """Options of linking."""

    _fields_ = (
        ("stop", _pointer),
        ("budget", _long),
        ("breadth", _int),
        ("alpha", ctypes.c_float),
    )


# Result and arguments of each function.
_FUNCTIONS: Final = {
    "vgk_format": (_int, ()),
    "vgk_sizes": (None, (_pointer,)),
    "vgk_stride": (_long, (_int, _int)),
    "vgk_levels": (_long, (_long,)),
    "vgk_upper_blocks": (_long, (_long, _long)),
    "vgk_path_name": (ctypes.c_char_p, (_int,)),
    "vgk_path_available": (_int, (_int,)),
    "vgk_path_used": (_int, ()),
    "vgk_use_path": (_int, (_int,)),
    "vgk_header_create": (None, (_pointer,)),
    "vgk_header_fits": (_int, (_pointer,)),
    "vgk_publish": (None, (_pointer, _long, _long)),
    "vgk_state": (None, (_pointer, _pointer)),
    "vgk_linked": (_long, (_pointer,)),
    "vgk_set_linked": (None, (_pointer, _long)),
    "vgk_entry": (_long, (_pointer,)),
    "vgk_append": (_int, (_pointer, _pointer, _long, _long, _pointer)),
    "vgk_mark_dead": (_int, (_pointer, _pointer, _long, _long)),
    "vgk_revive_after": (_long, (_pointer, _long, _long)),
    "vgk_scratch_new": (_pointer, ()),
    "vgk_scratch_free": (None, (_pointer,)),
    "vgk_scratch_bytes": (_long, (_pointer,)),
    "vgk_search": (_int, (_pointer, _pointer, _pointer, _pointer)),
    "vgk_link": (_int, (_pointer, _pointer, _pointer, _long, _long, _pointer)),
    "vgk_rows_of_bits": (_long, (_pointer, _long, _pointer, _long)),
    "vgk_count_bits": (_long, (_pointer, _long)),
    "vgk_products": (_int, (_int, _pointer, _pointer, _long, _long, _pointer)),
}


@cache
def library() -> ctypes.CDLL:
    """Load the library, once.

    Raises:
        KernelUnavailable: it cannot be used here; exact search needs none.
    """
    try:
        loaded = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise KernelUnavailable(
            f"the index kernel {LIBRARY} cannot be loaded ({error}); install vectrograph anew"
        ) from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name, None)
        if function is None:
            raise KernelUnavailable(f"{LIBRARY} has no function {name}: it is of another version; install anew")
        function.restype, function.argtypes = result, arguments
    structs = (HeaderStruct, IndexStruct, QueryStruct, AnswerStruct, LinkOptionsStruct)
    sizes = (ctypes.c_int64 * len(structs))()
    loaded.vgk_sizes(sizes)
    if loaded.vgk_format() != FORMAT or list(sizes) != [ctypes.sizeof(struct) for struct in structs]:
        raise KernelUnavailable(f"{LIBRARY} is of format {loaded.vgk_format()}, not {FORMAT}; install vectrograph anew")
    forced = os.environ.get(_VARIABLE)
    if forced:
        _use(loaded, forced)
    return loaded


def instruction_sets() -> list[str]:
    """Return the names of the paths that this processor can execute, from the slowest to the fastest."""
    return [name for name, number in _paths(library()).items() if library().vgk_path_available(number)]


def instruction_set() -> str:
    """Return the name of the path in use."""
    name: bytes = library().vgk_path_name(library().vgk_path_used())
    return name.decode()


def use_instruction_set(name: str) -> None:
    """Use one path from now on, in the whole process.

    Raises:
        KernelUnavailable: there is none of this name, or this processor lacks it.
    """
    _use(library(), name)


def _paths(loaded: ctypes.CDLL) -> dict[str, int]:
    paths: dict[str, int] = {}
    while (name := loaded.vgk_path_name(len(paths))) is not None:
        paths[name.decode()] = len(paths)
    return paths


def _use(loaded: ctypes.CDLL, name: str) -> None:
    paths = _paths(loaded)
    if name not in paths or loaded.vgk_use_path(paths[name]) != Status.OK:
        usable = ", ".join(each for each, number in paths.items() if loaded.vgk_path_available(number))
        raise KernelUnavailable(f"instruction set {name!r} is not to be had on this processor; there are: {usable}")
