# Generated from test_async_neurograph_promises.py by tools/unasync.py; do not edit.
"""Promises of the synchronous client about the wire, seen from the other end of it."""

import io
import json
import threading
import time
from email.utils import formatdate
from typing import Any

import pytest
from client_setup import QUERY, TOKEN, TOKENS, error_reply, noted_pauses, scripted
from concurrently import gather
from scripted_server import Drip, Reply, ScriptedServer, token_body

from neurograph import (
    AuthenticationError,
    AuthorizationError,
    NeuroGraphClient,
    NeuroGraphError,
    NotFoundError,
    ServerError,
    ValidationError,
)
from neurograph._protocol.frames import VECTORS, write_frame
from neurograph._protocol.token_operations import LINES
from neurograph.middleware import Handler
from neurograph.wire import Request, Response

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)


def client_of(server: ScriptedServer, **options: Any) -> NeuroGraphClient:
    return NeuroGraphClient(server.url, **{"api_key": "ng_key", "timeout": 10, **options})


def line(number: int) -> bytes:
    return json.dumps(token_body(number)).encode() + b"\n"


def frame(number: int) -> bytes:
    document = json.dumps([{**token_body(number), "embedding": 0}]).encode()
    return write_frame(document, [bytes(8)])


class TestStreams:
    """The second token is only sent once the first has been seen: whoever waits for the whole waits in vain."""

    @pytest.mark.parametrize(
        ("media_type", "pieces"),
        [(LINES, [line(1), line(2)[:9], line(2)[9:]]), (VECTORS, [frame(1), frame(2)[:20], frame(2)[20:]])],
    )
    def test_tokens_come_as_they_arrive(self, server: ScriptedServer, media_type: str, pieces: list[bytes]) -> None:
        gate = threading.Semaphore(0)
        server.on("GET", f"{TOKENS}/export", Drip(pieces, media_type, gate))
        seen = []
        with client_of(server) as client:
            for token in client.tokens.stream():
                seen.append(token.id)
                gate.release(3)
        assert seen == [1, 2]

    def test_hits_come_as_they_arrive(self, server: ScriptedServer) -> None:
        gate = threading.Semaphore(0)
        hits = [json.dumps({"token": token_body(n), "similarity": 0.5}).encode() + b"\n" for n in (1, 2)]
        server.on("POST", QUERY, Drip(hits, LINES, gate))
        seen = []
        with client_of(server) as client:
            for hit in client.tokens.query_stream(text="a"):
                seen.append(hit.token.id)
                gate.release(2)
        assert seen == [1, 2]

    def test_an_export_is_written_as_it_arrives(self, server: ScriptedServer) -> None:
        gate = threading.Semaphore(0)

        class File(io.BytesIO):
            def write(self, data: Any) -> int:
                gate.release(2)
                return super().write(data)

        server.on("GET", f"{TOKENS}/export", Drip([line(1), line(2)], LINES, gate))
        file = File()
        with client_of(server) as client:
            assert client.tokens.export(file) == 2
        assert file.getvalue() == line(1) + line(2)
        assert server.arrived[-1].headers["accept"] == LINES


