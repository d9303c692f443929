"""A server that speaks HTTP/2 over TLS, and HTTP/1.1 to whoever does not offer more; it answers with tokens."""

import json
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import h2.config
import h2.connection
import h2.events
from scripted_server import token_body


class Http2Server:
    """Answers `GET /api/v1/tokens/{id}` with that token, and other requests with what was sent.

    Args:
        certificate: certificate and key.
        gather: answers only once so many requests are waiting, over any number of connections.

    Attributes:
        spoken: the protocol of each connection.
        requests: the pseudo-headers and headers of each HTTP/2 request.
        most: requests that waited at once on one connection.
    """

    def __init__(self, certificate: Path, gather: int = 1) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._tls.set_alpn_protocols(["h2", "http/1.1"])
        self._gather = gather
        self.spoken: list[str | None] = []
        self.requests: list[dict[str, str]] = []
        self.most = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Http2Server":
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), self._tls.wrap_socket(connection, server_side=True) as secured:
            spoken = secured.selected_alpn_protocol()
            self.spoken.append(spoken)
            if spoken == "h2":
                self._converse(secured)
            else:
                secured.recv(65536)
                body = json.dumps(token_body()).encode()
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        self._open.discard(connection)

    def _converse(self, secured: ssl.SSLSocket) -> None:
        machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        machine.initiate_connection()
        secured.sendall(machine.data_to_send())
        waiting: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        ended: list[int] = []
        while data := secured.recv(65536):
            for event in machine.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    waiting[event.stream_id] = dict(event.headers)  # type: ignore[arg-type]  # decoded, as configured
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    machine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended.append(event.stream_id)
            self.most = max(self.most, len(ended))
            if len(ended) >= self._gather:
                for stream in ended:
                    self._answer(machine, stream, waiting.pop(stream), bodies.pop(stream, b""))
                ended.clear()
            secured.sendall(machine.data_to_send())

    def _answer(self, machine: h2.connection.H2Connection, stream: int, request: dict[str, str], sent: bytes) -> None:
        self.requests.append(request)
        number = request[":path"].rpartition("/")[2]
        fields = token_body(int(number)) if number.isdigit() else token_body(1, **json.loads(sent or b"{}"))
        body = json.dumps(fields).encode()
        headers = [(":status", "200"), ("content-type", "application/json"), ("content-length", str(len(body)))]
        machine.send_headers(stream, headers)
        machine.send_data(stream, body, end_stream=True)
