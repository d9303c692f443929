"""The real server inside this process: for tests, notebooks and the demo.

>>> from vectrograph import running
>>> with running() as server, server.neurograph() as client:
...     token = client.tokens.create(text="hello world")
...     [hit.token.id for hit in client.tokens.query(query_vector=token.embedding, top_k=1)]
[1]
"""

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectrograph.app import Server, prepare_control_database
from vectrograph.domain.errors import StartupError
from vectrograph.process import logs
from vectrograph.settings import Settings

if TYPE_CHECKING:
    from neurograph import AsyncNeuroGraphClient, NeuroGraphClient
    from vectron_client import AsyncVectronClient, VectronClient

_CONTROL_FILE = "control.sqlite"
_USER, _PASSWORD = "developer", "developer123"


class RunningServer:
    """A server in this process: its addresses, and clients that are ready to use.

    Attributes:
        server: the running server; `server.services` is its inside.
        http_url: base URL of the REST API.
        vectron_http_url: base URL of the same application on its second port.
        grpc_address: `host:port` of the gRPC API.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http_url = server.addresses.http
        self.vectron_http_url = server.addresses.vectron_http
        self.grpc_address = server.addresses.grpc

    def __repr__(self) -> str:
        return f"RunningServer(http_url={self.http_url!r}, grpc_address={self.grpc_address!r})"

    @cached_property
    def api_key(self) -> str:
        """An API key of the account `developer`, made at first use."""
        return self.server.new_api_key(_USER, "in-process")

    def neurograph(self, **options: Any) -> "NeuroGraphClient":
        """Return a synchronous NeuroGraph client, logged in as `developer` unless credentials are given.

        Where development mode is over, the client has an API key of that account instead.
        """
        from neurograph import NeuroGraphClient

        return NeuroGraphClient(self.http_url, **self._with_account(options))

    def async_neurograph(self, **options: Any) -> "AsyncNeuroGraphClient":
        """Return an asynchronous NeuroGraph client, logged in as `developer` unless credentials are given.

        Where development mode is over, the client has an API key of that account instead.
        """
        from neurograph import AsyncNeuroGraphClient

        return AsyncNeuroGraphClient(self.http_url, **self._with_account(options))

    def vectron(self, **options: Any) -> "VectronClient":
        """Return a synchronous Vectron client with an API key of `developer` unless one is given."""
        from vectron_client import VectronClient

        return VectronClient(self.grpc_address, **{"api_key": self.api_key, **options})

    def async_vectron(self, **options: Any) -> "AsyncVectronClient":
        """Return an asynchronous Vectron client with an API key of `developer` unless one is given."""
        from vectron_client import AsyncVectronClient

        return AsyncVectronClient(self.grpc_address, **{"api_key": self.api_key, **options})

    def _with_account(self, options: dict[str, Any]) -> dict[str, Any]:
        if options.keys() & {"username", "password", "api_key"}:
            return options
        if _USER in self.server.default_passwords:
            return {"username": _USER, "password": _PASSWORD, **options}
        return {"api_key": self.api_key, **options}


@contextmanager
def running(path: str | Path | None = None, **settings: Any) -> Iterator[RunningServer]:
    """Run the server in this process on free loopback ports.

    Args:
        path: data directory, kept afterwards; None uses a temporary one that is removed.
        settings: fields of `vectrograph.settings.Settings`, such as `http_port` or `max_top_k`. Only warnings and
            errors are logged, to the standard logger `vectrograph`, unless `log_level` asks for more or less.

    Raises:
        StartupError: a port or the directory is taken, or the host is not loopback.
    """
    if settings.get("host", "127.0.0.1") not in ("127.0.0.1", "localhost", "::1"):
        raise StartupError(
            "An in-process server listens on loopback only; use `vectrograph serve` for other addresses."
        )
    ports = {"http_port": 0, "vectron_http_port": 0, "grpc_port": 0}
    with ExitStack() as stack:
        if path is None:
            temporary = _TemporaryDirectory("vectrograph-")
            stack.callback(temporary.remove)
            path = temporary.path
        chosen = Settings.load(**{**ports, "data": Path(path), **settings})
        logs.configure_embedded(chosen.log_level if "log_level" in settings else None)
        server = Server.start(chosen, control_template=_template.path())
        stack.callback(server.stop)
        yield RunningServer(server)


class _Template:
    """A control database with the development accounts, built once per process: three password hashes take longer than
    all the rest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._directory: _TemporaryDirectory | None = None

    def path(self) -> Path:
        with self._lock:
            # Programs that tidy up temporary directories may have removed it.
            if self._directory is None or not (self._directory.path / _CONTROL_FILE).exists():
                self._directory = _TemporaryDirectory("vectrograph-template-")
                prepare_control_database(self._directory.path / _CONTROL_FILE)
            return self._directory.path / _CONTROL_FILE

    def forget(self) -> None:
        """Leave what there is to the process that made it, with a lock that nobody holds."""
        self._lock, self._directory = threading.Lock(), None


class _TemporaryDirectory:
    """A temporary directory that is removed by the process that made it, and by no child of it.

    It goes with `remove`, with the last reference, or at the end of the process.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix)).absolute()
        self.remove = weakref.finalize(self, _remove_own, self.path, os.getpid())


def _remove_own(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


_template = _Template()
os.register_at_fork(after_in_child=_template.forget)
