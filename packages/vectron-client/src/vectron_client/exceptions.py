"""Everything a call can raise, and what each error knows.

The tree::

    VectronError                     anything below; also statuses without a class of their own, and use after close
    ├── AuthenticationError          UNAUTHENTICATED      no credential was sent, or it does not hold
    ├── PermissionDeniedError        PERMISSION_DENIED    known caller, missing scope
    ├── NotFoundError                NOT_FOUND            no such collection or point
    ├── AlreadyExistsError           ALREADY_EXISTS       the name is taken
    ├── InvalidArgumentError         INVALID_ARGUMENT     the call is wrong as it stands; mostly raised unsent
    ├── FailedPreconditionError      FAILED_PRECONDITION  the current state does not allow it
    ├── PositionExpiredError         OUT_OF_RANGE         a position that the log of changes no longer holds
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
    """No credential was sent, or it is unknown, expired or revoked. Pass another; a repeat does not help.

    >>> error = AuthenticationError("the API key was revoked")
    >>> error.code, error.retryable
    ('UNAUTHENTICATED', False)
    """

    default_code = "UNAUTHENTICATED"


class PermissionDeniedError(VectronError):
    """The credential holds but lacks a scope; `details["required_scope"]` names it when the server says.

    Use a credential that has it.

    >>> error = PermissionDeniedError("viewers cannot write", details={"required_scope": "collections:write"})
    >>> error.details["required_scope"]
    'collections:write'
    """

    default_code = "PERMISSION_DENIED"


class NotFoundError(VectronError):
    """The collection or point named in the call does not exist: never made, or deleted. `error_code` tells which.

    >>> error = NotFoundError("no collection named 'docs'", error_code="COLLECTION_NOT_FOUND")
    >>> error.code, error.error_code
    ('NOT_FOUND', 'COLLECTION_NOT_FOUND')
    """

    default_code = "NOT_FOUND"


class AlreadyExistsError(VectronError):
    """A collection of that name exists already. Use it, if its dimension and distance are right, or another name.

    >>> AlreadyExistsError("there is a collection named 'docs'").code
    'ALREADY_EXISTS'
    """

    default_code = "ALREADY_EXISTS"


class InvalidArgumentError(VectronError):
    """The call is wrong as it stands and was not carried out; nothing was written.

    Most are raised before anything is sent. `details` then has `field`, and `position` and `point_id` when one of
    several points is at fault. Correct the argument; a repeat does not help.

    >>> from vectron_client import Point, VectronClient
    >>> with VectronClient("localhost:8081") as client:
    ...     try:
    ...         client.upsert("docs", [Point("a", [0.5, float("nan")])])
    ...     except InvalidArgumentError as error:
    ...         print(error.details["point_id"], error.details["component"])
    a 1
    """

    default_code = "INVALID_ARGUMENT"


class FailedPreconditionError(VectronError):
    """The current state does not allow the operation, for instance dropping a reserved collection.

    Look at the thing again before another try; the same call fails the same way.

    >>> FailedPreconditionError("'tokens' is reserved").retryable
    False
    """

    default_code = "FAILED_PRECONDITION"


class PositionExpiredError(VectronError):
    """The server no longer holds the changes after a position.

    Read the points anew, then go on from `oldest`; every change since then is still held.

    >>> error = PositionExpiredError("the position is too old", details={"oldest": "AAA"})
    >>> error.retryable, error.oldest
    (False, 'AAA')
    """

    default_code = "OUT_OF_RANGE"

    @property
    def oldest(self) -> str | None:
        """The oldest position that can still be read; None when the server did not say."""
        oldest = self.details.get("oldest")
        return oldest if isinstance(oldest, str) else None


class MessageTooLargeError(VectronError):
    """A request or an answer is over a size limit of client or server; sending it again cannot help.

    Use `upsert_batch`, which splits, ask for fewer results, or raise the limits in `ClientOptions`.

    >>> from vectron_client import ClientOptions, Point, VectronClient
    >>> with VectronClient("localhost:8081", options=ClientOptions(max_send_message_length=100)) as client:
    ...     try:
    ...         client.upsert("docs", [Point("a", [0.5] * 100)])
    ...     except MessageTooLargeError as error:
    ...         print(error.details["limit"] < error.details["size"])
    True
    """

    default_code = "RESOURCE_EXHAUSTED"


class RateLimitError(VectronError):
    """Too many requests, even after the client's own repeats; wait `retry_after` seconds, and make fewer at once.

    >>> error = RateLimitError("100 requests a second are the limit", retry_after=1.0)
    >>> error.retryable, error.retry_after
    (True, 1.0)
    """

    default_code = "RESOURCE_EXHAUSTED"
    default_retryable = True


class DeadlineExceededError(VectronError):
    """The time of the call ran out; whether a write was carried out is not known.

    Allow more with `timeout=…` or `ClientOptions.timeout_seconds`, or send less at once.

    >>> DeadlineExceededError("no answer within 5 s").code
    'DEADLINE_EXCEEDED'
    """

    default_code = "DEADLINE_EXCEEDED"
    default_retryable = True


class UnavailableError(VectronError):
    """The server cannot be reached, or says that it cannot answer now; the error of gRPC is the `__cause__`.

    Check that it runs and that `host` names its gRPC port; the same client connects again when it is back.

    >>> from vectron_client import ClientOptions, VectronClient
    >>> with VectronClient("127.0.0.1:9", options=ClientOptions(retry_max_attempts=1)) as client:
    ...     try:
    ...         client.list_collections()
    ...     except UnavailableError as error:
    ...         print(error.code, error.retryable)
    UNAVAILABLE True
    """

    default_code = "UNAVAILABLE"
    default_retryable = True


class InternalServerError(VectronError):
    """The server failed, or its answer could not be understood; its log has the story under `request_id`.

    Report that id to the operator of the server.

    >>> error = InternalServerError("something went wrong", request_id="r-7")
    >>> str(error)
    'something went wrong (request r-7)'
    """

    default_code = "INTERNAL"
