"""The composition root: the only place that constructs engines, stores, services and transports, and stops them in
order.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import grpc
import uvicorn
from sqlalchemy import URL
from starlette.types import ASGIApp

from vectrograph.control.database.copies import RECORD
from vectrograph.control.seeding import default_password_in_force, seed_development_accounts
from vectrograph.control.store import ControlStore, sqlite_url
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import OutOfSpace, StartupError, StorageReadOnly
from vectrograph.domain.log_retention import LogRetention
from vectrograph.domain.threads import ThreadPlacement
from vectrograph.embedding.wordllama import WordllamaEmbedder
from vectrograph.engines.base import Engine
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.disk.durable import make_directory
from vectrograph.engines.embedded.engine import require_usable
from vectrograph.engines.embedded.rows.memory_budget import default_budget
from vectrograph.engines.quotas import Quota
from vectrograph.http.timeouts import TimedHttpProtocol
from vectrograph.http.websockets import WebSocketConnection
from vectrograph.http_app import build_http_app
from vectrograph.process import logs
from vectrograph.process.affinity import CpuAffinity
from vectrograph.process.certificates import CertificateFiles, Certificates
from vectrograph.process.closing import CLOSE_SECONDS, Closing
from vectrograph.process.connection_limits import ConnectionLimits, event_loop_with
from vectrograph.process.listening import bind, port_in_use
from vectrograph.rpc.server import build_grpc_server
from vectrograph.services import Services
from vectrograph.services.accounts.development import Development
from vectrograph.services.call import Call, Principal
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.filter_turns import FilterTurns
from vectrograph.services.limits.queueing import long_reading_threads, worker_threads
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.wiring import build_services
from vectrograph.settings import EngineKind, Settings
from vectrograph.version import VERSION

CONTROL_FILE = "control.sqlite"
SECRET_FILE = "signing.key"  # noqa: S105  (a file name)
# Longest wait for the HTTP server to listen. Generous: it takes some milliseconds.
_READY_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses on which a running server listens."""

    host: str
    http_port: int
    vectron_http_port: int
    grpc_port: int
    scheme: str = "http"

    @property
    def http(self) -> str:
        """Base URL of the REST API."""
        return f"{self.scheme}://{self._host}:{self.http_port}"

    @property
    def vectron_http(self) -> str:
        """Base URL of the same application on its second port."""
        return f"{self.scheme}://{self._host}:{self.vectron_http_port}"

    @property
    def grpc(self) -> str:
        """Target of the gRPC API."""
        return f"{self._host}:{self.grpc_port}"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


