"""Validation of queries and of new collections."""

import math

import numpy as np

from vectrograph.domain.capabilities import Capabilities, EngineLimits
from vectrograph.domain.collections import CollectionSpec
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Vector
from vectrograph.domain.queries import Order, ScrollRequest, SearchRequest
from vectrograph.domain.vectors import require_finite


def require_spec(spec: CollectionSpec, capabilities: Capabilities) -> None:
    """Refuse a collection that an engine cannot hold.

    Raises:
        InvalidArgument: its name is empty, it has not one vector field, or dimension or distance is not offered.
    """
    if not spec.ref.name or not spec.ref.tenant:
        raise InvalidArgument.of("name", "must not be empty", "string_too_short")
    if len(spec.fields) != 1:
        raise InvalidArgument.of("fields", f"has {len(spec.fields)} vector fields and must have one")
    largest = capabilities.limits.max_dimension
    if not 1 <= spec.dimension <= largest:
        raise InvalidArgument.of("dimension", f"is {spec.dimension} and must be from 1 to {largest}", "out_of_range")
    if spec.distance not in capabilities.distances:
        offered = ", ".join(sorted(distance.value for distance in capabilities.distances))
        raise InvalidArgument.of("distance", f"is {spec.distance!r} and must be one of {offered}", "enum")


def query_vectors(request: SearchRequest, spec: CollectionSpec, limits: EngineLimits) -> Vector:
    """Return the accepted query vectors of a search, shape (queries, dimension), float32.

    Raises:
        InvalidArgument: wrong number of legs, wrong field or dimension, NaN or infinity, `k`, `offset`, `ef` or
            `max_score` out of range.
    """
    if len(request.legs) != 1 or request.legs[0].field != spec.fields[0].name:
        raise InvalidArgument.of("legs", f"must be one, over the field {spec.fields[0].name!r}")
    if request.k < 1 or request.offset < 0 or request.k + request.offset > limits.max_k:
        raise InvalidArgument.of(
            "k", f"is {request.k} after {request.offset} and must be from 1 to {limits.max_k} together", "out_of_range"
        )
    if request.ef is not None and request.ef < 1:
        raise InvalidArgument.of("ef", f"is {request.ef} and must be positive", "out_of_range")
    if request.max_score is not None and math.isnan(request.max_score):
        raise InvalidArgument.of("max_score", "is NaN; send a number", "finite_number")
    return _matrix(request.legs[0].vectors, spec.dimension)


def _matrix(vectors: Vector, dimension: int) -> Vector:
    given = np.asarray(vectors)
    if given.ndim != 2 or given.dtype.kind not in "fiu":
        raise InvalidArgument.of("vector", f"must be an array of shape (queries, {dimension})", "type_error")
    if given.shape[1] != dimension:
        raise InvalidArgument.of(
            "vector", f"has {given.shape[1]} components and this collection needs {dimension}", "dimension_mismatch"
        )
    if given.dtype == np.float32:
        matrix = np.ascontiguousarray(given)
    else:
        with np.errstate(over="ignore"):
            matrix = np.ascontiguousarray(given, dtype=np.float32)
    require_finite(matrix, lambda row: ("vector",) if len(matrix) == 1 else ("vector", row))
    return matrix


def require_scroll(request: ScrollRequest, capabilities: Capabilities) -> Order:
    """Return the accepted order of a scroll.

    Raises:
        InvalidArgument: `limit` or `offset` is out of range, or the order is not offered.
    """
    if request.limit < 1:
        raise InvalidArgument.of("limit", f"is {request.limit} and must be positive", "out_of_range")
    if request.offset < 0:
        raise InvalidArgument.of("offset", f"is {request.offset} and must be 0 or more", "out_of_range")
    if request.order.key not in capabilities.orderings:
        offered = ", ".join(sorted(capabilities.orderings))
        raise InvalidArgument.of("order", f"is {request.order.key!r} and must be one of {offered}", "enum")
    return request.order
