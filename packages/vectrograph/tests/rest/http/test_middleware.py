"""Middleware, seen from outside: names, headers, hosts, sizes, media types, log lines."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2
import pytest
import structlog
from rest.envelope import error_of
from rest.serving import LIMITS, Served, Start

from vectrograph.http_app import build_http_app

LIMIT = LIMITS.max_body_bytes


# ---------------------------------------------------------------- request ids


@pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
@pytest.mark.parametrize("path", ["/livez", "/api/v1/status", "/nowhere"])
def test_a_usable_request_id_comes_back(anonymous: httpx2.Client, header: str, path: str) -> None:
    assert anonymous.get(path, headers={header: "order-66.a_B"}).headers["x-request-id"] == "order-66.a_B"


def test_the_request_id_wins_over_the_correlation_id(anonymous: httpx2.Client) -> None:
    headers = {"X-Correlation-ID": "second", "X-Request-ID": "first"}
    assert anonymous.get("/livez", headers=headers).headers["x-request-id"] == "first"


@pytest.mark.parametrize("unusable", ["", "a b", "x" * 129, 'a"b', "a/b", "é"])
def test_an_unusable_request_id_is_replaced(anonymous: httpx2.Client, unusable: str) -> None:
    headers = {b"X-Request-ID": unusable.encode("latin-1")}
    first, second = (anonymous.get("/livez", headers=headers).headers["x-request-id"] for _ in range(2))
    assert unusable not in {first, second}
    assert first != second


# ---------------------------------------------------------------- security headers


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/nowhere", "/api/v1/status"])
def test_every_answer_carries_the_security_headers(anonymous: httpx2.Client, path: str) -> None:
    headers = anonymous.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"


# ---------------------------------------------------------------- hosts


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8000", "10.0.0.1"])
@pytest.mark.parametrize("path", ["/", "/livez", "/docs", "/api/v1/health", "/nowhere"])
def test_foreign_hosts_are_refused(anonymous: httpx2.Client, host: str, path: str) -> None:
    error_of(anonymous.get(path, headers={"Host": host}), 400, "HOST_NOT_ALLOWED")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:8000"])
def test_own_hosts_are_served(anonymous: httpx2.Client, host: str) -> None:
    assert anonymous.get("/livez", headers={"Host": host}).status_code == 200


def test_other_hosts_can_be_allowed(start: Start) -> None:
    with start(hosts=["db.example"]).client() as client:
        assert client.get("/livez", headers={"Host": "db.example:443"}).status_code == 200
        error_of(client.get("/livez"), 400, "HOST_NOT_ALLOWED")


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_exactly_one_host_is_needed(served: Served, hosts: bytes) -> None:
    answer = served.exchange(b"GET /livez HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HOST_NOT_ALLOWED" in answer


# ---------------------------------------------------------------- sizes


def text_of(size: int) -> bytes:
    """Return a valid login body of exactly `size` bytes."""
    frame = b'{"texts":["' + b'"]}'
    return b'{"texts":["' + b"x" * (size - len(frame)) + b'"]}'


def test_a_body_of_exactly_the_limit_is_read(developer: httpx2.Client) -> None:
    body = text_of(LIMIT)
    response = developer.post("/api/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert error_of(response, 422, "VALIDATION_ERROR")["details"]["errors"][0]["field"] == "texts.0"


def test_a_body_over_the_limit_is_refused_by_its_length(developer: httpx2.Client) -> None:
    headers = {"Content-Type": "application/json"}
    response = developer.post("/api/v1/embeddings", content=text_of(LIMIT + 1), headers=headers)
    assert error_of(response, 413, "REQUEST_TOO_LARGE")["details"] == {"limit": LIMIT, "unit": "bytes"}


def test_a_chunked_body_over_the_limit_is_refused(developer: httpx2.Client) -> None:
    def chunks() -> Iterator[bytes]:
        body = text_of(LIMIT + 1)
        yield from (body[at : at + 10_000] for at in range(0, len(body), 10_000))

    response = developer.post("/api/v1/embeddings", content=chunks(), headers={"Content-Type": "application/json"})
    assert error_of(response, 413, "REQUEST_TOO_LARGE")["details"] == {"limit": LIMIT, "unit": "bytes"}


def test_a_chunked_body_within_the_limit_is_read(developer: httpx2.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b'{"texts"', b':["a', b'bc"]}')

    response = developer.post("/api/v1/embeddings", content=chunks(), headers={"Content-Type": "application/json"})
    assert response.status_code == 200


def test_the_connection_goes_on_after_a_body_over_the_limit(served: Served) -> None:
    head = f"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LIMIT + 1}\r\n\r\n"
    second = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = served.exchange(head.encode() + b"x" * (LIMIT + 1) + second)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 " in answer


@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/auth/refresh"])
def test_anonymous_callers_may_send_small_bodies_only(anonymous: httpx2.Client, path: str) -> None:
    response = anonymous.post(path, json={"username": "x" * 70_000})
    assert error_of(response, 413, "REQUEST_TOO_LARGE")["details"]["limit"] == 65_536


def test_a_large_body_is_not_awaited_from_a_caller_with_wrong_credentials(served: Served) -> None:
    head = (
        "POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ng_wrong\r\n"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 401"


@pytest.mark.parametrize("length", [b"abc", b"-1", b"1e3", b"0x10", b""])
def test_a_length_that_is_no_number_is_refused(served: Served, length: bytes) -> None:
    request = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + length + b"\r\n\r\n"
    assert served.exchange(request).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("lengths", [[b"abc"], [b"-1"], [b"\xc2\xb2"], [b"9" * 19], [b"1", b"1"]], ids=repr)
def test_a_length_that_the_server_in_front_let_pass_is_refused_too(served: Served, lengths: list[bytes]) -> None:
    app = build_http_app(served.services, allowed_hosts=["localhost"], version="1")
    headers = [(b"host", b"localhost"), *((b"content-length", length) for length in lengths)]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/auth/login", "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body must not be read")

    async def send(message: Any) -> None:
        sent.append(message)

    async def exchange() -> None:
        await app(scope, receive, send)

    anyio.run(exchange)
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["error"]["code"] == "INVALID_REQUEST"


# ---------------------------------------------------------------- media types


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonx", ""]
)
def test_bodies_that_do_not_call_themselves_json_are_refused(anonymous: httpx2.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    response = anonymous.post("/api/v1/auth/login", content=b'{"username":"a","password":"b"}', headers=headers)
    error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_chunked_body_must_call_itself_json_too(anonymous: httpx2.Client) -> None:
    response = anonymous.post("/api/v1/auth/login", content=iter([b"{}"]))
    error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_json_may_have_parameters_and_any_case(anonymous: httpx2.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    response = anonymous.post("/api/v1/auth/login", content=b'{"username":"a","password":"b"}', headers=headers)
    error_of(response, 401, "INVALID_CREDENTIALS")


def test_compressed_bodies_are_refused(anonymous: httpx2.Client) -> None:
    response = anonymous.post("/api/v1/auth/login", json={}, headers={"Content-Encoding": "gzip"})
    error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")


# ---------------------------------------------------------------- counting and logging


def test_every_request_is_counted(served: Served, developer: httpx2.Client) -> None:
    before = developer.get("/api/v1/status").json()["requests_total"]
    developer.get("/livez")
    developer.get("/nowhere")
    assert developer.get("/api/v1/status").json()["requests_total"] == before + 3


def access_lines(log_lines: list[Any]) -> list[Any]:
    return [line for line in log_lines if line["event"] == "request"]


def test_one_line_per_request_with_its_route(served: Served, developer: httpx2.Client, log_lines: list[Any]) -> None:
    developer.get("/api/v1/tokens/424242?secret=swordfish", headers={"X-Request-ID": "named"})
    (line,) = access_lines(log_lines)
    assert line.pop("milliseconds") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/api/v1/tokens/{token_id}",
        "status": 404,
        "request_id": "named",
    }


def test_lines_of_unknown_paths_do_not_repeat_them(anonymous: httpx2.Client, log_lines: list[Any]) -> None:
    anonymous.get("/swordfish")
    (line,) = access_lines(log_lines)
    assert (line["route"], line["status"]) == (None, 404)
    assert "swordfish" not in repr(log_lines)


def test_nothing_secret_is_logged(served: Served, log_lines: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "vectrograph"), served.client("ng_swordfish") as client:
        client.post("/api/v1/auth/login?p=swordfish", json={"username": "admin", "password": "swordfish"})
        client.post("/api/v1/tokens", json={"text": "swordfish"})
        client.get("/api/v1/api-keys/swordfish", headers={"X-API-Key": "swordfish"})
    assert len(access_lines(log_lines)) == 3
    assert "swordfish" not in repr(log_lines) + caplog.text


def test_the_request_id_reaches_log_lines_of_worker_threads(start: Start, log_lines: list[Any]) -> None:
    served = start()
    check = served.services.health.check

    def talkative() -> Any:
        structlog.get_logger().info("inside")
        return check()

    served.services.health.check = talkative  # type: ignore[method-assign]
    with served.client() as client:
        client.get("/api/v1/health", headers={"X-Request-ID": "thread-7"})
    (line,) = [line for line in log_lines if line["event"] == "inside"]
    assert line["request_id"] == "thread-7"
