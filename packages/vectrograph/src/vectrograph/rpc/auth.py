"""Which credential a call carries. Whether it holds is for `services.sessions` to say."""

from collections.abc import Mapping
from typing import Final

from vectrograph.domain.errors import Unauthenticated

_SCHEME: Final = "bearer"
_HOW: Final = "send `authorization: Bearer <API key or JWT>`, or `x-api-key`"


def credential_of(given: Mapping[str, str | bytes]) -> str:
    """The credential in a call's metadata: `authorization` (scheme optional, in any case), else `x-api-key`.

    Raises:
        Unauthenticated: there is none, or `authorization` has something else than a bearer credential.

    >>> credential_of({"authorization": "bearer ng_abc"})
    'ng_abc'
    >>> credential_of({"x-api-key": "ng_abc"})
    'ng_abc'
    """
    if "authorization" in given:
        return _bearer(given["authorization"])
    if "x-api-key" in given:
        return _word(given["x-api-key"], "x-api-key")
    raise Unauthenticated(f"missing Authorization header: {_HOW}")


def _bearer(value: str | bytes) -> str:
    """The credential behind an optional `Bearer`."""
    words = value.split() if isinstance(value, str) else []
    if len(words) == 2 and words[0].lower() == _SCHEME:
        return words[1]
    if len(words) == 1 and words[0].lower() != _SCHEME:
        return words[0]
    raise Unauthenticated(f"invalid Authorization format: {_HOW}")


def _word(value: str | bytes, name: str) -> str:
    words = value.split() if isinstance(value, str) else []
    if len(words) != 1:
        raise Unauthenticated(f"invalid {name} format: {_HOW}")
    return words[0]
