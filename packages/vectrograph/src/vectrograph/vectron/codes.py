"""The one table from domain errors to gRPC's numbers of a status."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vectrograph.domain import errors
from vectrograph.domain.errors import DomainError

# gRPC's number of the status INTERNAL.
INTERNAL: Final = 13

#: A class that is not in the table has the number of its nearest ancestor that is. StorageReadOnly and
#: CollectionQuarantined are not UNAVAILABLE (14), because clients retry that and nothing changes until a person acts.
NUMBERS: Final[Mapping[type[DomainError], int]] = MappingProxyType(
    {
        errors.Cancelled: 1,
        errors.InvalidArgument: 3,
        errors.DeadlineExceeded: 4,
        errors.NotFound: 5,
        errors.AlreadyExists: 6,
        errors.PermissionDenied: 7,
        errors.TooLarge: 8,
        errors.RateLimited: 8,
        errors.OutOfSpace: 8,
        errors.Conflict: 9,
        errors.StorageReadOnly: 9,
        errors.CollectionQuarantined: 9,
        errors.PositionExpired: 11,
        errors.InternalError: INTERNAL,
        errors.Unavailable: 14,
        errors.Unauthenticated: 16,
    }
)


def number_of(kind: type[DomainError]) -> int:
    """Return gRPC's number of an error.

    >>> number_of(errors.PointNotFound)
    5
    """
    return next((NUMBERS[base] for base in kind.__mro__ if base in NUMBERS), INTERNAL)
