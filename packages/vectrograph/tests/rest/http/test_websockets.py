"""WebSocket connections below any protocol: handshakes, frames, floods, readers that do not read, and their end."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rest.http.test_connections import told
from rest.http.test_request_framing import GET
from rest.serving import Served, listening
from starlette.types import Message, Receive, Scope, Send
from web_socket import BINARY, CLOSE, CONTINUATION, PATIENCE, PING, PONG, TEXT, WebSocket, frame_of, handshake_of

from vectrograph.http.scope import CONNECTION
from vectrograph.http.websockets import MAX_FRAGMENTS, MAX_MESSAGE_BYTES, SEND_FRAMES, WebSocketConnection, text_frame

Serve = Callable[[Receive, Send, Scope], Awaitable[None]]


class Recorder:
    """An application that accepts every WebSocket and does what a test says with it."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.scopes: list[Scope] = []
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        try:
            await self.serve(receive, send, scope)
        finally:
            self.ended += 1

    @property
    def connection(self) -> WebSocketConnection:
        connection = self.scopes[-1][CONNECTION]
        assert isinstance(connection, WebSocketConnection)
        return connection


async def echo(receive: Receive, send: Send, _: Scope) -> None:
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await send({"type": "websocket.send", "text": f"{len(message['bytes'])} bytes" if text is None else text})


@contextmanager
def serving(serve: Serve = echo) -> Iterator[tuple[int, Recorder]]:
    app = Recorder(serve)
    with listening(app) as port:
        yield port, app


