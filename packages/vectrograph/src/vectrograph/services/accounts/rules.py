"""Rules for emails, passwords and names of API keys."""

import re
from typing import Final

from vectrograph.control.passwords import MAX_PASSWORD_BYTES
from vectrograph.control.seeding import DEFAULT_PASSWORDS
from vectrograph.domain.errors import InvalidArgument
from vectrograph.services.limits.validation import utf8_bytes

# Longest address that mail can be sent to: RFC 5321 allows a path of 256 octets with its angle brackets.
MAX_EMAIL_CHARACTERS: Final = 254
# Shortest password at registration, in bytes, as the official API has it.
MIN_REGISTERED_PASSWORD_BYTES: Final = 8
# Longest password at registration, in bytes, as the official API has it.
MAX_REGISTERED_PASSWORD_BYTES: Final = 128
# Kinds of characters, of four, that a registered password needs, as the official API has it.
KINDS_NEEDED: Final = 3
# Longest name of a key in characters, as the official API has it.
MAX_KEY_NAME_CHARACTERS: Final = 50

_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@.\x00-\x1f\x7f]+(\.[^\s@.\x00-\x1f\x7f]+)+")
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9 _-]+")


def plain_email(text: str) -> str:
    """Return an email as it is stored and compared: without white space around it, in lower case.

    >>> plain_email("  Ada@Example.org ")
    'ada@example.org'
    """
    return text.strip().lower()


def validate_email(text: str) -> str:
    """Return the stored form of an email for a new account.

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
    if not MIN_REGISTERED_PASSWORD_BYTES <= utf8_bytes(password, "password") <= MAX_REGISTERED_PASSWORD_BYTES:
        raise InvalidArgument.of(
            "password", f"must have {MIN_REGISTERED_PASSWORD_BYTES} to {MAX_REGISTERED_PASSWORD_BYTES} bytes"
        )
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


# Shortest password in characters: NIST SP 800-63B, section 5.1.1.2.
MIN_PASSWORD_CHARACTERS: Final = 8
# Different characters that a password needs, so that "aaaaaaaa" is refused. A username below this length
# may be part of a password.
_MIN_DIFFERENT_CHARACTERS: Final = 4

# What heads every published list of leaked passwords, as far as it has eight characters; compared without case.
_COMMON: Final = """
    password password1 password12 password123 password1234 password! passw0rd passw0rd! p@ssword p@ssw0rd pa$$word
    12345678 123456789 1234567890 0123456789 987654321 9876543210 11111111 00000000 12341234 12344321 11223344 88888888
    147258369 123123123 123321123 1q2w3e4r 1q2w3e4r5t q1w2e3r4 1qaz2wsx 1qaz2wsx3edc zaq12wsx qwertyui qwertyuiop
    qwerty12 qwerty123 qwerty1234 qwerty12345 asdfghjk asdfghjkl asdf1234 zxcvbnm1 abcd1234 abc12345 abcdefgh abcdefghi
    iloveyou iloveyou1 sunshine princess football baseball basketball superman superman1 batman123 trustno1 starwars
    whatever computer internet michelle jennifer danielle jessica1 michael1 charlie1 dragon123 monkey123 letmein1
    letmein123 welcome1 welcome123 welcome! admin123 admin1234 admin12345 administrator root1234 toor1234 changeme
    changeme1 changeme123 default1 secret123 secret12 master123 test1234 testtest guest123 user1234 developer
    developer1 developer123 viewer123 vectrograph vectrograph1 neurograph vectron123 database database1 postgres
    mustang1 corvette mercedes maverick redskins steelers victoria midnight elephant butterfly chocolate liverpool
    samsung1 pokemon1 minecraft facebook facebook1 linkedin google123 hello123 hellohello football1 baseball1 access14
"""
COMMON_PASSWORDS: Final = frozenset(_COMMON.split())


def validate_new_password(password: str, field: str, username: str = "") -> None:
    """Accept a password that may be chosen: 8 characters to 1,024 bytes, at least 4 different ones, neither common nor
    published, and not the username or a part of it with something around it.

    No mixture of kinds of characters is asked for: length keeps guessers out, and rules of that kind make people choose
    alike (NIST SP 800-63B, section 5.1.1.2).

    Raises:
        InvalidArgument: it may not be chosen; the message says why and never repeats it.

    >>> validate_new_password("correct horse battery", "password", "ada")
    """
    size = utf8_bytes(password, field)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise InvalidArgument.of(field, f"must have at least {MIN_PASSWORD_CHARACTERS} characters", "string_too_short")
    if size > MAX_PASSWORD_BYTES:
        raise InvalidArgument.of(field, f"must have at most {MAX_PASSWORD_BYTES} bytes", "string_too_long")
    if password in DEFAULT_PASSWORDS:
        raise InvalidArgument.of(field, "is a published default password; choose another")
    if password.lower() in COMMON_PASSWORDS or len(set(password)) < _MIN_DIFFERENT_CHARACTERS:
        raise InvalidArgument.of(field, "is one of the most common passwords; choose a longer phrase of your own")
    if username and len(username) >= _MIN_DIFFERENT_CHARACTERS and username.lower() in password.lower():
        raise InvalidArgument.of(field, "must not contain the username")
