# Generated from packages/wirekit/src/wirekit/secrets.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Keep credentials out of everything that people and logs see."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"

# Shorter secrets are not searched for in texts: a password "a" would turn every sentence into stars.
_SHORTEST = 4


def shown_url(url: str) -> str:
    """Return a URL without credentials, query and fragment; for messages.

    The text need not be a valid URL: everything before the last `@` goes, because a password may contain any character.

    >>> shown_url("http://dev:p/s3cret@host/path?key=s3cret")
    'http://***@host/path'
    >>> shown_url("dev:s3cret@host:8000")
    '***@host:8000'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    before, at, rest = rest.rpartition("@")
    rest = rest.partition("?")[0].partition("#")[0]
    return scheme + separator + (HIDDEN + at if at else before) + rest


def described(value: object) -> str:
    """Describe a value that may be secret: its type, and the length of a text.

    >>> described("s3cret"), described(b"s3cret"), described(None)
    ('a text of 6 characters', 'bytes', 'None')
    """
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if value else "an empty text"
    return type(value).__name__


def hide(value: Any, secrets: Iterable[str]) -> Any:
    """Replace secrets in a text, or in every text inside of dictionaries and lists.

    Found are also the forms in which a secret travels: quoted for a URL, escaped in JSON, and in Base64.

    >>> hide({"message": "no user dev:p%2Fw%2Fx"}, ["p/w/x"])
    {'message': 'no user dev:***'}
    """
    forms = [form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)]
    return _hide(value, sorted(set(forms), key=len, reverse=True)) if forms else value


def _forms(secret: str) -> tuple[str, ...]:
    encoded = secret.encode("utf-8", "surrogatepass")
    return (
        secret,
        quote(encoded, safe=""),
        quote_plus(encoded),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        base64.b64encode(encoded).decode(),
    )


def _hide(value: Any, forms: list[str]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {_hide(name, forms): _hide(member, forms) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide(member, forms) for member in value]
    return value
