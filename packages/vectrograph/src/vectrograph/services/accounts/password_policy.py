"""Which passwords may be chosen: long enough, not published, not among the first that anyone would try."""

from typing import Final

from vectrograph.control.passwords import MAX_PASSWORD_BYTES
from vectrograph.control.seeding import DEFAULT_PASSWORDS
from vectrograph.domain.errors import InvalidArgument
from vectrograph.services.limits.validation import utf8_bytes

MIN_PASSWORD_CHARACTERS: Final = 8
_MIN_DIFFERENT: Final = 4

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
    if password.lower() in COMMON_PASSWORDS or len(set(password)) < _MIN_DIFFERENT:
        raise InvalidArgument.of(field, "is among the first that anyone would try; choose a longer phrase of your own")
    if username and len(username) >= _MIN_DIFFERENT and username.lower() in password.lower():
        raise InvalidArgument.of(field, "must not contain the username")
