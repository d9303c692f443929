"""What an account made by registration may be called and protected with."""

import re
from typing import Final

from vectrograph.control.seeding import DEFAULT_PASSWORDS
from vectrograph.domain.errors import InvalidArgument
from vectrograph.services.limits.validation import utf8_bytes

MAX_EMAIL_CHARACTERS: Final = 254
MIN_PASSWORD_BYTES: Final = 8
MAX_PASSWORD_BYTES: Final = 128
KINDS_NEEDED: Final = 3
MAX_KEY_NAME_CHARACTERS: Final = 50

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@.\x00-\x1f\x7f]+(\.[^\s@.\x00-\x1f\x7f]+)+")
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9 _-]+")


def plain_email(text: str) -> str:
    """An email as it is stored and compared: without white space around it, in lower case.

    >>> plain_email("  Ada@Example.org ")
    'ada@example.org'
    """
    return text.strip().lower()


def validate_email(text: str) -> str:
    """The stored form of an email for a new account.

    Raises:
        InvalidArgument: it is not written local@domain.tld, or has more than 254 characters.
    """
    email = plain_email(text)
    utf8_bytes(email, "email")
    if len(email) > MAX_EMAIL_CHARACTERS or not _EMAIL.fullmatch(email):
        raise InvalidArgument.of(
            "email", f"must be an address like name@example.org, at most {MAX_EMAIL_CHARACTERS} characters"
        )
    return email


def validate_registered_password(password: str) -> None:
    """Accept a password of 8 to 128 bytes with three of: upper case, lower case, digit, anything else.

    Raises:
        InvalidArgument: it is not, or it is one of the published ones.

    >>> validate_registered_password("Correct-horse")
    """
    if not MIN_PASSWORD_BYTES <= utf8_bytes(password, "password") <= MAX_PASSWORD_BYTES:
        raise InvalidArgument.of("password", f"must have {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes")
    kinds = (str.isupper, str.islower, str.isdigit, lambda letter: not letter.isalnum())
    if sum(any(kind(letter) for letter in password) for kind in kinds) < KINDS_NEEDED:
        raise InvalidArgument.of(
            "password", f"must have at least {KINDS_NEEDED} of: upper case, lower case, digits, other characters"
        )
    if password in DEFAULT_PASSWORDS:
        raise InvalidArgument.of("password", "is a published default password; choose another")


def validate_key_name(name: str) -> None:
    """Accept a name of 1 to 50 letters, digits, spaces, hyphens and underscores, as Vectron has them.

    Raises:
        InvalidArgument: it is none.
    """
    if len(name) > MAX_KEY_NAME_CHARACTERS or not _KEY_NAME.fullmatch(name) or name.isspace():
        raise InvalidArgument.of(
            "name", f"must have 1 to {MAX_KEY_NAME_CHARACTERS} letters, digits, spaces, hyphens and underscores"
        )
