"""Check the options of a client, each once, when the client is made.

Every function takes the name of an option and its value, and returns the value in its final form. A value that cannot
work raises an OptionError that names the option and never shows a value that may be secret. numpy scalars count as
numbers.
"""

import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar
from urllib.parse import urlsplit

from wirekit.secrets import described, shown_url

T = TypeVar("T")

_HOST_AND_PORT = re.compile(r"(localhost|[A-Za-z0-9.-]{1,60}:\d{1,5})/?")

# Characters of a wrong value that a message shows. A number or a path is about so long; a key given in the wrong place
# is longer than a text that is shown.
_SHOWN = 60
# Characters of the longest text that is shown; of a longer one the type and length.
_SHOWN_TEXT_CHARACTERS = 16


class OptionError(ValueError):
    """An option that cannot work.

    Attributes:
        name: of the option.
        reason: what is wrong and what to pass, without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


def shown(value: object) -> str:
    """Return a wrong value as a message shows it: long texts and bytes only by their kind, the rest cut.

    >>> shown("5"), shown(b"secret"), shown(5)
    ("'5'", 'bytes', '5')
    """
    if isinstance(value, (bytes, bytearray, memoryview)) or (
        isinstance(value, str) and len(value) > _SHOWN_TEXT_CHARACTERS
    ):
        return described(value)
    if not isinstance(value, (str, bool, Real, type(None))):
        return type(value).__name__
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({type(value).__name__})"


def flag(name: str, value: Any) -> bool:
    """Check a switch.

    Raises:
        OptionError: neither True nor False.

    >>> flag("http2", True)
    True
    """
    if type(value) is bool:
        return value
    if type(value).__name__ in ("bool", "bool_") and type(value).__module__ == "numpy":
        return bool(value)
    raise OptionError(name, f"must be True or False, not {shown(value)}")


def whole(name: str, value: Any, least: int, most: int, unit: str = "") -> int:
    """Check a whole number.

    Raises:
        OptionError: another type, or out of range.

    >>> whole("max_retries", 3, 0, 100)
    3
    """
    plain = _plain(value, Integral)
    if plain is not None and least <= plain <= most:
        return int(plain)
    raise OptionError(name, f"must be an integer{_of(unit)} from {least} to {most}, not {shown(value)}")


def number(name: str, value: Any, least: float, most: float = math.inf, unit: str = "") -> float:
    """Check a number; whole numbers stay whole.

    Raises:
        OptionError: another type, not a number, or out of range.

    >>> number("idle_seconds", 0, 0, unit="seconds")
    0
    """
    plain = _plain(value, Real)
    if plain is not None and least <= plain <= most:
        return plain
    upper = "" if math.isinf(most) else f" to {most:g}"
    raise OptionError(name, f"must be a number{_of(unit)} from {least:g}{upper}, not {shown(value)}")


def seconds(name: str, value: Any) -> float | None:
    """Check a time-out: a positive number of seconds, or None to wait for ever.

    Raises:
        OptionError: another type, zero, negative, or not a number.

    >>> seconds("timeout", 30)
    30
    """
    if value is None:
        return None
    plain = _plain(value, Real)
    if plain is not None and plain > 0:
        return None if math.isinf(plain) else plain
    raise OptionError(name, f"must be a positive number of seconds or None, not {shown(value)}")


def text(name: str, value: Any) -> str:
    """Check a text that is not secret.

    Raises:
        OptionError: another type, empty, or with control characters.

    >>> text("username", "developer")
    'developer'
    """
    if not isinstance(value, str):
        raise OptionError(name, f"must be a string, not {type(value).__name__}")
    if not value:
        raise OptionError(name, "is empty; pass a value or leave it out")
    if _unfit(value):
        raise OptionError(name, "contains a control character or an unpaired surrogate")
    return value


def password(name: str, value: Any) -> str:
    """Check a secret text; any characters that UTF-8 can carry.

    Raises:
        OptionError: another type, or empty. The message never shows the value.

    >>> password("password", "p w")
    'p w'
    """
    if not isinstance(value, str):
        raise OptionError(name, f"must be a string, not {described(value)}")
    if not value:
        raise OptionError(name, "is empty; pass a value or leave it out")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise OptionError(name, "contains an unpaired surrogate, which cannot be sent")
    return value


def header_secret(name: str, value: Any) -> str:
    """Check a secret that travels in a header, such as an API key.

    Raises:
        OptionError: another type, empty, or with characters that no header can carry. No message shows the value.

    >>> header_secret("api_key", "ng_key")
    'ng_key'
    """
    if not isinstance(value, str):
        raise OptionError(name, f"must be a string, not {described(value)}")
    if not value:
        raise OptionError(name, "is empty; pass a value or leave it out")
    if not all("!" <= character <= "~" for character in value):
        raise OptionError(
            name,
            "contains spaces, line breaks or characters not allowed in a header; is there a line break at its end?",
        )
    return value


def url(name: str, value: Any, schemes: Collection[str], example: str, *, credentials: bool, path: bool = True) -> str:
    """Check a URL; return it without a slash at its end.

    Args:
        name: of the option.
        value: the URL.
        schemes: allowed ones.
        example: for the message.
        credentials: whether a name and a password may be part of it.
        path: whether a path may be part of it.

    Raises:
        OptionError: no such URL. The message shows neither credentials nor a query.

    >>> url("base_url", "http://localhost:8000/", ("http", "https"), "http://localhost:8000", credentials=False)
    'http://localhost:8000'
    """
    if not isinstance(value, str):
        raise OptionError(name, f"must be a URL such as {example}, not {described(value)}")
    # A text that is no URL at all may be a key in the wrong place.
    telling = "://" in value or _HOST_AND_PORT.fullmatch(value) is not None
    place = repr(shown_url(value)) if telling else described(value)
    if _unfit(value) or any(character.isspace() for character in value):
        raise OptionError(name, f"{place} contains a space, a line break or a control character")
    problem = _problem(value, schemes, example)
    if problem is not None:
        raise OptionError(name, f"{place} {problem}")
    parts = urlsplit(value)
    if "@" in value.removeprefix(f"{parts.scheme}://{parts.netloc}"):
        raise OptionError(name, f"{place} has an @ after the host; write it as %40, and / in a password as %2F")
    if not credentials and "@" in parts.netloc:
        raise OptionError(name, f"{place} contains credentials; pass username and password instead")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise OptionError(name, f"{place} must end with its path, without ? and #")
    if not path and parts.path.strip("/"):
        raise OptionError(name, f"{place} must end with its host and port")
    return value.rstrip("/")


def _problem(value: str, schemes: Collection[str], example: str) -> str | None:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        # The message of urllib may show a part of a password.
        return f"is no URL; it must look like {example} (quote special characters of a password)"
    if parts.scheme not in schemes or not host or port == 0:
        return f"must look like {example}"
    if not host.isascii():
        try:
            host.encode("idna")
        except UnicodeError:
            return "has a host name that does not exist"
    return None


def choice(name: str, value: Any, allowed: Mapping[Any, T] | Collection[T]) -> Any:
    """Check one of a few values.

    Raises:
        OptionError: another one.

    >>> choice("on_error", "raise", ("raise", "collect"))
    'raise'
    """
    if any(value is one or (type(value) is type(one) and value == one) for one in allowed):
        return value
    names = ", ".join(map(repr, allowed))
    raise OptionError(name, f"must be one of {names}, not {shown(value)}")


def callback(name: str, value: Any) -> Callable[..., Any] | None:
    """Check a function, or None.

    Raises:
        OptionError: it cannot be called.

    >>> callback("on_retry", None) is None
    True
    """
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    raise OptionError(name, f"must be a function or None, not {type(value).__name__}")


def file(name: str, value: Any, what: str) -> str:
    """Check the path of a file that can be read; return it as a text.

    A text with PEM in it, given where a path belongs, may be a private key: no message shows the value when it does not
    look like a path.

    Raises:
        OptionError: no such file, or it cannot be read.
    """
    try:
        given = os.fspath(value)
    except TypeError:
        given = None
    if not isinstance(given, str):
        raise OptionError(name, f"must be the path of {what}, not {described(value)}")
    if not given or len(given) > 4_096 or "-----BEGIN" in given or _unfit(given):
        raise OptionError(name, f"must be the path of {what}, not {described(given)}; write the content into a file")
    problem = None
    try:
        with open(given, "rb"):
            pass
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    if problem is not None:
        raise OptionError(name, f"names {given!r}, which cannot be read: {problem}")
    return given


def _plain(value: Any, kind: Any) -> float | None:
    """Return a number, also a numpy scalar, as an int or a float; None when it is no number of this kind."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return None
    try:
        plain = int(value) if isinstance(value, Integral) else float(value)
        float(plain)
    except OverflowError:
        return None
    return plain


def _unfit(value: str) -> bool:
    """Return whether a text has control characters or lone surrogates."""
    return any(
        character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff" for character in value
    )


def _of(unit: str) -> str:
    return f" of {unit}" if unit else ""
