"""Everything that can go wrong in a call, as one tree.

    NeuroGraphError              base of all; also any status without a class of its own
    ├── AuthenticationError      401: credentials missing or invalid
    ├── AuthorizationError       403: known, but not allowed
    ├── NotFoundError            404: no such thing
    ├── ConflictError            409: the current state does not allow it
    ├── PositionExpiredError     410: a position of events that the server no longer holds; `oldest` goes on
    ├── PayloadTooLargeError     413: a body over the server's limit
    ├── ValidationError          422: a wrong argument; also found here, before anything is sent
    ├── RateLimitError           429: too many calls; `retry_after` says when to come back
    ├── ServerError              500 and above
    ├── ConnectionError          no connection, or it broke (also a built-in ConnectionError)
    │   └── CircuitOpenError     nothing was sent, because the server has failed too often in a row
    ├── TimeoutError             no answer in time (also a built-in TimeoutError)
    ├── InvalidResponseError     success, but the body is not what was promised
    ├── ConfigurationError       arguments of a client that cannot work (also a ValueError)
    └── ClientClosedError        the client was used after `close()` (also a RuntimeError)

Every error survives pickling, and none shows a password, key or token.
"""

import builtins
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

E = TypeVar("E", bound="NeuroGraphError")

_RETRYABLE_STATUS = frozenset({429, 502, 503, 504})


