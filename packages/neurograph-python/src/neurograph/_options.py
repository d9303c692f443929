"""Options of a client, from its arguments and from the environment."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from neurograph._arguments import UNSET, Timeout
from neurograph._wirekit import options
from neurograph._wirekit.options import OptionError
from neurograph._wirekit.secrets import described
from neurograph.exceptions import ConfigurationError, ValidationError

if TYPE_CHECKING:
    from ssl import SSLContext

    from neurograph.observation import OnRetry

DEFAULT_BASE_URL = "http://localhost:8000"

# The longest legal answer, in bytes: a thousand hits of 90 kB of text and 768 components as JSON are 105 MB. Twice that
# and some, so that only a broken or hostile server ever meets it.
DEFAULT_MAX_RESPONSE_BYTES = 256 * 1024 * 1024

NO_SOCKS = 'is a SOCKS proxy, which needs the package socksio: pip install "httpx2[socks]"'
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


Verification: TypeAlias = "bool | str | os.PathLike[str] | SSLContext"
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
        max_response_bytes: largest answer, decompressed; of a stream, the largest piece.
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

    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES

    def __post_init__(self) -> None:
        """Check every option, also those that `with_options` changes.

        Raises:
            ConfigurationError: names the option that cannot work, and says what to pass.
        """
        for name, check in _CHECKS.items():
            problem, value = None, getattr(self, name)
            try:
                value = check(name, value)
            except OptionError as error:
                problem = str(error)
            if problem is not None:  # raised out here, so that no traceback has the value
                raise ConfigurationError(problem)
            object.__setattr__(self, name, value)
        if self.http2 and find_spec("h2") is None:
            raise ConfigurationError('http2=True needs the package h2: pip install "neurograph-python[http2]"')
        if self.proxy is not None and self.proxy.startswith("socks") and find_spec("socksio") is None:
            raise ConfigurationError(f"proxy {NO_SOCKS}")

    def changed(self, **changes: Any) -> "Options":
        """Return the same options but for these, checked again.

        Raises:
            ConfigurationError: says which is wrong and what to pass.
        """
        return replace(self, **changes)

    def secrets(self) -> tuple[str, ...]:
        """Return what no message may show."""
        held = []
        if isinstance(self.credentials, Password):
            held.append(self.credentials.password)
        elif isinstance(self.credentials, ApiKey):
            held.append(self.credentials.api_key)
        if self.proxy is not None and "@" in self.proxy:
            held.append(urlsplit(self.proxy).netloc.rpartition("@")[0])
            held.append(unquote(urlsplit(self.proxy).password or ""))
        return tuple(secret for secret in held if secret)


def _seconds(name: str, value: Any) -> float | None:
    return options.seconds(name, value)


def _base_url(name: str, value: Any) -> str:
    return options.url(name, value, ("http", "https"), DEFAULT_BASE_URL, credentials=False)


def _proxy(name: str, value: Any) -> str | None:
    if value is None:
        return None
    schemes = ("http", "https", "socks5", "socks5h")
    return options.url(name, value, schemes, "http://proxy.example:3128", credentials=True, path=False)


def _verification(name: str, value: Any) -> Any:
    if isinstance(value, bool) or type(value).__name__ == "SSLContext":
        return value
    try:
        given = os.fspath(value)
    except TypeError:
        given = None
    if not isinstance(given, str):
        raise OptionError(
            name, f"must be True, False, an ssl.SSLContext or the path of a PEM file, not {described(value)}"
        )
    if not os.path.isdir(given):
        options.file(name, given, "a PEM file with certificate authorities, True or False")
        _load(name, given)
    return given


def _load(name: str, path: str) -> None:
    """Look into a file of certificates now: the first call would be late for a mistake."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):
        pass
    else:
        return
    raise OptionError(name, f"names {path!r}, which has no certificates in PEM")


def _middleware(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise OptionError(name, f"must be a list of functions, not {type(value).__name__}")
    return tuple(value)


def _between(least: int, most: int) -> Callable[[str, Any], int]:
    return lambda name, value: options.whole(name, value, least, most)


def _from_zero(name: str, value: Any) -> float:
    return options.number(name, value, 0, unit="seconds")


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "base_url": _base_url,
    "timeout": _seconds,
    "verify_ssl": _verification,
    "max_retries": _between(0, 1_000),
    "proxy": _proxy,
    "max_connections": lambda name, value: None if value is None else options.whole(name, value, 1, 100_000),
    "max_idle_connections": _between(0, 100_000),
    "idle_seconds": _from_zero,
    "http2": options.flag,
    "circuit_threshold": _between(0, 1_000_000),
    "circuit_recovery": _from_zero,
    "on_retry": options.callback,
    "middleware": _middleware,
    "max_response_bytes": _between(1, 2**40),
}


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
    """Join arguments and environment, and refuses what cannot work.

    An argument wins over its environment variable. An API key wins over a password, except that a name
    or password given as an argument wins over an API key from the environment. Empty variables count as
    absent.

    Raises:
        ConfigurationError: says which argument is wrong and what to pass.
    """
    environ = os.environ if environ is None else environ
    url = base_url
    if url is None and (found := environ.get(f"{_PREFIX}BASE_URL")):
        url = _checked(_base_url, f"{_PREFIX}BASE_URL", found)
    return Options(
        base_url=DEFAULT_BASE_URL if url is None else url,
        credentials=_credentials(username, password, api_key, environ),
        timeout=timeout,
        verify_ssl=verify_ssl,
        max_retries=max_retries,
        **more,
    )


def checked_timeout(timeout: Timeout, usual: float | None) -> float | None:
    """Return seconds for one call: those given, else the usual ones; None means for ever.

    Raises:
        ValidationError: not a positive number.

    >>> checked_timeout(None, 30.0), checked_timeout(UNSET, 30.0)
    (None, 30.0)
    """
    if timeout is UNSET:
        return usual
    problem = None
    try:
        return options.seconds("timeout", timeout)
    except OptionError as error:
        problem = error.reason
    raise ValidationError.of("timeout", problem)


def _credentials(
    username: str | None, password: str | None, api_key: str | None, environ: Mapping[str, str]
) -> Credentials:
    names = {name: name for name in ("api_key", "username", "password")}

    def found(name: str) -> str | None:
        variable = f"{_PREFIX}{name.upper()}"
        names[name] = variable
        return environ.get(variable) or None

    if api_key is None and username is None and password is None:
        api_key = found("api_key")
    if api_key is not None:
        return ApiKey(_checked(options.header_secret, names["api_key"], api_key))
    username = found("username") if username is None else username
    password = found("password") if password is None else password
    if username is not None:
        username = _checked(options.text, names["username"], username)
    if password is not None:
        password = _checked(options.password, names["password"], password)
    if username is None and password is None:
        return None
    if username is None or password is None:
        given, missing = ("username", "password") if password is None else ("password", "username")
        raise ConfigurationError(
            f"{given} is given but {missing} is not; pass both, or set {_PREFIX}{missing.upper()}, or pass api_key"
        )
    return Password(username, password)


def _checked(check: Callable[[str, Any], str], name: str, value: Any) -> str:
    try:
        return check(name, value)
    except OptionError as error:
        problem = str(error)
    raise ConfigurationError(problem)
