"""TLS for both transports from certificate files that may be replaced while the server runs."""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import structlog

from vectrograph.domain.errors import StartupError

_log = structlog.get_logger("vectrograph.process.certificates")
_ALPN: Final = ["http/1.1"]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files: the server's chain and private key, and the authorities whose clients are let in (None: anyone)."""

    chain: Path
    key: Path
    client_authorities: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(path for path in (self.chain, self.key, self.client_authorities) if path is not None)


class Certificates:
    """Certificates that both transports present and demand in each handshake, read from the files when they change.

    Files that cannot be used, half written ones say, are logged once and the last good ones stay in force.
    """

    def __init__(self, files: CertificateFiles) -> None:
        """Read the files.

        Raises:
            StartupError: one cannot be read, or key and certificate do not belong together.
        """
        self._files = files
        self._lock = threading.Lock()
        try:
            self._stamp = self._stamps()
            self._context = self._build()
            self._pem = self._given = self._read()
        except (OSError, ssl.SSLError, ValueError) as error:
            names = ", ".join(str(path) for path in files.paths)
            raise StartupError(f"Cannot use the TLS files {names}: {error}.") from error

    def http_context(self) -> ssl.SSLContext:
        """Return a context for the HTTP server, which looks at the files in each handshake."""
        context = self._build()
        context.sni_callback = self._choose
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return credentials for the gRPC server, which look at the files in each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._fetch,  # type: ignore[arg-type]  # grpc's documentation allows None, its stubs do not
            require_client_authentication=self._files.client_authorities is not None,
        )

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        self._refresh()
        connection.context = self._context

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is new since the last time; None when nothing is.

        grpc's core swaps its certificates for what comes here without a lock. Given the same ones for each of some
        hundred connections at once, it ended the process (grpcio 1.85.1: "sync.cc: Check failed: prior > 0").
        """
        self._refresh()
        with self._lock:
            if self._given == self._pem:
                return None
            self._given = self._pem
        return self._configuration()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        chain, key, authorities = self._pem
        return grpc.ssl_server_certificate_configuration([(key, chain)], authorities)

    def _refresh(self) -> None:
        try:
            stamp = self._stamps()
            if stamp == self._stamp:
                return
            with self._lock:
                if stamp == self._stamp:
                    return
                # Also when they are of no use: they are looked at again when they change again.
                self._stamp = stamp
                context, pem = self._build(), self._read()
                self._context, self._pem = context, pem
            _log.info("certificates reloaded")
        except (OSError, ssl.SSLError, ValueError) as error:
            _log.error("new TLS files cannot be used, the old ones stay in use", reason=str(error))

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        found = [path.stat() for path in self._files.paths]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found)

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(_ALPN)
        context.load_cert_chain(self._files.chain, self._files.key)
        if self._files.client_authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self._files.client_authorities)
        return context

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        authorities = self._files.client_authorities
        return (
            self._files.chain.read_bytes(),
            self._files.key.read_bytes(),
            None if authorities is None else authorities.read_bytes(),
        )
