"""Everything that can go wrong for a caller, once, without a status code.

Each transport owns one table from these classes to its own codes (`rest/errors.py`, `rpc/errors.py`); a test holds both
tables complete. The tree::

    DomainError
    ├── InvalidArgument          the request itself is wrong; `details["errors"]` names each field
    ├── Unauthenticated          credentials missing or invalid
    │   ├── InvalidCredentials       wrong username or password
    │   ├── InvalidToken             a JWT that is malformed, forged, revoked, or of the wrong kind
    │   ├── TokenExpired             a JWT past its time
    │   └── InvalidApiKey            an API key that is unknown, revoked or expired
    ├── PermissionDenied         known caller, missing scope
    ├── NotFound
    │   ├── CollectionNotFound
    │   ├── PointNotFound
    │   ├── ApiKeyNotFound
    │   └── UserNotFound
    ├── AlreadyExists
    ├── Conflict                 the current state does not allow it
    │   ├── ReservedCollection       the collection `tokens` cannot be dropped or re-created
    │   ├── IdempotencyConflict      same key, other body
    │   └── QuotaExceeded            there is as much of it as there may be; something has to go first
    ├── PositionExpired          the log of changes no longer reaches back to a position; `details["oldest"]` goes on
    ├── TooLarge                 a body, batch or payload over the advertised limit
    ├── RateLimited
    ├── DeadlineExceeded
    ├── Cancelled                the caller has left; nobody reads the answer
    ├── Unavailable              try again later, or elsewhere
    │   ├── OutOfSpace               the disk is full; reads and deletes go on
    │   ├── StorageReadOnly          the disk refuses writes; reads go on
    │   └── CollectionQuarantined    this collection's file is damaged; the others serve
    └── InternalError            a defect of ours; the log has the story under the request id
    StartupError                 the process cannot start; never crosses a transport
    ├── DirectoryLocked
    ├── PortInUse
    └── UnsupportedFormat
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeAlias

# Characters of a field's name that an error repeats. Generous: names of fields are short, a caller's text may not be.
MAX_FIELD: Final = 256
# Longest message about one field: room for the clipped name and a few sentences.
MAX_MESSAGE_CHARACTERS: Final = 1_024


Place: TypeAlias = tuple[str | int, ...]
"""Steps from a request to the value that an error is about: names of fields, and positions in lists."""


def place_name(place: Place) -> str:
    """Return a place as clients read it.

    >>> place_name(("points", 3, "vector", 5))
    'points[3].vector[5]'
    """
    name = ""
    for step in place:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    return name


def clipped(text: str, most: int) -> str:
    """Return the beginning of a text that is too long to repeat.

    >>> clipped("a" * 10, 4)
    'aaa…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


class DomainError(Exception):
    """Base of all errors a caller may see.

    Attributes:
        code: stable machine-readable name of the error, SCREAMING_SNAKE_CASE.
        message: what happened, to which item, and what to do.
        details: JSON-ready facts; never a secret, never a vector.
        retry_after: seconds after which a repeat may succeed, when known.
        retryable: whether the same request may succeed later without a change.
    """

    code: ClassVar[str] = "ERROR"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after


class InvalidArgument(DomainError):
    """The request is wrong as it stands; `details["errors"]` is a list of `{field, message, type}`.

    Attributes:
        place: where it is wrong, None for an error about several fields or none.
    """

    code = "VALIDATION_ERROR"
    place: Place | None = None

    def __init__(self, message: str, *, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message, details={"errors": [dict(e) for e in errors], "count": len(errors)})

    @classmethod
    def of(cls, field: str | Place, message: str, kind: str = "value_error") -> Self:
        """Return one error about one field.

        >>> InvalidArgument.of("top_k", "must be at most 1000").details["errors"]
        [{'field': 'top_k', 'message': 'must be at most 1000', 'type': 'value_error'}]
        """
        place = (field,) if isinstance(field, str) else field
        # What is wrong may be megabytes of the caller's own text.
        name, message = clipped(place_name(place), MAX_FIELD), clipped(message, MAX_MESSAGE_CHARACTERS)
        error = cls(f"{name}: {message}", errors=[{"field": name, "message": message, "type": kind}])
        error.place = place
        return error

    def at(self, place: Place) -> "InvalidArgument":
        """Return the same error about another place."""
        (entry,) = self.details["errors"]
        return InvalidArgument.of(place, entry["message"], entry["type"])


class Unauthenticated(DomainError):
    """Credentials are missing or invalid."""

    code = "AUTHENTICATION_REQUIRED"


class InvalidCredentials(Unauthenticated):
    """Wrong username or password; never says which."""

    code = "INVALID_CREDENTIALS"


class InvalidToken(Unauthenticated):
    """A JWT that is malformed, forged, revoked or of the wrong kind."""

    code = "INVALID_TOKEN"


class TokenExpired(Unauthenticated):
    """A JWT past its time; refresh or log in again."""

    code = "TOKEN_EXPIRED"


