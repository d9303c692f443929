"""Requests that schemathesis is not to send, because the answer to it is a matter of speed or of HTTP and not
of this API.
"""

from typing import Any

import schemathesis

_UNKNOWN = "x-schemathesis-unknown-property"
_PATIENCE = "X-Request-Timeout-Ms"
_EVENTS = "/api/v1/events"


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    """Return whether a case is sent.

    HTTP tells servers to pass over headers that they do not know. Vectron's gateway answers a method that a path does
    not have with 501, as the official one does, and takes much that its schema does not say: the JSON of protocol
    buffers has null for any default, numbers in strings and enumerations by number.
    """
    if _UNKNOWN in (case.headers or {}):
        return False
    if not case.operation.path.startswith("/v1/"):
        return True
    other_method = case.method.upper() != case.operation.method.upper()
    return not other_method and not case.meta.generation.mode.is_negative


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Wait longer, because a caller that waits a few milliseconds is rightly told 504; and for no event to come."""
    if case.operation.path == _EVENTS and str((case.query or {}).get("follow", "true")).lower() in ("true", "1"):
        case.query = {**(case.query or {}), "follow": "false"}
    given = str((case.headers or {}).get(_PATIENCE, ""))
    if given.isdigit() and 0 < int(given) < 20_000:
        case.headers[_PATIENCE] = "20000"
