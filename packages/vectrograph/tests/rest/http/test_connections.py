"""Answers to raw sockets: the form of refusals, their order, and the end of the connection. FINDINGS B2, B10."""

import json
import re
import socket
from typing import Any

import pytest
from rest.http.test_request_framing import GET, LEGAL, OVER, REFUSED, post
from rest.serving import Served

from vectrograph.http import request_framing as framing
from vectrograph.http import timeouts

CHUNKED = b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"


def answers_of(received: bytes) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Return status, headers and body of each answer, all with a Content-Length."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
        length = int(headers[b"content-length"])
        found.append((int(lines[0].split()[1]), headers, rest[:length]))
        received = rest[length:]
    return found


def told(connection: socket.socket) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Return everything that is answered before the server closes the connection."""
    received = bytearray()
    while chunk := connection.recv(65536):
        received += chunk
    return answers_of(bytes(received))


def connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=30)


def require_envelope(answer: tuple[int, dict[bytes, bytes], bytes], status: int, path: bytes) -> dict[str, Any]:
    """Check the form of errors on this path, and return the body."""
    assert answer[0] == status, answer
    assert answer[1][b"connection"] == b"close"
    assert answer[1][b"x-request-id"]
    assert answer[1][b"x-content-type-options"] == b"nosniff"
    body: dict[str, Any] = json.loads(answer[2])
    if path.startswith(b"/v1"):
        assert body.keys() == {"code", "message", "details"}
        assert body["code"] == {414: 8, 431: 8, 501: 12, 505: 12}.get(status, 3)
    else:
        assert body.keys() == {"success", "error"}
        assert body["error"]["request_id"] == answer[1][b"x-request-id"].decode()
    return body


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(served: Served, name: str) -> None:
    """A request that follows is never answered: it could be a part of the first."""
    request, status = REFUSED[name]
    with connect(served) as connection:
        connection.sendall(request + GET)
        answers = told(connection)
    assert len(answers) == 1
    require_envelope(answers[0], status, b"/")


@pytest.mark.parametrize("path", [b"/v1/limits", b"/v1/collections?x=1"])
@pytest.mark.parametrize("name", ["gzip, chunked", "NUL in a value", "HTTP/2", "two lengths", "unknown method"])
def test_the_gateway_refuses_in_its_own_form(served: Served, path: bytes, name: str) -> None:
    request, status = REFUSED[name]
    target = request.split(b" ")[1]
    with connect(served) as connection:
        connection.sendall(request.replace(b" " + target + b" ", b" " + path + b" ", 1))
        (answer,) = told(connection)
    require_envelope(answer, status, path)


@pytest.mark.parametrize("gateway", [False, True])
@pytest.mark.parametrize("name", OVER)
def test_what_never_ends_is_answered_and_closed(served: Served, name: str, gateway: bool) -> None:
    begin, more, status = OVER[name]
    target = begin.split(b" ")[1] if b" " in begin else b""
    path = {b"POST": b"/v1/collections"}.get(begin[:4], b"/v1/limits") if gateway else target
    if target:
        begin = begin.replace(target, path + b"?" if status == 414 else path, 1)
    # The body of a caller who may send one is read; who may not is answered before, and then the connection ends.
    key = f"\r\nAuthorization: Bearer {served.login('developer')}\r\nContent-Type: application/json\r\n".encode()
    begin = begin.replace(b"\r\nTransfer-Encoding", key + b"Transfer-Encoding")
    with connect(served) as connection:
        connection.sendall(begin)
        for _ in range(2 * framing.MAX_HEAD_BYTES // len(more)):
            connection.sendall(more)
        (answer,) = told(connection)
    body = require_envelope(answer, status, path if target else b"/")
    if "error" in body:
        assert body["error"]["code"] == {414: "TARGET_TOO_LONG", 431: "HEADERS_TOO_LARGE"}[status]
        assert body["error"]["details"]["limit"] > 0


@pytest.mark.parametrize("name", ["plain", "longest target", "largest head", "most fields", "whole URL"])
def test_requests_at_the_limit_are_answered(served: Served, name: str) -> None:
    """They are answered by the application, not by the framing, and the connection stays open."""
    with connect(served) as connection:
        for _ in range(2):
            connection.sendall(LEGAL[name])
            received = connection.recv(65536)
            assert int(received.split()[1]) == (404 if name == "longest target" else 200)
            assert b"connection: close" not in received


@pytest.mark.parametrize("name", ["plain", "most fields"])
def test_requests_may_come_byte_by_byte(served: Served, name: str) -> None:
    with connect(served) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(LEGAL[name])):
            connection.sendall(LEGAL[name][place : place + 1])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_body_in_chunks_of_one_byte_is_read(served: Served) -> None:
    text = json.dumps({"text": "one byte at a time"}).encode()
    chunks = b"".join(b"1\r\n%b\r\n" % text[place : place + 1] for place in range(len(text)))
    key = f"Authorization: Bearer {served.login('developer')}\r\nConnection: close\r\n".encode()
    with connect(served) as connection:
        connection.sendall(post(CHUNKED + key, chunks + b"0\r\n\r\n"))
        (answer,) = told(connection)
    assert answer[0] == 201


def test_a_field_in_a_trailer_is_no_header(served: Served) -> None:
    key = f"Authorization: Bearer {served.login('developer')}\r\n".encode()
    with connect(served) as connection:
        connection.sendall(post(CHUNKED + b"Connection: close\r\n", b"2\r\n{}\r\n0\r\n" + key + b"\r\n"))
        (answer,) = told(connection)
    assert answer[0] == 401


def test_the_body_of_a_request_that_asks_for_an_upgrade_is_no_request(served: Served) -> None:
    """uvicorn took what follows such a head for the next request."""
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Type: application/json\r\n"
    with connect(served) as connection:
        connection.sendall(post(upgrade + b"Content-Length: %d\r\n" % len(GET), GET))
        answers = told(connection)
    assert [answer[0] for answer in answers] == [401]


def test_a_refusal_waits_for_the_answers_before_it(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(GET * 40 + REFUSED["two lengths"][0])
        answers = told(connection)
    assert [answer[0] for answer in answers] == [200] * 40 + [400]


def test_a_body_that_turns_out_wrong_after_its_request_was_answered_ends_the_connection(served: Served) -> None:
    with connect(served) as connection:
        connection.sendall(post(CHUNKED, b"2\r\n{}\r\n"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        connection.sendall(b"nonsense\r\n" + GET)
        assert told(connection) == []


def test_pipelined_requests_are_answered_in_order_and_wait_in_the_socket(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uvicorn read on with every answer, however many requests waited already."""
    most = 0
    feed = timeouts.TimedHttpProtocol._parse

    def watched(self: timeouts.TimedHttpProtocol, piece: bytes) -> None:
        nonlocal most
        feed(self, piece)
        most = max(most, len(self.pipeline))

    monkeypatch.setattr(timeouts.TimedHttpProtocol, "_parse", watched)
    count = 1000
    with connect(served) as connection:
        requests = b"".join(GET[:-2] + b"X-Request-ID: r%d\r\n\r\n" % number for number in range(count))
        connection.sendall(requests)
        received = bytearray()
        while received.count(b"HTTP/1.1 200") < count or not received.endswith(b"}"):
            chunk = connection.recv(65536)
            assert chunk
            received += chunk
    assert re.findall(rb"x-request-id: r(\d+)\r\n", received) == [b"%d" % number for number in range(count)]
    assert 1 < most <= timeouts.MAX_PIPELINED
