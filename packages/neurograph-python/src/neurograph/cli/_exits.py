"""Exit codes by kind of error."""

from enum import IntEnum

from neurograph.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConfigurationError,
    ConflictError,
    ConnectionError,
    InvalidResponseError,
    NeuroGraphError,
    NotFoundError,
    PayloadTooLargeError,
    PositionExpiredError,
    RateLimitError,
    ServerError,
    TimeoutError,
    ValidationError,
)


class ExitCode(IntEnum):
    """Exit status of the command; stable, so that scripts may rely on it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_AUTHENTICATED = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5
    REFUSED = 6
    CONFLICT = 7
    RATE_LIMITED = 8
    SERVER_FAILED = 9
    NO_CONNECTION = 10
    TIMED_OUT = 11
    INCOMPLETE = 12
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "an error without its own exit code, such as a file that cannot be written",
    ExitCode.USAGE: "the command line, the environment or a file named there is invalid; nothing was sent",
    ExitCode.NOT_AUTHENTICATED: "the credentials are missing, wrong or expired",
    ExitCode.NOT_ALLOWED: "the caller does not have this right",
    ExitCode.NOT_FOUND: "the token or key does not exist",
    ExitCode.REFUSED: "a value is invalid or too large",
    ExitCode.CONFLICT: "the current state does not allow this operation",
    ExitCode.RATE_LIMITED: "too many requests",
    ExitCode.SERVER_FAILED: "the server failed, is not healthy, or is not a NeuroGraph server",
    ExitCode.NO_CONNECTION: "the server cannot be reached, or the connection was lost",
    ExitCode.TIMED_OUT: "the timeout passed",
    ExitCode.INCOMPLETE: "an import skipped invalid rows; all others are stored",
    ExitCode.INTERRUPTED: "Ctrl-C",
    ExitCode.BROKEN_PIPE: "the reader of the output closed the pipe",
}

# The first that fits counts: special kinds before the general ones.
_KINDS: tuple[tuple[type[NeuroGraphError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (AuthenticationError, ExitCode.NOT_AUTHENTICATED),
    (AuthorizationError, ExitCode.NOT_ALLOWED),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ValidationError, ExitCode.REFUSED),
    (PayloadTooLargeError, ExitCode.REFUSED),
    (ConflictError, ExitCode.CONFLICT),
    (PositionExpiredError, ExitCode.CONFLICT),
    (RateLimitError, ExitCode.RATE_LIMITED),
    (ServerError, ExitCode.SERVER_FAILED),
    (InvalidResponseError, ExitCode.SERVER_FAILED),
    (TimeoutError, ExitCode.TIMED_OUT),
    (ConnectionError, ExitCode.NO_CONNECTION),
)


def exit_code(error: NeuroGraphError) -> ExitCode:
    """Return the exit code that stands for an error.

    >>> exit_code(NotFoundError("no token 7")), exit_code(NeuroGraphError("teapot", status_code=418)).name
    (<ExitCode.NOT_FOUND: 5>, 'FAILED')
    """
    return next((code for kind, code in _KINDS if isinstance(error, kind)), ExitCode.FAILED)
