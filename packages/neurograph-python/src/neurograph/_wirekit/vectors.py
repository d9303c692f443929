# Generated from packages/wirekit/src/wirekit/vectors.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Any vector to float32 bytes or to plain floats, and back, without a Python loop over its components.

A vector is a list or tuple of numbers, an iterator over them, an `array.array`, a numpy array, or anything else that
offers the buffer protocol or `__array__`. Masked arrays are refused: their mask would be lost. numpy is used when the
program has it already and is never imported for you.
"""

import functools
import importlib
import itertools
import math
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, SupportsFloat

from neurograph._wirekit.values import is_masked

#: Components read from an iterator. Far above the dimension of any model, it ends iterators that never end.
MAX_COMPONENTS: Final = 1_000_000

_LITTLE_ENDIAN = sys.byteorder == "little"
_NATIVE_FLOAT32 = ("f", "<f", "=f", "@f") if _LITTLE_ENDIAN else ()


class VectorError(ValueError):
    """This is not a vector that can be stored: wrong dimension, a component that is no finite number.

    Attributes:
        label: what the caller called the vector.
        position: index of the first offending component, when one is to blame.
        reason: what is wrong, without the label.
    """

    def __init__(self, label: str, reason: str, position: int | None = None) -> None:
        super().__init__(label, reason, position)
        self.label = label
        self.reason = reason
        self.position = position

    def __str__(self) -> str:
        place = self.label if self.position is None else f"{self.label}[{self.position}]"
        return f"{place} {self.reason}"


def pack(vector: Any, *, dimension: int | None = None, label: str = "vector") -> bytes:
    """Return the components as little-endian float32, 4 bytes each: what a packed `repeated float` carries.

    Args:
        vector: one-dimensional, see the module.
        dimension: how many components there must be; any number when absent.
        label: how errors call the vector.

    Raises:
        VectorError: wrong dimension, not one-dimensional, or a component that is not a finite float32.

    >>> pack([1.0, -2.0]).hex()
    '0000803f000000c0'
    >>> pack([1.0, float("nan")], label="v")
    Traceback (most recent call last):
    neurograph._wirekit.vectors.VectorError: v[1] is nan; every component must be a finite number within float32
    """
    numpy = sys.modules.get("numpy")
    if hasattr(vector, "__next__"):
        vector = settled(vector, label)
    if isinstance(vector, (list, tuple)):
        packed = _packed(numpy, vector)
        if packed is not None and (dimension is None or len(vector) == dimension):
            return packed
        return _pack_array(_float32_array(vector, label), dimension, label)
    if numpy is None:
        return _pack_array(_float32_array(vector, label), dimension, label)
    if type(vector) is numpy.ndarray and _ready(numpy, vector) and (dimension is None or len(vector) == dimension):
        return vector.tobytes()  # type: ignore[no-any-return]
    return _pack_numpy(numpy, vector, dimension, label)


def floats(vector: Any, *, dimension: int | None = None, label: str = "vector") -> list[float]:
    """Return the components as a list of Python floats, for JSON; arguments and errors as in `pack`.

    Components of a list or tuple keep their full precision.

    >>> floats((1, 2.5))
    [1.0, 2.5]
    """
    numpy = sys.modules.get("numpy")
    if hasattr(vector, "__next__"):
        vector = settled(vector, label)
    if numpy is not None and not isinstance(vector, (list, tuple)):
        return list(_checked_numpy(numpy, vector, dimension, label, None).tolist())
    values = _float64_array(vector, label)
    _check(values, dimension, label)
    return values.tolist()


def settled(vector: Any, label: str = "vector") -> Any:
    """Return the components of an iterator as a list, and any other vector as it is.

    Raises:
        VectorError: the iterator yields more than MAX_COMPONENTS.

    >>> settled(iter((1.0, 2.0)))
    [1.0, 2.0]
    """
    if not hasattr(vector, "__next__"):
        return vector
    components = list(itertools.islice(vector, MAX_COMPONENTS + 1))
    if len(components) > MAX_COMPONENTS:
        raise VectorError(label, f"yields more than {MAX_COMPONENTS} components")
    return components


def to_list(data: bytes | bytearray | memoryview) -> list[float]:
    """Return little-endian float32 bytes as a list of Python floats.

    Raises:
        ValueError: the length is no multiple of 4.

    >>> to_list(bytes.fromhex("0000803f000000c0"))
    [1.0, -2.0]
    """
    values = array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def to_array(data: bytes | bytearray | memoryview) -> Any:
    """Return little-endian float32 bytes as a numpy array of shape (n,) and dtype float32 that shares their memory.

    Raises:
        ImportError: numpy is not installed.
        ValueError: the length is no multiple of 4.
    """
    return importlib.import_module("numpy").frombuffer(data, dtype="<f4")


def _ready(numpy: Any, vector: Any) -> bool:
    """Return whether a numpy array is a vector as it travels: float32, one-dimensional, finite."""
    kind = vector.dtype
    if kind.char != "f" or not kind.isnative or not _LITTLE_ENDIAN or vector.ndim != 1:
        return False
    return b"\0" not in numpy.isfinite(vector).tobytes()  # several times faster than `all`


def _packed(numpy: Any, vector: Sequence[Any]) -> bytes | None:
    """Return a list or tuple as it travels; None when it is no vector, or when only a closer look can tell.

    `struct` takes a quarter of the time that `array` takes.
    """
    if not _LITTLE_ENDIAN:
        return None
    try:
        packed = _floats(len(vector)).pack(*vector)
    except struct.error:
        return None
    if numpy is not None:
        return packed if _ready(numpy, numpy.frombuffer(packed, numpy.float32)) else None
    values = array("f")
    values.frombytes(packed)
    return packed if math.isfinite(sum(values)) else None


@functools.lru_cache(maxsize=64)
def _floats(count: int) -> struct.Struct:
    return struct.Struct(f"{count}f")


def _pack_array(values: "array[float]", dimension: int | None, label: str) -> bytes:
    _check(values, dimension, label)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _pack_numpy(numpy: Any, vector: Any, dimension: int | None, label: str) -> bytes:
    if type(vector) is numpy.ndarray and vector.dtype is numpy.dtype("float32") and vector.ndim == 1:
        # The usual case, in half the time: finding a zero byte takes less than `all`, and names no culprit.
        right = dimension is None or len(vector) == dimension
        if right and sys.byteorder == "little" and b"\0" not in numpy.isfinite(vector).tobytes():
            packed: bytes = vector.tobytes()
            return packed
    return bytes(_checked_numpy(numpy, vector, dimension, label, "<f4").tobytes())


def _checked_numpy(numpy: Any, vector: Any, dimension: int | None, label: str, dtype: str | None) -> Any:
    _refuse_text(vector, label)
    try:
        values = numpy.asarray(vector)
    except (TypeError, ValueError) as error:
        raise VectorError(label, f"is not a vector of numbers: {error}") from error
    if values.ndim != 1:
        raise VectorError(label, f"has {values.ndim} dimensions; a vector has one")
    if values.dtype.kind not in "fiu":
        raise VectorError(label, f"has components of type {values.dtype}; real numbers are required")
    if dtype is not None and values.dtype != dtype:
        with numpy.errstate(over="ignore"):  # an overflow to infinity is found and named below
            values = values.astype(dtype)
    if dimension is not None and len(values) != dimension:
        raise _wrong_dimension(label, len(values), dimension)
    finite = numpy.isfinite(values)
    if not finite.all():
        position = int(finite.argmin())
        raise _not_finite(label, position, float(values[position]))
    return values


def _float32_array(vector: Any, label: str) -> "array[float]":
    if not isinstance(vector, (list, tuple)):
        view = _view(vector, label)
        if view is not None and view.format in _NATIVE_FLOAT32:
            values = array("f")
            values.frombytes(view.tobytes())
            return values
    return _array_of("f", vector, label)


def _float64_array(vector: Any, label: str) -> "array[float]":
    if not isinstance(vector, (list, tuple)):
        _view(vector, label)
    return _array_of("d", vector, label)


def _view(vector: Any, label: str) -> memoryview | None:
    _refuse_text(vector, label)
    try:
        view = memoryview(vector)
    except TypeError:
        return None
    if view.ndim != 1:
        raise VectorError(label, f"has {view.ndim} dimensions; a vector has one")
    return view


def _refuse_text(vector: Any, label: str) -> None:
    # Bytes offer the buffer protocol and would silently become numbers from 0 to 255.
    if isinstance(vector, (str, bytes, bytearray, dict, set, frozenset)):
        raise VectorError(label, f"is {type(vector).__name__}; pass a sequence of numbers")
    if is_masked(vector):
        raise VectorError(label, "is a masked array, whose mask would be lost; pass its filled() or compressed()")


def _array_of(code: str, vector: Iterable[SupportsFloat], label: str) -> "array[float]":
    try:
        return array(code, vector)  # type: ignore[arg-type]  # a wrong component is what we are here to find
    except (TypeError, OverflowError) as error:
        raise _wrong_component(vector, label, error) from error


def _wrong_component(vector: Any, label: str, error: Exception) -> VectorError:
    """Find the first component that is no number; reached only after the fast conversion has failed."""
    if not isinstance(vector, Sequence):
        return VectorError(label, f"is {type(vector).__name__}; pass a sequence of numbers")
    for position, component in enumerate(vector):
        reason = _reason_against(component)
        if reason is not None:
            return VectorError(label, reason, position)
    return VectorError(label, f"is not a vector of numbers: {error}")


def _reason_against(component: Any) -> str | None:
    try:
        array("d", (component,))
    except TypeError:
        return f"is {type(component).__name__}; every component must be a number"
    except OverflowError:
        return "is too large for a float32"
    return None


def _check(values: "array[float]", dimension: int | None, label: str) -> None:
    if dimension is not None and len(values) != dimension:
        raise _wrong_dimension(label, len(values), dimension)
    # The sum runs in C and is never finite when a component is not; when it merely overflows, the loop finds
    # nothing.
    if not math.isfinite(sum(values)):
        for position, component in enumerate(values):
            if not math.isfinite(component):
                raise _not_finite(label, position, component)


def _wrong_dimension(label: str, found: int, dimension: int) -> VectorError:
    return VectorError(label, f"has {found} components; {dimension} are required")


def _not_finite(label: str, position: int, component: float) -> VectorError:
    return VectorError(label, f"is {component}; every component must be a finite number within float32", position)