class NeuroGraphError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: what happened, to which item, and what to do.
        status_code: HTTP status of the answer; None when no answer is behind the error.
        error_code: stable machine-readable name, such as `RESOURCE_NOT_FOUND`; None when the server sent
            none.
        details: further facts; `details["errors"]` of a ValidationError lists `{field, message, type}`.
        retry_after: seconds after which the server invites a repeat, when it said so.
        request_id: the server's name for this request, to be quoted in a report.
        retryable: whether the same call may succeed later without a change.
        hint: what to try next, in general.
        request_sent: whether the server may have acted on the request; when false a repeat is safe
            whatever it does.
        blames_server: whether a failure without an answer counts towards the circuit breaker; false when the time or
            the connections of this client had run out before anything was sent.

    >>> error = NotFoundError("no token 7", status_code=404, error_code="TOKEN_NOT_FOUND")
    >>> str(error), error.retryable
    ('[TOKEN_NOT_FOUND] no token 7', False)
    """

    _retryable: ClassVar[bool] = False
    _error_code: ClassVar[str | None] = None
    _hint: ClassVar[str | None] = None

    @property
    def hint(self) -> str | None:
        """Advice on what to try next; None when there is none."""
        return self._hint

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        error_code: str | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        retryable: bool | None = None,
        request_sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.error_code = error_code if error_code is not None else self._error_code
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after = retry_after
        self.request_id = request_id
        self.retryable = retryable if retryable is not None else self._retryable or status_code in _RETRYABLE_STATUS
        self.request_sent = request_sent
        self.blames_server = True

    def without_server(self: E) -> E:
        """Return this error, which says nothing about the server; it does not count towards the circuit breaker."""
        self.blames_server = False
        return self

    def __str__(self) -> str:
        code = "" if self.error_code is None else f"[{self.error_code}] "
        request = "" if self.request_id is None else f" (request {self.request_id})"
        return f"{code}{self.message}{request}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, status_code={self.status_code})"

    def __reduce__(self) -> tuple[Any, ...]:
        fields = dict(self.__dict__)
        return _rebuild, (type(self), fields.pop("message"), fields)


def _rebuild(kind: type[NeuroGraphError], message: str, fields: dict[str, Any]) -> NeuroGraphError:
    error = kind.__new__(kind, message)
    NeuroGraphError.__init__(error, message)
    error.__dict__.update(fields)
    return error


class AuthenticationError(NeuroGraphError):
    """Credentials are missing or invalid (401): unknown, expired or revoked.

    Check what the client was made with, log in again, or make a new API key; repeating the call does not help.

    >>> error = AuthenticationError("the API key was revoked", status_code=401, error_code="API_KEY_INVALID")
    >>> error.retryable, str(error)
    (False, '[API_KEY_INVALID] the API key was revoked')
    """

    _hint = "check username and password, or the API key: it may be revoked or expired, or meant for another server"


class AuthorizationError(NeuroGraphError):
    """The caller is known but not allowed to do this (403).

    Use credentials with the scope that `details["required_scope"]` names, or ask an administrator for it.

    >>> error = AuthorizationError("tokens:delete is needed", details={"required_scope": "tokens:delete"})
    >>> error.details["required_scope"]
    'tokens:delete'
    """

    _hint = 'use credentials with the scope in details["required_scope"], or ask an administrator for it'


class NotFoundError(NeuroGraphError):
    """The thing named does not exist (404): never made, or deleted.

    Go on without it, or check the id; ids of deleted tokens are never given again.

    >>> try:
    ...     client.tokens.get(token_id=999_999)
    ... except NotFoundError as error:
    ...     print(error.status_code, error.error_code)
    404 POINT_NOT_FOUND
    """

    _hint = "check the id; deleted tokens never come back under the same one"


class ConflictError(NeuroGraphError):
    """The current state does not allow the call (409), or an idempotency key was used for another request before.

    Read the thing again and decide anew; a new request needs a new idempotency key.

    >>> _ = client.tokens.create("first", idempotency_key="order-7")
    >>> try:
    ...     client.tokens.create("second", idempotency_key="order-7")
    ... except ConflictError as error:
    ...     print(error.status_code)
    409
    """

    _hint = "read the thing again and repeat the change; a new request needs a new idempotency key"


class PositionExpiredError(NeuroGraphError):
    """The server no longer holds the events after a position (410).

    Read again what the events are about, then go on from `oldest`; everything since then is still held.

    >>> error = PositionExpiredError("the position is too old", status_code=410, details={"oldest": "AAA"})
    >>> error.retryable, error.oldest
    (False, 'AAA')
    """

    _hint = "read the items anew, then go on from the position in oldest"

    @property
    def oldest(self) -> str | None:
        """The oldest position that can still be read; None when the server did not say."""
        oldest = self.details.get("oldest")
        return oldest if isinstance(oldest, str) else None


class PayloadTooLargeError(NeuroGraphError):
    """The body is over the server's limit (413).

    Send less at once: `create_many` cuts its batches by itself, and raises this only for a single item.

    >>> PayloadTooLargeError("70 MB are too many", status_code=413, details={"limit": 67108864}).details["limit"]
    67108864
    """

    _hint = 'send less at once: create_many cuts batches by itself; details["limit"] tells the limit'


class ValidationError(NeuroGraphError):
    """An argument is wrong (422); `details["errors"]` names each field.

    `status_code` is None when the argument was refused before anything was sent: what JSON cannot carry,
    such as NaN. Correct the argument; repeating the call does not help.

    >>> try:
    ...     client.tokens.query(query_vector=[0.5, float("nan")])
    ... except ValidationError as error:
    ...     print(error.details["errors"][0]["field"], error.status_code)
    query_vector.1 None
    """

    _hint = 'details["errors"] names each field that is wrong'
    _error_code = "VALIDATION_ERROR"

    @classmethod
    def of(cls, field: str, message: str, kind: str = "value_error") -> "ValidationError":
        """Return one error about one argument, found before anything was sent.

        >>> ValidationError.of("metadata.score", "is NaN").details["errors"]
        [{'field': 'metadata.score', 'message': 'is NaN', 'type': 'value_error'}]
        """
        details = {"errors": [{"field": field, "message": message, "type": kind}], "count": 1}
        return cls(f"{field} {message}", details=details, request_sent=False)


class RateLimitError(NeuroGraphError):
    """Too many calls (429), even after the client's own repeats; come back after `retry_after` seconds.

    >>> error = RateLimitError("120 calls a minute are the limit", status_code=429, retry_after=1.5)
    >>> error.retryable, error.retry_after
    (True, 1.5)
    """

    _hint = "wait retry_after seconds, and make fewer calls at once"
    _retryable = True


class ServerError(NeuroGraphError):
    """The server failed (500 and above); 502, 503 and 504 are retryable, and were repeated by the client already.

    Try again later, and report `request_id` to the operator of the server.

    >>> [ServerError("failed", status_code=status).retryable for status in (500, 503)]
    [False, True]
    """

    _hint = "report request_id to the operator of the server; its log has the story"


class ConnectionError(NeuroGraphError, builtins.ConnectionError):
    """The server cannot be reached, or the connection broke; the error below it is the `__cause__`.

    Check that the server runs, and `base_url`, proxy and certificates. `request_sent` tells whether the server may have
    acted on the call.

    >>> from neurograph import NeuroGraphClient
    >>> with NeuroGraphClient("http://127.0.0.1:9", api_key="k", max_retries=0) as nobody:
    ...     try:
    ...         nobody.health.check()
    ...     except ConnectionError as error:
    ...         print(error.error_code, error.request_sent, type(error.__cause__).__name__)
    CONNECTION_ERROR False ConnectError
    """

    _hint = "check that the server runs and that base_url, proxy and certificates are right"
    _retryable = True
    _error_code = "CONNECTION_ERROR"


class CircuitOpenError(ConnectionError):
    """Nothing was sent: the server failed too often in a row, and gets a rest of `retry_after` seconds.

    Wait so long; the next call then tries whether it has recovered. `circuit_threshold=0` turns this off.

    >>> error = CircuitOpenError("the next try is in 4.0 s", retry_after=4.0, request_sent=False)
    >>> isinstance(error, ConnectionError), error.retry_after
    (True, 4.0)
    """

    _error_code = "CIRCUIT_OPEN"
    _hint = "wait retry_after seconds; circuit_threshold=0 turns the circuit breaker off"


class TimeoutError(NeuroGraphError, builtins.TimeoutError):
    """The timeout of the call passed, including its retries.

    Allow more with `timeout=…`, or send less at once. With `request_sent` the server may have carried the call out; the
    client's own keys make a repeat of `create` safe, and other changes are worth a look first.

    >>> try:
    ...     client.tokens.list(timeout=1e-9)
    ... except TimeoutError as error:
    ...     print(error.retryable, error.request_sent)
    True False
    """

    _hint = "allow more time with timeout=…, or send less at once"
    _retryable = True
    _error_code = "TIMEOUT_ERROR"


class InvalidResponseError(NeuroGraphError):
    """The server reports success, but its body is not what was promised; another service may answer at this address.

    Check that `base_url` names a NeuroGraph server, and not a proxy or a web page.

    >>> InvalidResponseError("the body is not JSON", status_code=200).error_code
    'INVALID_RESPONSE'
    """

    _hint = "check that base_url names a NeuroGraph server, and not a proxy or a web page"
    _error_code = "INVALID_RESPONSE"


class ConfigurationError(NeuroGraphError, ValueError):
    """The client was constructed with arguments, or an environment, that cannot work; correct them.

    >>> from neurograph import NeuroGraphClient
    >>> NeuroGraphClient("http://localhost:8000", api_key="k", timeout=-1)
    Traceback (most recent call last):
    neurograph.exceptions.ConfigurationError: [CONFIGURATION_ERROR] ...
    """

    _error_code = "CONFIGURATION_ERROR"


class ClientClosedError(NeuroGraphError, RuntimeError):
    """The client was used after `close()`; make a new one.

    >>> from neurograph import NeuroGraphClient
    >>> closed = NeuroGraphClient("http://localhost:8000", api_key="k")
    >>> closed.close()
    >>> closed.health.check()
    Traceback (most recent call last):
    neurograph.exceptions.ClientClosedError: [CLIENT_CLOSED] This client is closed; create a new one
    """

    _error_code = "CLIENT_CLOSED"


_BY_STATUS: dict[int, type[NeuroGraphError]] = {
    401: AuthenticationError,
    403: AuthorizationError,
    404: NotFoundError,
    409: ConflictError,
    410: PositionExpiredError,
    413: PayloadTooLargeError,
    422: ValidationError,
    429: RateLimitError,
}


def error_class(status: int) -> type[NeuroGraphError]:
    """Return the exception that stands for an HTTP status.

    >>> error_class(404).__name__, error_class(507).__name__, error_class(418).__name__
    ('NotFoundError', 'ServerError', 'NeuroGraphError')
    """
    return ServerError if status >= 500 else _BY_STATUS.get(status, NeuroGraphError)
