"""The first argument of an operation: the services, and who calls."""

from collections.abc import Callable
from typing import NamedTuple

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import IdempotencyKey
from vectrograph.services import Services
from vectrograph.services.call import Action, Call, Origin, Principal

# Times are kept in microseconds; the contract has seconds.
MICROSECONDS_PER_SECOND = 1_000_000


class Invocation(NamedTuple):
    """A call of an authenticated caller. `repeat` names a write that may come twice."""

    services: Services
    call: Call
    repeat: IdempotencyKey | None = None


class Visit(NamedTuple):
    """A call of a public method. `caller` returns the owner of its credentials, None for an anonymous caller."""

    services: Services
    caller: Callable[[], Principal | None]
    origin: Origin


def require_collection(call: Call, action: Action, name: str, field: str = "collection") -> str:
    """Return the name of a collection in which the caller may do `action`.

    Raises:
        PermissionDenied: the scope is missing.
        InvalidArgument: the name is empty; a caller that forgot the field should not read that "" does not exist.
    """
    call.require_collection(name, action)
    if not name:
        raise empty_name(field)
    return name


def empty_name(field: str) -> InvalidArgument:
    """Return the error of a request whose collection name, in `field`, is empty."""
    return InvalidArgument.of(field, "collection name cannot be empty", "string_too_short")


def seconds(microseconds: int) -> int:
    """Return whole seconds.

    >>> seconds(1_999_999)
    1
    """
    return microseconds // MICROSECONDS_PER_SECOND
