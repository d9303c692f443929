"""Everything a call can raise, and what each error knows.

The tree::

    VectronError                     anything below; also statuses without a class of their own, and use after close
    ├── AuthenticationError          UNAUTHENTICATED      no credential was sent, or it does not hold
    ├── PermissionDeniedError        PERMISSION_DENIED    known caller, missing scope
    ├── NotFoundError                NOT_FOUND            no such collection or point
    ├── AlreadyExistsError           ALREADY_EXISTS       the name is taken
    ├── InvalidArgumentError         INVALID_ARGUMENT     the call is wrong as it stands; mostly raised unsent
    ├── FailedPreconditionError      FAILED_PRECONDITION  the state of the thing forbids it
    ├── MessageTooLargeError         RESOURCE_EXHAUSTED   a request or an answer over a size limit
    ├── RateLimitError               RESOURCE_EXHAUSTED   too many requests; `retry_after` says when to come back
    ├── DeadlineExceededError        DEADLINE_EXCEEDED    the call's time ran out
    ├── UnavailableError             UNAVAILABLE          the server cannot be reached or cannot answer now
    └── InternalServerError          INTERNAL             the server failed, or its answer makes no sense

`statuses.py` holds the table from statuses to these classes. All of them can be pickled and copied.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class VectronError(Exception):
    """Base of every error this library raises.

    Attributes:
        message: what happened, to which item, and what to do.
        code: name of the gRPC status, such as `NOT_FOUND`; errors found before sending carry the status a server
            would have answered.
        error_code: the server's finer name, such as `COLLECTION_NOT_FOUND`; None when it sent none.
        details: facts about the error, ready for JSON; empty when there are none.
        request_id: the id under which the server logged the call; None when no server answered.
        retry_after: seconds after which a repeat may succeed, when the server said so; 1.0 for a rate limit that came
            without a word on it.
        retryable: whether the same call may succeed later without a change.

    >>> error = NotFoundError("no collection named 'docs'", error_code="COLLECTION_NOT_FOUND", request_id="r-7")
    >>> error.code, error.retryable
    ('NOT_FOUND', False)
    >>> str(error)
    "no collection named 'docs' (COLLECTION_NOT_FOUND, request r-7)"
    """

    default_code: ClassVar[str] = "UNKNOWN"
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        error_code: str | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        # Only the message goes into `args`: unpickling calls the class with `args` and then restores the attributes.
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.error_code = error_code
        self.details: dict[str, Any] = dict(details or {})
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = self.default_retryable if retryable is None else retryable

    def __str__(self) -> str:
        facts = [fact for fact in (self.error_code, self.request_id and f"request {self.request_id}") if fact]
        return f"{self.message} ({', '.join(facts)})" if facts else self.message


class AuthenticationError(VectronError):
    """No credential was sent, or it is unknown, expired or revoked."""

    default_code = "UNAUTHENTICATED"


class PermissionDeniedError(VectronError):
    """The credential holds but lacks a scope; `details["required_scope"]` names it when the server says."""

    default_code = "PERMISSION_DENIED"


class NotFoundError(VectronError):
    """The collection or point named in the call does not exist."""

    default_code = "NOT_FOUND"


class AlreadyExistsError(VectronError):
    """A collection of that name exists already."""

    default_code = "ALREADY_EXISTS"


class InvalidArgumentError(VectronError):
    """The call is wrong as it stands and was not carried out; nothing was written.

    Most are raised before anything is sent. `details` then has `field`, and `position` and `point_id` when one of
    several points is at fault.
    """

    default_code = "INVALID_ARGUMENT"


class FailedPreconditionError(VectronError):
    """The state of the thing forbids the operation, for instance dropping a reserved collection."""

    default_code = "FAILED_PRECONDITION"


class MessageTooLargeError(VectronError):
    """A request or an answer is over a size limit of client or server; sending it again cannot help."""

    default_code = "RESOURCE_EXHAUSTED"


class RateLimitError(VectronError):
    """Too many requests; `retry_after` says when to come back."""

    default_code = "RESOURCE_EXHAUSTED"
    default_retryable = True


class DeadlineExceededError(VectronError):
    """The time of the call ran out; whether a write was carried out is not known."""

    default_code = "DEADLINE_EXCEEDED"
    default_retryable = True


class UnavailableError(VectronError):
    """The server cannot be reached, or says that it cannot answer now."""

    default_code = "UNAVAILABLE"
    default_retryable = True


class InternalServerError(VectronError):
    """The server failed, or its answer could not be understood; its log has the story under `request_id`."""

    default_code = "INTERNAL"