def eventually(holds: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def test_messages_come_and_go_however_they_are_cut() -> None:
    with serving() as (port, _), WebSocket(port) as client:
        assert client.status == 101
        assert "sec-websocket-extensions" not in client.headers
        for size in (0, 1, 125, 126, 65_535, MAX_MESSAGE_BYTES):
            client.send("x" * size)
            assert client.next_frame() == (TEXT, b"x" * size)
        client.send_bytes(frame_of(b"\0\xff" * 50, BINARY))
        assert client.next_frame() == (TEXT, b"100 bytes")
        whole = frame_of("grüße".encode()) + frame_of(b"p", PING) + frame_of(b"last")
        for place in range(len(whole)):
            client.send_bytes(whole[place : place + 1])
        # A pong waits for no application.
        found = [client.next_frame() for _ in range(3)]
        found.remove((PONG, b"p"))
        assert found == [(TEXT, "grüße".encode()), (TEXT, b"last")]


def test_a_message_in_frames_is_one_and_pings_may_come_in_between() -> None:
    with serving() as (port, _), WebSocket(port) as client:
        client.send_bytes(frame_of(b"a", fin=False) + frame_of(b"p", PING) + frame_of(b"b", CONTINUATION, fin=False))
        client.send_bytes(frame_of(b"c", CONTINUATION))
        assert client.next_frame() == (PONG, b"p")
        assert client.next_frame() == (TEXT, b"abc")


def test_what_came_with_the_handshake_is_not_lost() -> None:
    with serving() as (port, _), WebSocket(port, after=frame_of(b"early") + frame_of(b"bird")) as client:
        assert client.next_frame() == (TEXT, b"early")
        assert client.next_frame() == (TEXT, b"bird")


def test_compression_is_not_agreed_on() -> None:
    offer = "permessage-deflate; client_max_window_bits"
    with serving() as (port, _), WebSocket(port, Sec_WebSocket_Extensions=offer) as client:
        assert (client.status, "sec-websocket-extensions" in client.headers) == (101, False)
        # A frame that says it is compressed.
        client.send_bytes(b"\xc1" + frame_of(b"x")[1:])
        assert client.end() == (1002, client.closed[1] if client.closed else "")


FAULTY = {
    "a message that is too large": (frame_of(b"x" * (MAX_MESSAGE_BYTES + 1)), 1009),
    "frames that are too large together": (
        frame_of(b"x" * MAX_MESSAGE_BYTES, fin=False) + frame_of(b"x", CONTINUATION),
        1009,
    ),
    "a frame that says it has an exabyte": (b"\x81\xff" + (1 << 60).to_bytes(8, "big") + bytes(4), 1009),
    "too many frames": (frame_of(b"", fin=False) + frame_of(b"", CONTINUATION, fin=False) * MAX_FRAGMENTS, 1009),
    "text that is not UTF-8": (frame_of(b"\xff\xfe"), 1007),
    "a frame without a mask": (frame_of(b"x", masked=False), 1002),
    "an opcode that nobody knows": (frame_of(b"x", 3), 1002),
    "a ping in parts": (frame_of(b"x", PING, fin=False), 1002),
    "a long ping": (frame_of(b"x" * 126, PING), 1002),
    "a continuation of nothing": (frame_of(b"x", CONTINUATION), 1002),
    "a message inside of a message": (frame_of(b"x", fin=False) + frame_of(b"x"), 1002),
    "a close frame of one byte": (frame_of(b"x", CLOSE), 1002),
}


@pytest.mark.parametrize("name", FAULTY)
def test_malformed_frames_end_the_connection_with_a_reason(name: str) -> None:
    data, code = FAULTY[name]
    with serving() as (port, app):
        with WebSocket(port) as client:
            # Much more than is read before it ends: the reason arrives all the same.
            client.send_bytes(data + frame_of(b"", PING) * 1000)
            closed = client.end()
        assert closed is not None
        assert closed[0] == code
        eventually(lambda: app.ended == 1)


def test_as_many_frames_as_allowed_are_one_message() -> None:
    parts = frame_of(b"x", fin=False) + frame_of(b"x", CONTINUATION, fin=False) * (MAX_FRAGMENTS - 2)
    with serving() as (port, _), WebSocket(port) as client:
        client.send_bytes(parts + frame_of(b"x", CONTINUATION))
        assert client.next_frame() == (TEXT, b"x" * MAX_FRAGMENTS)


HANDSHAKES: dict[str, tuple[dict[str, Any], int, str]] = {
    "no key": ({"Sec_WebSocket_Key": ""}, 400, "MALFORMED_HANDSHAKE"),
    "a short key": ({"Sec_WebSocket_Key": "AAAA"}, 400, "MALFORMED_HANDSHAKE"),
    "a key that is no base64": ({"Sec_WebSocket_Key": "?" * 24}, 400, "MALFORMED_HANDSHAKE"),
    "no version": ({"Sec_WebSocket_Version": ""}, 400, "MALFORMED_HANDSHAKE"),
    "an old version": ({"Sec_WebSocket_Version": "8"}, 400, "MALFORMED_HANDSHAKE"),
    "a foreign host": ({"Host": "evil.example"}, 400, "HOST_NOT_ALLOWED"),
    "no upgrade in Connection": ({"Connection": "keep-alive"}, 401, "AUTHENTICATION_REQUIRED"),
    "another upgrade": ({"Upgrade": "h2c"}, 401, "AUTHENTICATION_REQUIRED"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_that_is_none_is_refused_as_all_requests_are(served: Served, name: str) -> None:
    headers, status, code = HANDSHAKES[name]
    with WebSocket(served.port, **headers) as client:
        assert (client.status, client.error["code"]) == (status, code)
        assert client.error["request_id"] == client.headers["x-request-id"]
        assert client.headers["x-content-type-options"] == "nosniff"
        if "version" in name:
            assert client.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/tokens", "//[", "/ws/"])
def test_other_paths_have_no_websockets(served: Served, path: str) -> None:
    with WebSocket(served.port, path) as client:
        assert (client.status, client.error["code"]) == (404, "ROUTE_NOT_FOUND")
        assert client.headers["connection"] == "close"


def test_the_gateway_refuses_in_its_own_form(served: Served) -> None:
    with WebSocket(served.port, "/v1/collections") as client:
        assert client.status == 404
        assert json.loads(client.rest())["code"] == 5


def test_the_body_of_a_request_that_asks_for_a_websocket_is_no_request(served: Served) -> None:
    """It is an ordinary request then; what follows its body is the next one."""
    body = handshake_of().replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(GET)) + GET
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(body + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = told(connection)
    assert [answer[0] for answer in answers] == [401, 200]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_old_versions_open_nothing(served: Served, version: bytes) -> None:
    request = (
        handshake_of().replace(b"HTTP/1.1", version).replace(b"Connection: Upgrade", b"Connection: Upgrade, close")
    )
    status = int(served.exchange(request).split()[1])
    assert status == (101 if version == b"HTTP/1.1" else 401)


def test_a_websocket_waits_for_no_earlier_requests(served: Served) -> None:
    """Their answers would come between its frames."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(GET * 3 + handshake_of() + frame_of(b"x") + GET)
        answers = told(connection)
    assert [answer[0] for answer in answers] == [200, 200, 200, 400]
    assert b"earlier requests" in answers[-1][2]


def test_a_connection_that_has_answered_may_become_a_websocket(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(handshake_of())
        assert connection.recv(65536).startswith(b"HTTP/1.1 101")


def test_a_flood_of_messages_waits_in_the_socket() -> None:
    """Of a client that sends without end, little is taken apart while the application is busy."""
    busy = asyncio.Event()

    async def wait(receive: Receive, send: Send, _: Scope) -> None:
        await send({"type": "websocket.accept"})
        await busy.wait()

    with serving(wait) as (port, app), WebSocket(port) as client:
        client._socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            client.send_bytes(frame_of(b"") * 4_000_000)
        assert 0 < len(app.connection._incoming) <= 171
        assert len(app.connection._held) <= 1 << 20
        app.connection._loop.call_soon_threadsafe(busy.set)


def test_a_flood_of_pings_that_nobody_reads_the_answers_of_waits_in_the_socket() -> None:
    with serving() as (port, app), WebSocket(port, buffer_bytes=4096) as client:
        client._socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            client.send_bytes(frame_of(b"x" * 100, PING) * 400_000)
        assert app.connection._transport.get_write_buffer_size() < 1 << 20
        assert len(app.connection._held) <= 1 << 20


def test_other_connections_have_their_turn_during_a_flood() -> None:
    with serving() as (port, app), WebSocket(port) as flood, WebSocket(port) as client:
        flood._socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            flood.send_bytes(frame_of(b"x") * 4_000_000)
        for n in range(20):
            client.send(str(n))
            assert client.next_frame() == (TEXT, str(n).encode())
        assert len(app.scopes) == 2


async def pour(receive: Receive, send: Send, _: Scope) -> None:
    """Send without end, as fast as the client takes it."""
    await send({"type": "websocket.accept"})
    chunk = text_frame(b"x" * 60_000)
    while True:
        await send({"type": SEND_FRAMES, "data": chunk})


def test_a_reader_that_takes_nothing_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocketConnection, "look_seconds", 0.05)
    monkeypatch.setattr(WebSocketConnection, "stall_seconds", 0.3)
    with serving(pour) as (port, app), WebSocket(port, buffer_bytes=4096):
        eventually(lambda: app.ended == 1, "it was not closed")


def test_a_reader_that_takes_little_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocketConnection, "look_seconds", 0.02)
    monkeypatch.setattr(WebSocketConnection, "stall_seconds", 1e9)
    with serving(pour) as (port, app), WebSocket(port, buffer_bytes=4096) as client:
        eventually(lambda: not app.connection._writable.is_set())
        for _ in range(20):
            assert len(client.next_frame()[1]) == 60_000
        # What waits for this reader is one chunk besides the buffers of the system.
        assert app.connection._transport.get_write_buffer_size() <= 60_010
        assert app.ended == 0


def test_a_client_is_listened_to_again_when_it_has_taken_what_waited() -> None:
    """Its message was being answered when it stopped reading, so nothing more of it was read."""
    with serving() as (port, app), WebSocket(port, buffer_bytes=4096) as client:
        app.connection._transport.set_write_buffer_limits(high=0)
        sent = 0
        while app.connection._writable.is_set() or app.connection._is_reading:
            assert sent < 1_000, "it was read on and on"
            client.send("x" * 60_000)
            sent += 1
            time.sleep(0.002)
        for _ in range(sent):
            assert len(client.next_frame()[1]) == 60_000
        client.send("again")
        assert client.next_frame() == (TEXT, b"again")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_system_gives_up_a_machine_that_has_vanished() -> None:
    with serving() as (port, app), WebSocket(port):
        connection = app.connection._transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_the_application_ends_a_connection_with_code_and_reason() -> None:
    async def refuse(receive: Receive, send: Send, _: Scope) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "first"})
        await send({"type": "websocket.close", "code": 1008, "reason": "because"})
        with pytest.raises(ConnectionResetError):
            await send({"type": "websocket.send", "text": "late"})

    with serving(refuse) as (port, app), WebSocket(port) as client:
        assert client.next_frame() == (TEXT, b"first")
        client.send("still talking")
        client.send_bytes(frame_of(b"\x03\xf0", CLOSE))
        assert client.end() == (1008, "because")
        eventually(lambda: app.ended == 1)


def test_a_client_that_does_not_answer_the_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocketConnection, "close_seconds", 0.1)

    async def leave(receive: Receive, send: Send, _: Scope) -> None:
        await send({"type": "websocket.accept"})

    with serving(leave) as (port, app), WebSocket(port) as client:
        with pytest.raises(EOFError):
            client.next_frame()
        assert client.closed == (1000, "")
        assert app.connection._is_lost


def test_a_client_that_leaves_is_told_to_the_application() -> None:
    heard: list[Message] = []

    async def listen(receive: Receive, send: Send, _: Scope) -> None:
        await send({"type": "websocket.accept"})
        heard.append(await receive())
        with pytest.raises(ConnectionResetError):
            await send({"type": "websocket.send", "text": "late"})

    with serving(listen) as (port, app):
        with WebSocket(port) as client:
            client.send_bytes(frame_of((4001).to_bytes(2, "big") + b"bye", CLOSE))
            assert client.end() == (4001, "bye")
        WebSocket(port).close()
        eventually(lambda: app.ended == 2)
    assert [message["code"] for message in heard] == [4001, 1006]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_defect_ends_the_connection_without_a_word_about_it(is_open: bool) -> None:
    async def fail(receive: Receive, send: Send, _: Scope) -> None:
        if is_open:
            await send({"type": "websocket.accept"})
        raise RuntimeError("a secret")

    with serving(fail) as (port, _), WebSocket(port) as client:
        if is_open:
            assert client.end() == (1011, "")
        else:
            assert client.status == 500
            assert b"secret" not in client.rest()


def test_the_application_has_a_second_to_end_connections_when_the_server_stops() -> None:
    async def ignore(receive: Receive, send: Send, _: Scope) -> None:
        await send({"type": "websocket.accept"})
        with pytest.raises(ConnectionResetError):
            await pour(receive, send, _)

    with serving(ignore) as (port, app):
        stubborn = WebSocket(port, buffer_bytes=4096)
        idle = WebSocket(port)
        eventually(lambda: len(app.scopes) == 2)
        began = time.monotonic()
    assert time.monotonic() - began < PATIENCE
    for client in (stubborn, idle):
        client.rest()
        client.close()
    assert app.ended == 2


class Everything(logging.Handler):
    """Keeps each line of each logger."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_no_logger_of_any_library_sees_what_is_sent() -> None:
    """Not even those of level debug and below, which a program may turn on that has this server in it."""
    handler = Everything()
    names = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets", "websockets.server")
    levels = {name: logging.getLogger(name).level for name in names}
    logging.getLogger().addHandler(handler)
    try:
        for name in names:
            logging.getLogger(name).setLevel(1)
        with serving() as (port, app):
            with WebSocket(port, "/ws?token=hidden-query", Authorization="Bearer hidden-header") as client:
                client.send("hidden-text")
                client.next_frame()
            eventually(lambda: app.ended == 1)
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert not [line for line in handler.lines if "hidden" in line]
