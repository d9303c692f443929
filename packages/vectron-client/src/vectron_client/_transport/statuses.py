"""From the end of a failed call (gRPC status, message, trailing metadata) to one exception. Pure: knows no grpc.

Trailers the server sets: `x-error-code`, `x-request-id`, `retry-after` (seconds) and `x-error-details-bin` (JSON).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from vectron_client._wirekit.retry_after import parse_retry_after
from vectron_client.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalServerError,
    InvalidArgumentError,
    MessageTooLargeError,
    NotFoundError,
    PermissionDeniedError,
    PositionExpiredError,
    RateLimitError,
    UnavailableError,
    VectronError,
)

#: Class of the error for each gRPC status; the rest become plain `VectronError`.
ERRORS: Mapping[str, type[VectronError]] = {
    "UNAUTHENTICATED": AuthenticationError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": AlreadyExistsError,
    "INVALID_ARGUMENT": InvalidArgumentError,
    "OUT_OF_RANGE": InvalidArgumentError,
    "FAILED_PRECONDITION": FailedPreconditionError,
    "ABORTED": FailedPreconditionError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "UNAVAILABLE": UnavailableError,
    "INTERNAL": InternalServerError,
    "UNKNOWN": InternalServerError,
    "DATA_LOSS": InternalServerError,
}

#: Error codes of the server that say more than the status they come under.
ERRORS_BY_CODE: Mapping[str, type[VectronError]] = {
    "POSITION_EXPIRED": PositionExpiredError,
    "REQUEST_TOO_LARGE": MessageTooLargeError,
    "OUT_OF_SPACE": UnavailableError,
}

#: Error codes that stay true until a person does something, whatever the status suggests.
PERMANENT = frozenset({"REQUEST_TOO_LARGE", "OUT_OF_SPACE", "STORAGE_READ_ONLY", "COLLECTION_QUARANTINED"})

#: Seconds until a rate limit lifts when the server does not say: the window of the official server.
RATE_WINDOW = 1.0


def error_of(
    status: str,
    message: str,
    trailers: Iterable[tuple[str, str | bytes]] = (),
    *,
    method: str,
    address: str,
    timeout: float | None = None,
) -> VectronError:
    """Return the exception for a failed call.

    Args:
        status: name of the gRPC status, such as `NOT_FOUND`.
        message: the status message as gRPC gives it.
        trailers: trailing metadata; keys ending in `-bin` have bytes.
        method: short name of the method, such as `Search`.
        address: where the call went, for messages about the connection.
        timeout: seconds the call had in all, for messages about the deadline; None without one.

    >>> trailers = [("x-error-code", "COLLECTION_NOT_FOUND"), ("x-request-id", "r-7")]
    >>> error_of("NOT_FOUND", "no collection 'docs'", trailers, method="Search", address="localhost:8081")
    NotFoundError("no collection 'docs'")
    """
    facts = dict(trailers)
    message = _printable(message)
    error_code = _text(facts.get("x-error-code"))
    request_id = _text(facts.get("x-request-id"))
    kind = ERRORS_BY_CODE.get(error_code or "") or ERRORS.get(status, VectronError)
    if kind is RateLimitError and error_code is None and _is_size_limit(message):
        kind = MessageTooLargeError
    retry_after = parse_retry_after(_text(facts.get("retry-after")))
    if kind is RateLimitError and retry_after is None:
        retry_after = RATE_WINDOW
    from_server = error_code is not None or request_id is not None
    return kind(
        message if from_server else _explained(kind, status, message, method, address, timeout),
        code=status,
        error_code=error_code,
        details=_details(facts.get("x-error-details-bin")),
        request_id=request_id,
        retry_after=retry_after,
        retryable=False if error_code in PERMANENT else None,
    )


def _is_size_limit(message: str) -> bool:
    """Return whether gRPC itself refused a message for its length (its texts: "… message larger than max …")."""
    return "larger than max" in message


def _explained(
    kind: type[VectronError], status: str, message: str, method: str, address: str, timeout: float | None
) -> str:
    """Return a message for errors that gRPC made up itself, which say neither which call failed nor what to do."""
    if kind is DeadlineExceededError:
        within = "in time" if timeout is None else f"within {timeout:g} s"
        return (
            f"{method} did not finish {within} on {address}; allow more with timeout=… or "
            f"ClientOptions.timeout_seconds ({message})"
        )
    if kind is UnavailableError:
        return (
            f"{method}: the server at {address} cannot be reached or cannot answer; check that it runs, that the "
            f"address is its gRPC port and that use_tls fits ({message})"
        )
    if kind is MessageTooLargeError:
        return (
            f"{method}: a message is over a size limit; send fewer points at once (upsert_batch splits), ask for less, "
            f"or raise max_send_message_length or max_recv_message_length in ClientOptions ({message})"
        )
    if status == "UNIMPLEMENTED":
        return f"the server at {address} does not have {method}, as not every Vectron server does ({message})"
    return message or f"{method} failed on {address} without a message"


def _text(value: str | bytes | None) -> str | None:
    """Return a trailer as text; None when absent or empty."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return _printable(value) if value else None


def _printable(text: str) -> str:
    """Text of a server without control characters, which could move the cursor of a terminal or forge log lines.

    >>> _printable("a\\x1b[2Jb\\nc")
    'a\ufffd[2Jb c'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "\ufffd" for character in text
    )


def _details(value: str | bytes | None) -> dict[str, Any]:
    """`x-error-details-bin` as a dictionary; empty when absent or not a JSON object."""
    try:
        details: Any = json.loads(value or b"{}")
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", details) if isinstance(details, dict) else {}