class InvalidApiKey(Unauthenticated):
    """An API key that is unknown, revoked or expired."""

    code = "INVALID_API_KEY"


class PermissionDenied(DomainError):
    """The caller is known but lacks a scope; `details["required_scope"]` names it."""

    code = "PERMISSION_DENIED"


class NotFound(DomainError):
    """The thing named does not exist, or is not the caller's to see."""

    code = "RESOURCE_NOT_FOUND"


class CollectionNotFound(NotFound):
    """No collection of that name."""

    code = "COLLECTION_NOT_FOUND"


class PointNotFound(NotFound):
    """No point (or token) of that id."""

    code = "POINT_NOT_FOUND"


class ApiKeyNotFound(NotFound):
    """No API key of that id among the caller's."""

    code = "API_KEY_NOT_FOUND"


class UserNotFound(NotFound):
    """No such account."""

    code = "USER_NOT_FOUND"


class AlreadyExists(DomainError):
    """The name is taken."""

    code = "RESOURCE_ALREADY_EXISTS"


class Conflict(DomainError):
    """The current state does not allow the operation."""

    code = "CONFLICT"


class ReservedCollection(Conflict):
    """The collection belongs to the system and can be neither dropped nor re-created."""

    code = "COLLECTION_RESERVED"


class IdempotencyConflict(Conflict):
    """An idempotency key was used again with another body."""

    code = "IDEMPOTENCY_KEY_REUSED"


class QuotaExceeded(Conflict):
    """There are as many as there may be: trying again changes nothing until some are removed or the limit is raised."""

    code = "QUOTA_EXCEEDED"


class PositionExpired(DomainError):
    """The log of changes does not hold all that came after a position, or ends before it.

    `details["oldest"]` is the oldest position that can be read: it yields every change that is held. Others may be
    missing before it, so read the points anew.
    """

    code = "POSITION_EXPIRED"

    @classmethod
    def of(cls, oldest: str) -> Self:
        """Return the error of a log whose oldest position is that.

        >>> PositionExpired.of("AAA").details
        {'oldest': 'AAA'}
        """
        return cls(
            "The log of changes does not go on from this position: changes after it were removed, or an older copy of "
            "the data was put in place. Read the points anew, and go on from the oldest position in the details.",
            details={"oldest": oldest},
        )


class TooLarge(DomainError):
    """A body, batch, text or payload over the advertised limit; `details` has `limit` and `unit`.

    Attributes:
        place: what is too large, None where that is no field.
    """

    code = "REQUEST_TOO_LARGE"
    place: Place | None = None

    @classmethod
    def of(cls, field: str | Place, message: str, limit: int, unit: str) -> Self:
        """Return one error about one field.

        >>> TooLarge.of(("texts",), "holds 3 items and the limit is 2.", 2, "items").message
        'texts holds 3 items and the limit is 2.'
        """
        place = (field,) if isinstance(field, str) else field
        name = clipped(place_name(place), MAX_FIELD)
        error = cls(f"{name} {message}", details={"field": name, "limit": limit, "unit": unit})
        error.place = place
        return error

    def at(self, place: Place) -> "TooLarge":
        """Return the same error about another place."""
        message = self.message.removeprefix(f"{self.details['field']} ")
        return TooLarge.of(place, message, self.details["limit"], self.details["unit"])


class RateLimited(DomainError):
    """Too many requests; `retry_after` says when to come back."""

    code = "RATE_LIMIT_EXCEEDED"
    retryable = True


class DeadlineExceeded(DomainError):
    """The caller's deadline passed before the work was done; nothing was written."""

    code = "DEADLINE_EXCEEDED"
    retryable = True


class Cancelled(DomainError):
    """The caller has left before its answer was there: nobody reads this."""

    code = "CANCELLED"


class Unavailable(DomainError):
    """The service cannot answer now."""

    code = "SERVICE_UNAVAILABLE"
    retryable = True


class Overloaded(Unavailable):
    """More is asked than can be answered in time; `retry_after` says when to come back."""


class OutOfSpace(Unavailable):
    """The disk is full: writes fail, reads and deletes go on."""

    code = "OUT_OF_SPACE"


class StorageReadOnly(Unavailable):
    """The disk refuses writes; reads go on."""

    code = "STORAGE_READ_ONLY"
    retryable = False


class CollectionQuarantined(Unavailable):
    """The collection's file is damaged; it is set aside and everything else serves."""

    code = "COLLECTION_QUARANTINED"
    retryable = False
    problem: str | None = None
    """Description of the damage, for operators. It may name files, and is no part of what callers are told."""


class InternalError(DomainError):
    """A defect of ours. The answer carries no detail; the log has it under the request id."""

    code = "INTERNAL_ERROR"


class StartupError(Exception):
    """The process cannot start; the message is one clear line for the terminal."""


class DirectoryLocked(StartupError):
    """Another process owns the data directory; the message names it."""


class PortInUse(StartupError):
    """The port is taken; the message names the holder when it can be found."""


class UnsupportedFormat(StartupError):
    """The data was written by a newer version; nothing was touched."""
