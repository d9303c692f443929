# Generated from async_client.py by tools/unasync.py; do not edit.
"""The synchronous client of a NeuroGraph server."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurograph._execution.executor import Executor
from neurograph._forks_and_copies import Uncopied, twin
from neurograph._options import DEFAULT_MAX_RESPONSE_BYTES, ApiKey, Options, Password, resolve
from neurograph._resources.api_keys import APIKeys
from neurograph._resources.auth import Auth
from neurograph._resources.cdna import CDNA
from neurograph._resources.embeddings import Embeddings
from neurograph._resources.events import Events
from neurograph._resources.grid import Grid
from neurograph._resources.health import Health
from neurograph._resources.tokens import Tokens
from neurograph.exceptions import ConfigurationError
from neurograph.metrics import Metrics

if TYPE_CHECKING:
    import os
    from ssl import SSLContext

    from neurograph.middleware import Middleware
    from neurograph.observation import OnRetry


class NeuroGraphClient(Uncopied):
    """Talks to a NeuroGraph server; synchronous.

    Nothing is sent before the first call. With a name and password the client logs in by itself, renews
    its token before it expires, and logs in again when the server has forgotten it; any number of
    concurrent calls makes one login. One client serves any number of callers at once, and survives a
    fork.

    Without any credentials only public calls work, such as `health.check()`.

    Args:
        base_url: where the server is, a path included; else `NEUROGRAPH_BASE_URL`, else
            http://localhost:8000.
        username: else `NEUROGRAPH_USERNAME`.
        password: else `NEUROGRAPH_PASSWORD`.
        api_key: used instead of name and password; else `NEUROGRAPH_API_KEY`.
        timeout: seconds for a whole call, its repeats and a login included; None waits for ever.
        verify_ssl: whether to check the server's certificate: True against the authorities of the system, a path
            against those in that file, or an `ssl.SSLContext`, which may also hold a client certificate.
        max_retries: how often a call that failed in a passing way (no connection, 429, 502, 503, 504) is
            repeated, with growing pauses that keep to the server's `Retry-After`. Tokens are created under
            an idempotency key, so that a repeat creates nothing twice; calls that make API keys or change a
            password are only repeated when no connection was made.
        proxy: URL of a proxy that requests go through; else as the usual environment variables say.
        max_connections: at once; 100 when absent.
        max_idle_connections: kept open between calls; 0 opens a new one for each call.
        idle_seconds: how long they are kept. Servers commonly close them after 5 seconds; keep to a little less than
            yours does, so that nothing is sent into a connection that is being closed.
        http2: whether to offer HTTP/2, which carries many calls at once over one connection. It is spoken over TLS with
            a server that knows it, else HTTP/1.1; needs `pip install "neurograph-python[http2]"`.
        circuit_threshold: failures in a row (no answer, or 500 and above) after which nothing is sent for a while
            and calls raise CircuitOpenError at once; 0 never stops.
        circuit_recovery: that while, in seconds; then one call probes.
        on_retry: called with a `neurograph.observation.Retry` before each repeat.
        middleware: functions around every attempt, outermost first; see `neurograph.middleware`.
        max_response_bytes: largest answer that is read, decompressed; of a stream, the largest token or hit.

    Attributes:
        tokens: create, get, list, iterate, stream, export, update, delete and query tokens.
        api_keys: create, list, iterate, get, rotate, revoke and delete API keys.
        auth: who the caller is, logout, change of password.
        embeddings: turn texts into vectors.
        grid: tokens in eight spaces of three dimensions: who is near, influence and density.
        cdna: read and change the scales of the levels of a grid.
        events: hear of changes as they happen.
        health: ask how the server is.
        metrics: `metrics.snapshot()` counts requests, repeats, statuses, errors, seconds and bytes.

    Raises:
        ConfigurationError: an argument cannot work; names it and says what to pass.

    >>> client = NeuroGraphClient("http://localhost:8000", username="developer", password="developer123")
    >>> client
    NeuroGraphClient('http://localhost:8000', username='developer')
    """

    metrics: Metrics
    tokens: Tokens
    api_keys: APIKeys
    auth: Auth
    embeddings: Embeddings
    grid: Grid
    cdna: CDNA
    events: Events
    health: Health

    def __init__(
        self,
        base_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        timeout: float | None = 30.0,
        verify_ssl: "bool | str | os.PathLike[str] | SSLContext" = True,
        *,
        max_retries: int = 2,
        proxy: str | None = None,
        max_connections: int | None = None,
        max_idle_connections: int = 20,
        idle_seconds: float = 4.0,
        http2: bool = False,
        circuit_threshold: int = 10,
        circuit_recovery: float = 10.0,
        on_retry: "OnRetry | None" = None,
        middleware: "Sequence[Middleware]" = (),
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
    ) -> None:
        options = resolve(
            base_url,
            username,
            password,
            api_key,
            timeout,
            verify_ssl,
            max_retries,
            proxy=proxy,
            max_connections=max_connections,
            max_idle_connections=max_idle_connections,
            idle_seconds=idle_seconds,
            http2=http2,
            circuit_threshold=circuit_threshold,
            circuit_recovery=circuit_recovery,
            on_retry=on_retry,
            middleware=middleware,
            max_response_bytes=max_response_bytes,
        )
        self._build(options, Executor(options))

    def _build(self, options: Options, executor: Executor) -> None:
        self._options = options
        self._executor = executor
        self.metrics = executor.metrics
        self.tokens = Tokens(self._executor)
        self.api_keys = APIKeys(self._executor)
        self.auth = Auth(self._executor)
        self.embeddings = Embeddings(self._executor)
        self.grid = Grid(self._executor)
        self.cdna = CDNA(self._executor)
        self.events = Events(self._executor)
        self.health = Health(self._executor)

    def with_options(self, **changes: Any) -> "NeuroGraphClient":
        """Return a client with other options that shares connections, login, circuit and metrics with this one.

        Closing either closes both.

        Args:
            changes: any of `timeout`, `max_retries`, `on_retry` and `middleware`.

        Raises:
            ConfigurationError: another option, or a value that cannot work.

        >>> client = NeuroGraphClient("http://localhost:8000", api_key="ng_key")
        >>> patient = client.with_options(timeout=300, max_retries=5)
        """
        fixed = sorted(changes.keys() - {"timeout", "max_retries", "on_retry", "middleware"})
        if fixed:
            raise ConfigurationError(f"{fixed[0]} cannot be changed on an existing client; create a new one")
        options = self._options.changed(**changes)
        other = twin(self)
        other._build(options, self._executor.derived(options))
        return other

    @property
    def middleware(self) -> "tuple[Middleware, ...]":
        """The functions around every attempt, outermost first.

        >>> NeuroGraphClient("http://localhost:8000", api_key="ng_key").middleware
        ()
        """
        return self._options.middleware

    @property
    def base_url(self) -> str:
        """Address of the server, without a slash at the end.

        >>> NeuroGraphClient("http://localhost:8000/", api_key="ng_key").base_url
        'http://localhost:8000'
        """
        return self._options.base_url

    def close(self) -> None:
        """Close the connections; a second call does nothing. Later calls raise ClientClosedError.

        >>> client = NeuroGraphClient("http://localhost:8000", api_key="ng_key")
        >>> client.close()
        """
        self._executor.close()

    def __enter__(self) -> "NeuroGraphClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        credentials = self._options.credentials
        caller = ""
        if isinstance(credentials, Password):
            caller = f", username={credentials.username!r}"
        elif isinstance(credentials, ApiKey):
            caller = ", api_key=…"
        return f"{type(self).__name__}({self._options.base_url!r}{caller})"