class Server:
    """A server that is up: data open, ports bound, every transport answering. Made by `start`, ended by `stop`."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        services: Services,
        addresses: Addresses,
        closing: Closing,
        store: ControlStore,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.services = services
        self.addresses = addresses
        self._closing = closing
        self._owner = os.getpid()
        self._store = store

    @property
    def default_passwords(self) -> list[str]:
        """Usernames whose published password works; there are some in development mode only."""
        return self.services.development.usable_passwords()

    def new_api_key(self, username: str, name: str) -> str:
        """Make an API key of an account, for whoever owns this process: no password is asked for.

        Raises:
            StartupError: there is no such account.
        """
        user = self._store.accounts.find(username)
        if user is None:
            raise StartupError(
                f"There is no account {username} in {self.settings.data}; give the credentials of another account."
            )
        owner = Principal(user.user_id, user.username, user.role, user.scopes, tenant=user.tenant)
        return self.services.keys.create(Call(owner, "in-process"), name, None, None).secret

    @property
    def advice(self) -> str | None:
        """Advice to the operator before anybody can log in; None where nothing is missing."""
        if not self._store.has_users():
            return "there is no account yet: make the first administrator with `vectrograph init`"
        published = default_password_in_force(self._store)
        if not published or self.default_passwords:
            return None
        return (
            f"development mode is over ({self.services.development.reason()}): the documented passwords of "
            f"{', '.join(published)} do not work; set others with `vectrograph users set-password NAME`"
        )

    @classmethod
    def start(cls, settings: Settings, *, control_template: Path | None = None) -> Self:
        """Open the data directory and serve it.

        Args:
            settings: every option.
            control_template: a prepared control database to begin a new data directory with, instead of building one.

        Raises:
            StartupError: a port or the directory is taken, the data is of a newer format, or the address is not safe
            to listen on.
        """
        closing = Closing(settings.shutdown_seconds + CLOSE_SECONDS)
        try:
            certificates = _certificates(settings)
            affinity = CpuAffinity() if settings.cpu_affinity else None
            placement = affinity or ThreadPlacement()
            engine = _open_engine(settings, closing, placement)
            store = _open_store(settings, closing, control_template)
            services = _open_services(settings, engine, store, closing, placement)
            http_sockets: list[socket.socket] = []
            for port, option in ((settings.http_port, "http-port"), (settings.vectron_http_port, "vectron-http-port")):
                http_sockets.append(bind(settings.host, port, option))
                closing.add(f"socket of {option}", http_sockets[-1].close)
            if affinity is not None:
                affinity.watch()
                closing.add("CPU affinity", affinity.close, until=settings.shutdown_seconds + 1.5)
            rpc_server = build_grpc_server(
                services,
                threads=settings.grpc_threads or worker_threads(),
                trusted_proxies=settings.proxies,
                handshake_seconds=settings.handshake_seconds,
                placement=placement,
            )
            grpc_port = _bind_grpc(rpc_server, settings, certificates)
            application = build_http_app(
                services,
                allowed_hosts=settings.host_names,
                version=VERSION,
                trusted_proxies=settings.proxies,
                cors_origins=settings.cors_origins,
                placement=placement,
            )
            http_server = _HttpServer(application, settings, certificates, placement)
            _stop_together(closing, http_server, rpc_server, services, settings.shutdown_seconds)
            http_server.start(http_sockets)
            rpc_server.start()
            ports = [sock.getsockname()[1] for sock in http_sockets]
            limits = ConnectionLimits((*ports, grpc_port), settings.max_connections_per_address, settings.proxies)
            closing.add("limits of connections", limits.close)
            limits.start()
            addresses = Addresses(settings.host, ports[0], ports[1], grpc_port, "https" if settings.tls else "http")
        except BaseException:
            closing.close()
            raise
        return cls(settings, engine, services, addresses, closing, store)

    @property
    def stopping(self) -> str | None:
        """The part that `stop` waits for at this moment."""
        return self._closing.under_way

    def stop(self) -> list[str]:
        """Finish what is in flight within `shutdown_seconds`, then close everything within four seconds more.

        Stopping twice is fine. A child of the process that started it has none of its threads: there this does
        nothing.

        Returns:
            The names of parts that did not end in time and were left behind; the log has them too.
        """
        if os.getpid() != self._owner:
            return []
        return self._closing.close()


def _open_engine(settings: Settings, closing: Closing, placement: ThreadPlacement) -> Engine:
    engine = _postgres(settings) if settings.engine is EngineKind.POSTGRES else _embedded(settings, placement)
    closing.add("storage engine", engine.close)
    return engine


def _embedded(settings: Settings, placement: ThreadPlacement) -> Engine:
    if settings.engine_url is not None:
        raise StartupError("Setting engine_url: is for the engine postgres; add --engine postgres, or leave it out.")
    return EmbeddedEngine.open(
        settings.data,
        memory_bytes=default_budget() if settings.memory_bytes is None else settings.memory_bytes or None,
        ballast_bytes=settings.ballast_bytes,
        quota=Quota(settings.max_collections, settings.max_tenant_collections),
        retention=LogRetention.of_days(settings.max_log_changes, settings.max_log_days),
        placement=placement,
    )


def _postgres(settings: Settings) -> Engine:
    if settings.engine_url is None:
        raise StartupError("The engine postgres needs --engine-url postgresql://USER@HOST/DATABASE.")
    try:
        from vectrograph.engines.postgres import PostgresEngine
    except ImportError as error:
        raise StartupError(
            f"The engine postgres needs packages that are not installed: pip install 'vectrograph[postgres]' ({error})."
        ) from error
    # The directory holds the signing key, and the accounts unless control_url says otherwise.
    prepare_data_directory(settings.data)
    writes = max(1, settings.engine_connections // 3)
    return PostgresEngine.open(
        settings.engine_url,
        quota=Quota(settings.max_collections, settings.max_tenant_collections),
        read_connections=settings.engine_connections - writes,
        write_connections=writes,
    )


def _open_store(settings: Settings, closing: Closing, control_template: Path | None) -> ControlStore:
    path = settings.data / CONTROL_FILE
    if control_template is not None and not path.exists() and not (settings.data / RECORD).exists():
        ControlStore.copy_of(control_template, path)
    store = ControlStore.open(control_url(settings), settings.data, watched=True, quotas=settings.quotas)
    closing.add("account database", store.close, until=settings.shutdown_seconds + 3.0)
    _refuse_unsafe_address(settings, store)
    return store


def _open_services(
    settings: Settings, engine: Engine, store: ControlStore, closing: Closing, placement: ThreadPlacement
) -> Services:
    if store.began_before and not (settings.data / SECRET_FILE).exists():
        _log.warning(
            "%s was missing and was created again: all users must log in again, API keys stay valid", SECRET_FILE
        )
    services = build_services(
        engine=engine,
        store=store,
        embedder=WordllamaEmbedder(placement),
        secret_file=settings.data / SECRET_FILE,
        limits=settings.limits,
        version=VERSION,
        development=Development.start(store, settings.reached_by_others),
        rate_limits=RateLimits(
            identity=settings.rate_limit, address=settings.address_rate_limit, storage=settings.rate_limit_storage
        ),
        concurrency=Concurrency(requests=settings.max_concurrent, streams=settings.max_streams),
        turns=FilterTurns.beside(long_reading_threads(settings.grpc_threads or worker_threads())),
        quantisation=settings.quantization,
        grid_memory_bytes=settings.grid_memory_bytes,
        live_limits=settings.live_limits,
    )
    closing.add("last uses of API keys", services.close, until=settings.shutdown_seconds + 2.5)
    closing.add("readers of the log", logs.listen(services.live.logs.line))
    services.cdna.resume()
    try:
        for tenant in {DEFAULT_TENANT, *(user.tenant for user in store.accounts.list())}:
            services.tokens.ensure(tenant)
        if not store.shared:
            services.catalog.tidy()
    except (OutOfSpace, StorageReadOnly) as error:
        _log.warning("a collection of tokens is missing and cannot be created: %s", error.message)
    return services


def control_url(settings: Settings) -> str | URL:
    """Return URL of the control database: the setting, or a SQLite file in the data directory."""
    return settings.control_url or sqlite_url(settings.data / CONTROL_FILE)


def prepare_data_directory(path: Path) -> Path:
    """Make a data directory where there is none.

    Raises:
        StartupError: it cannot be used.
    """
    root = require_usable(path)
    try:
        make_directory(root)
    except OSError as error:
        raise StartupError(f"The data directory {root} cannot be created: {error.strerror}.") from error
    return root


def _certificates(settings: Settings) -> Certificates | None:
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        path = getattr(settings, name)
        if path is not None:
            _require_readable(name, path)
    if settings.tls_cert is None or settings.tls_key is None:
        if settings.tls_cert is not None or settings.tls_key is not None or settings.tls_client_ca is not None:
            raise StartupError("TLS needs both --tls-cert and --tls-key.")
        return None
    return Certificates(CertificateFiles(settings.tls_cert, settings.tls_key, settings.tls_client_ca))


def _require_readable(name: str, path: Path) -> None:
    """Refuse a file of a setting that cannot be read, by the name of the setting."""
    try:
        if not path.is_file() and path.exists():
            raise StartupError(f"Setting {name}: {path} is not a regular file; name a PEM file.")
        path.open("rb").close()
    except OSError as error:
        raise StartupError(f"Setting {name}: cannot read {path} ({error.strerror}); name a PEM file.") from error


def prepare_control_database(path: Path) -> None:
    """Write a control database that holds the development accounts, to begin new data directories with."""
    store = ControlStore.open(sqlite_url(path))
    try:
        seed_development_accounts(store)
    finally:
        store.close()


def _refuse_unsafe_address(settings: Settings, store: ControlStore) -> None:
    if settings.loopback:
        return
    names = default_password_in_force(store)
    if names:
        raise StartupError(
            f"Refusing to listen on {settings.host}: the documented password of {', '.join(names)} is in force. "
            "Set another with `vectrograph users set-password NAME`, or remove the account with "
            "`vectrograph users delete NAME`, then start again."
        )
    if not store.has_users():
        raise StartupError(
            f"Refusing to listen on {settings.host}: there is no account yet. "
            "Run `vectrograph init` to create the first administrator, then start again."
        )
    if not (settings.tls or settings.trusted_proxy or settings.insecure):
        raise StartupError(
            f"Refusing to listen on {settings.host} without TLS: give --tls-cert and --tls-key, or name the proxy that "
            "encrypts with --trusted-proxy ADDRESS, or say --insecure."
        )


def _bind_grpc(server: grpc.Server, settings: Settings, certificates: Certificates | None) -> int:
    if settings.grpc_port:
        # gRPC's own refusal comes with lines of its C core on standard error; this one is a single clear sentence.
        bind(settings.host, settings.grpc_port, "grpc-port").close()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        address = f"{host}:{settings.grpc_port}"
        if certificates is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, certificates.grpc_credentials())
    except RuntimeError as error:
        raise port_in_use(settings.host, settings.grpc_port, "grpc-port") from error
    return int(port)


def _stop_together(
    closing: Closing, http_server: "_HttpServer", rpc_server: grpc.Server, services: Services, seconds: float
) -> None:
    """Let both transports drain at the same time, so that stopping takes one grace period, not two."""
    asked: list[threading.Event] = []

    def ask() -> None:
        services.live.close()
        http_server.ask_to_stop()
        asked.append(rpc_server.stop(seconds))

    def wait() -> None:
        for stopped in asked:
            stopped.wait()

    # Last first.
    closing.add("HTTP requests in flight", http_server.join, until=seconds + 1.5)
    closing.add("gRPC calls in flight", wait, until=seconds + 1.0)
    closing.add("news of the stop", ask, until=1.0)


class _HttpServer:
    """Uvicorn in a thread of its own, on sockets that are bound already."""

    def __init__(
        self, application: ASGIApp, settings: Settings, certificates: Certificates | None, placement: ThreadPlacement
    ) -> None:
        config = uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http=TimedHttpProtocol,
            ws=WebSocketConnection,
            ssl_context_factory=None if certificates is None else lambda _, __: certificates.http_context(),
            timeout_graceful_shutdown=max(1, int(settings.shutdown_seconds)),
        )
        self._handshake_seconds = settings.handshake_seconds
        self._server = uvicorn.Server(config)
        self._placement = placement
        self._thread: threading.Thread | None = None

    def start(self, sockets: list[socket.socket]) -> None:
        self._thread = threading.Thread(target=self._run, args=(sockets,), name="vectrograph-http", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _READY_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise StartupError("The HTTP server did not start; the lines above say why.")
            time.sleep(0.002)

    def _run(self, sockets: list[socket.socket]) -> None:
        self._placement.pin()
        new_loop = partial(event_loop_with, self._handshake_seconds)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._server.serve(sockets))

    def ask_to_stop(self) -> None:
        self._server.should_exit = True

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()
