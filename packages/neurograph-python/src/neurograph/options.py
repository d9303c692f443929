"""What a client was told at construction, by its arguments and by the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from neurograph.exceptions import ConfigurationError, ValidationError
from neurograph.unset import UNSET, Timeout

if TYPE_CHECKING:
    from ssl import SSLContext

    from neurograph.observation import OnRetry

DEFAULT_BASE_URL = "http://localhost:8000"
_PREFIX = "NEUROGRAPH_"


@dataclass(frozen=True, slots=True)
class Password:
    """Log in with a name and a password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Send an API key; there is nothing to log in to."""

    api_key: str = field(repr=False)


Verification: TypeAlias = "bool | str | SSLContext"
Credentials: TypeAlias = "Password | ApiKey | None"


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options of a client.

    Attributes:
        base_url: without a slash at its end.
        credentials: None allows public calls only.
        timeout: seconds for a whole call, its repeats and a login included; None waits for ever.
        verify_ssl: whether certificates are checked, and against what.
        max_retries: repeats of a call that failed in a passing way.
        proxy: where requests go first; None goes straight, unless the environment names one.
        max_connections: at once; None leaves it to the transport.
        max_idle_connections: kept open for the next calls.
        idle_seconds: how long each is kept.
        http2: whether HTTP/2 is offered to the server.
        circuit_threshold: failures in a row after which nothing is sent for a while; 0 never stops.
        circuit_recovery: that while, in seconds.
        on_retry: told of every repeat.
        middleware: functions around every attempt, the outermost first.
    """

    base_url: str
    credentials: Credentials
    timeout: float | None
    verify_ssl: Verification
    max_retries: int
    proxy: str | None = field(default=None, repr=False)
    max_connections: int | None = None
    max_idle_connections: int = 20
    idle_seconds: float = 4.0
    http2: bool = False
    circuit_threshold: int = 10
    circuit_recovery: float = 10.0
    on_retry: "OnRetry | None" = None
    middleware: tuple[Any, ...] = ()

    def changed(self, **changes: Any) -> "Options":
        """The same options but for these, checked again.

        Raises:
            ConfigurationError: says which is wrong and what to pass.
        """
        changed = replace(self, **changes)
        changed.check()
        return changed

    def check(self) -> None:
        """Refuses numbers that cannot work.

        Raises:
            ConfigurationError: says which is wrong and what to pass.
        """
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigurationError(f"timeout must be a positive number of seconds or None, not {self.timeout}")
        if self.max_retries < 0:
            raise ConfigurationError(f"max_retries must be 0 or more, not {self.max_retries}")
        if self.max_connections is not None and self.max_connections < 1:
            raise ConfigurationError(f"max_connections must be 1 or more, or None, not {self.max_connections}")
        if self.max_idle_connections < 0 or not self.idle_seconds >= 0:
            raise ConfigurationError("max_idle_connections and idle_seconds must be 0 or more")
        if self.circuit_threshold < 0 or self.circuit_recovery < 0:
            raise ConfigurationError("circuit_threshold and circuit_recovery must be 0 or more")
        if self.http2 and find_spec("h2") is None:
            raise ConfigurationError('http2=True needs the package h2: pip install "neurograph-python[http2]"')


def resolve(
    base_url: str | None,
    username: str | None,
    password: str | None,
    api_key: str | None,
    timeout: float | None,
    verify_ssl: Verification,
    max_retries: int,
    environ: Mapping[str, str] | None = None,
    **more: Any,
) -> Options:
    """Joins arguments and environment, and refuses what cannot work.

    An argument wins over its environment variable. An API key wins over a password, except that a name
    or password given as an argument wins over an API key from the environment. Empty variables count as
    absent.

    Raises:
        ConfigurationError: says which argument is wrong and what to pass.
    """
    environ = os.environ if environ is None else environ
    url = base_url if base_url is not None else environ.get(f"{_PREFIX}BASE_URL") or DEFAULT_BASE_URL
    options = Options(
        base_url=_checked_url(url),
        credentials=_credentials(username, password, api_key, environ),
        timeout=timeout,
        verify_ssl=verify_ssl,
        max_retries=max_retries,
        **more,
    )
    options.check()
    return options


def checked_timeout(timeout: Timeout, usual: float | None) -> float | None:
    """Seconds for one call: those given, else the usual ones; None means for ever.

    Raises:
        ValidationError: not a positive number.

    >>> checked_timeout(None, 30.0), checked_timeout(UNSET, 30.0)
    (None, 30.0)
    """
    if timeout is UNSET:
        return usual
    if timeout is not None and not timeout > 0:
        raise ValidationError.of(
            "timeout", f"is {timeout}; pass a positive number of seconds, or None to wait for ever"
        )
    return timeout


def _credentials(
    username: str | None, password: str | None, api_key: str | None, environ: Mapping[str, str]
) -> Credentials:
    for name, value in (("username", username), ("password", password), ("api_key", api_key)):
        if value == "":
            raise ConfigurationError(f"{name} is empty; pass a value or leave it out")
    if api_key is None and username is None and password is None:
        api_key = environ.get(f"{_PREFIX}API_KEY") or None
    if api_key is not None:
        return ApiKey(_checked_key(api_key))
    username = username or environ.get(f"{_PREFIX}USERNAME") or None
    password = password or environ.get(f"{_PREFIX}PASSWORD") or None
    if username is None and password is None:
        return None
    if username is None or password is None:
        given, missing = ("username", "password") if password is None else ("password", "username")
        raise ConfigurationError(
            f"{given} is given but {missing} is not; pass both, or set {_PREFIX}{missing.upper()}, or pass api_key"
        )
    return Password(username, password)


def _checked_key(api_key: str) -> str:
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ConfigurationError("api_key contains blanks or characters that no HTTP header can carry")
    return api_key


def _checked_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"base_url {base_url!r} is no URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url contains credentials; pass username and password instead")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigurationError(f"base_url {base_url!r} must look like {DEFAULT_BASE_URL} or https://host/path")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"base_url {base_url!r} must end with its path, without ? and #")
    return base_url.rstrip("/")