class TestProxies:
    def test_it_sees_the_post(self, server: ScriptedServer) -> None:
        server.on("POST", f"http://far.invalid{TOKENS}", Reply(201, token_body()))
        with NeuroGraphClient("http://far.invalid", api_key="ng_key", proxy=server.url) as client:
            client.tokens.create("through", metadata={"a": 1}, idempotency_key="mine")
        [seen] = server.arrived
        assert (seen.method, seen.target) == ("POST", f"http://far.invalid{TOKENS}")
        assert seen.json == {"text": "through", "metadata": {"a": 1}}
        assert (seen.headers["host"], seen.headers["idempotency-key"]) == ("far.invalid", "mine")
        assert seen.headers["authorization"] == "Bearer ng_key"

    def test_one_of_the_environment_is_used_too(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        server.on("GET", f"http://far.invalid{TOKEN}", Reply(body=token_body()))
        with NeuroGraphClient("http://far.invalid", api_key="ng_key") as client:
            assert (client.tokens.get(7)).id == 7


class TestPool:
    def test_idle_connections_are_let_go_in_time(self, server: ScriptedServer) -> None:
        with client_of(server, idle_seconds=0.05) as client:
            client.tokens.get(7)
            threading.Event().wait(0.2)
            client.tokens.get(7)
        assert server.connections == 2

    @pytest.mark.parametrize(("kept", "connections"), [(0, 3), (1, 1)])
    def test_so_many_are_kept(self, server: ScriptedServer, kept: int, connections: int) -> None:
        with client_of(server, max_idle_connections=kept) as client:
            for _ in range(3):
                client.tokens.get(7)
        assert server.connections == connections


def test_all_calls_share_one_budget_of_repeats(server: ScriptedServer, pauses: list[float]) -> None:
    server.on("GET", TOKEN, error_reply(503))
    with client_of(server, max_retries=5, circuit_threshold=0) as client:
        done = gather([lambda: client.tokens.get(7)] * 40)
        assert all(isinstance(error, ServerError) for error in done)
        repeats = client.metrics.snapshot().retries
        assert 40 <= repeats < 60  # 200 without a budget
        before = server.count("GET", TOKEN)
        with pytest.raises(ServerError):
            client.tokens.get(7)
        assert server.count("GET", TOKEN) == before + 1  # it is used up


def test_an_answer_of_a_middleware_can_be_a_stream(server: ScriptedServer) -> None:
    def answer(request: Request, call_next: Handler) -> Response:
        return Response(request, 200, {"content-type": LINES}, line(1) + line(2))

    with client_of(server, middleware=[answer]) as client:
        assert [token.id for token in client.tokens.stream()] == [1, 2]


FIELD = {"field": "body.password", "message": "too short", "type": "string_too_short"}
OFFICIAL: list[tuple[int, Any, type[NeuroGraphError], str, str | None]] = [
    (401, {"detail": "Incorrect username or password"}, AuthenticationError, "Incorrect username or password", None),
    (403, {"detail": "Not enough permissions"}, AuthorizationError, "Not enough permissions", None),
    (404, {"detail": "Token 7 not found"}, NotFoundError, "Token 7 not found", None),
    (400, {"detail": {"message": "Bad scales", "errors": ["L7"], "warnings": []}}, NeuroGraphError, "Bad scales", None),
    (
        422,
        {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "Bad", "details": {"errors": [FIELD]}}},
        ValidationError,
        "Bad",
        "VALIDATION_ERROR",
    ),
    (500, {"code": "INTERNAL_ERROR", "message": "Broken", "details": {}}, ServerError, "Broken", "INTERNAL_ERROR"),
    (503, b"{'detail': {'ready': False}}", ServerError, "{'detail': {'ready': False}}", None),
]


@pytest.mark.parametrize(("status", "body", "kind", "message", "code"), OFFICIAL)
def test_the_error_shapes_of_the_official_server(
    server: ScriptedServer, status: int, body: Any, kind: type[NeuroGraphError], message: str, code: str | None
) -> None:
    raw = body if isinstance(body, bytes) else None
    server.on("GET", TOKEN, Reply(status, body if raw is None else None, {"X-Correlation-ID": "cid-1"}, raw))
    with client_of(server, max_retries=0) as client:
        with pytest.raises(kind) as caught:
            client.tokens.get(7)
    error = caught.value
    assert type(error) is kind
    assert (error.message, error.status_code, error.request_id) == (message, status, "cid-1")
    assert error.error_code == (code or kind._error_code)
    if kind is ValidationError:
        assert error.details["errors"] == [FIELD]


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [("2", 2, 2.6), ("0.75", 0.75, 1.4), (lambda: formatdate(time.time() + 20, usegmt=True), 18, 26)],
)
def test_a_repeat_waits_as_long_as_the_server_says(
    server: ScriptedServer, pauses: list[float], told: Any, least: float, most: float
) -> None:
    after = told() if callable(told) else told
    server.on("GET", TOKEN, Reply(429, {}, {"Retry-After": after}), Reply(body=token_body()))
    with client_of(server, timeout=60) as client:
        assert (client.tokens.get(7)).id == 7
    [pause] = pauses
    assert least <= pause <= most
