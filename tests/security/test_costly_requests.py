"""Limits on what one request and one caller may ask for: refused with the number, on both transports."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

from benchmarks.attack.costly_filters import nots
from tests.security.vectron_wire import Wire
from vectrograph import RunningServer, running
from vectrograph.http.timeouts import TimedHttpProtocol
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.services.limits.cost import MAX_EF
from vectrograph.services.points.reranking import MAX_BOOSTED_FIELDS, MAX_QUERY_WORDS
from vectron_client import Point

LIMITS: dict[str, Any] = {"max_search_work": 1_000_000, "max_answer_bytes": 10_000, "max_streams": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(**LIMITS) as started:
        with started.vectron() as client:
            client.create_collection("docs", 100, "euclidean")
            client.upsert("docs", [Point(id=str(n), vector=[float(n)] * 100) for n in range(500)])
        yield started


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.http_url, headers={"X-API-Key": server.api_key}) as client:
        yield client


@pytest.fixture(scope="module")
def wire(server: RunningServer) -> Iterator[Wire]:
    with Wire(server.grpc_address) as opened:
        yield opened


def batch(queries: int, **more: Any) -> own.SearchBatchRequest:
    vectors = np.ones((queries, 100), np.float32).tobytes()
    return own.SearchBatchRequest(collection="docs", vectors=vectors, queries=queries, **more)


def test_a_search_that_costs_too_much_is_refused_with_the_number(server: RunningServer, wire: Wire) -> None:
    """500 points × 100 components: 20 queries are a million multiplications, 21 are more."""
    assert wire.refusal("SearchBatch", batch(20, exact=True), server.api_key)[0] == "OK"
    status, message = wire.refusal("SearchBatch", batch(21, exact=True), server.api_key)
    assert status == "RESOURCE_EXHAUSTED"
    assert "1050000" in message
    assert "1000000" in message


@pytest.mark.parametrize(("ef", "taken"), [(MAX_EF, True), (MAX_EF + 1, False), (2**32 - 1, False)])
def test_the_beam_of_a_search_has_a_limit(
    server: RunningServer, wire: Wire, http: httpx2.Client, ef: int, taken: bool
) -> None:
    """FINDINGS B5, the second round: one search of any `ef` walked the whole graph."""
    one = pb.SearchRequest(collection="docs", vector=[1.0] * 100, top_k=1, ef=ef)
    one_vector = base64.b64encode(np.ones(100, np.float32).tobytes()).decode()
    for name, request in (("Search", one), ("SearchStream", one), ("SearchBatch", batch(2, ef=ef))):
        status, message = wire.refusal(name, request, server.api_key)
        assert status == ("OK" if taken else "INVALID_ARGUMENT"), name
        assert taken or (f"ef: is {ef} and must be from 1 to {MAX_EF}" in message), name
    for path, body in (
        ("/v1/collections/docs/points/search", {"vector": [1.0] * 100, "topK": 1, "ef": ef}),
        ("/v1/collections/docs/points/search/batch", {"vectors": one_vector, "queries": 1, "ef": ef}),
    ):
        answer = http.post(path, json=body)
        assert answer.status_code == (200 if taken else 400), answer.text
        assert taken or str(MAX_EF) in answer.text


def test_reranking_has_limits(server: RunningServer, wire: Wire, http: httpx2.Client) -> None:
    """FINDINGS B5, the second round: each word and field is looked for in every candidate."""
    for words, fields, told in (
        (MAX_QUERY_WORDS, MAX_BOOSTED_FIELDS, ""),
        (MAX_QUERY_WORDS + 1, 1, f"has {MAX_QUERY_WORDS + 1} words to rerank by and may have {MAX_QUERY_WORDS}"),
        (1, MAX_BOOSTED_FIELDS + 1, f"has {MAX_BOOSTED_FIELDS + 1} fields to rerank by and may have 64"),
    ):
        query = " ".join(f"w{n}" for n in range(words))
        boosts = {f"f{n}": 1.0 for n in range(fields)}
        request = pb.SearchRequest(collection="docs", vector=[1.0] * 100, query=query)
        request.rerank.field_boosts.update(boosts)
        status, message = wire.refusal("Search", request, server.api_key)
        assert status == ("INVALID_ARGUMENT" if told else "OK")
        assert told in message
        body = {"vector": [1.0] * 100, "query": query, "rerank": {"fieldBoosts": boosts}}
        answer = http.post("/v1/collections/docs/points/search", json=body)
        assert answer.status_code == (400 if told else 200)
        assert told in answer.text


def test_an_answer_that_would_be_too_large_is_refused_with_the_number(
    server: RunningServer, wire: Wire, http: httpx2.Client
) -> None:
    """A vector is 400 bytes: 25 hits fit, 26 do not, and without vectors all do."""
    for top_k, code in ((25, "OK"), (26, "RESOURCE_EXHAUSTED")):
        search = pb.SearchRequest(
            collection="docs", vector=[0.0] * 100, top_k=top_k, include_vectors=True, omit_payload=True
        )
        assert wire.refusal("Search", search, server.api_key)[0] == code
    search = pb.SearchRequest(collection="docs", vector=[0.0] * 100, top_k=500)
    assert wire.refusal("Search", search, server.api_key)[0] == "OK"
    answer = http.post("/api/v1/tokens/query", json={"text": "x", "top_k": 10})
    assert answer.status_code == 413
    assert answer.json()["error"]["details"]["cost"] == 10_240
    lean = {"text": "x", "top_k": 10, "include": ["text"]}
    assert http.post("/api/v1/tokens/query", json=lean).status_code == 200


@pytest.fixture(scope="module")
def large(server: RunningServer, http: httpx2.Client) -> str:
    """Provide a collection of 30 points with payloads of 1,000 bytes, and as many tokens with such texts."""
    with server.vectron() as client:
        client.create_collection("large", 2, "euclidean")
        client.upsert(
            "large", [Point(id=f"{n:02}", vector=[float(n), 0.0], payload={"s": "x" * 992}) for n in range(30)]
        )
    assert http.post("/api/v1/tokens/batch", json={"tokens": [{"text": "word " * 200}] * 30}).status_code == 201
    return "large"


def test_payloads_of_hits_count_and_too_many_are_refused(
    server: RunningServer, wire: Wire, http: httpx2.Client, large: str
) -> None:
    """FINDINGS D3: ten payloads of 1,000 bytes fit; in a batch each answer counts; without payloads all fit."""
    two = np.zeros((2, 2), np.float32).tobytes()

    def search(top_k: int, **more: Any) -> pb.SearchRequest:
        return pb.SearchRequest(collection=large, vector=[0.0, 0.0], top_k=top_k, **more)

    def searches(top_k: int, **more: Any) -> own.SearchBatchRequest:
        return own.SearchBatchRequest(collection=large, vectors=two, queries=2, top_k=top_k, **more)

    for name, fits, over in (
        ("Search", search(10), search(11)),
        ("SearchStream", search(10), search(11)),
        ("SearchBatch", searches(5), searches(6)),
        ("Search", search(30, omit_payload=True), search(10, include_vectors=True)),
    ):
        assert wire.refusal(name, fits, server.api_key)[0] == "OK", name
        status, message = wire.refusal(name, over, server.api_key)
        assert (name, status) == (name, "RESOURCE_EXHAUSTED")
        assert "vectors, payloads and texts, and the limit max_answer_bytes is 10000" in message
    for path, body, more in (
        (f"/v1/collections/{large}/points/search", {"vector": [0, 0]}, {"topK": 11}),
        (
            f"/v1/collections/{large}/points/search/batch",
            {"vectors": base64.b64encode(two).decode(), "queries": 2},
            {"topK": 6},
        ),
        ("/api/v1/tokens/query", {"text": "word", "include": ["text"]}, {"top_k": 11}),
        ("/api/v1/tokens/query/many", {"texts": ["word", "word"], "include": ["text"]}, {"top_k": 6}),
    ):
        [(field, most)] = more.items()
        answer = http.post(path, json={**body, field: most - 1})
        assert answer.status_code == 200, answer.text
        answer = http.post(path, json={**body, field: most})
        assert (path, answer.status_code) == (path, 413)
        assert "max_answer_bytes is 10000" in answer.text
    details = answer.json()["error"]["details"]
    assert (details["field"], details["limit"], details["unit"]) == ("top_k", 10_000, "bytes")
    assert details["cost"] > 10_000


def test_pages_of_large_points_are_cut_short_and_lead_on(
    server: RunningServer, wire: Wire, http: httpx2.Client, large: str
) -> None:
    """FINDINGS D3: no page holds more than the limit, and nothing is lost between pages."""
    names = [f"{n:02}" for n in range(30)]
    page = wire.call("Scroll", own.ScrollRequest(collection=large, limit=30), server.api_key)
    assert [point.id for point in page.points] == names[:10]
    seen, cursor = [], ""
    for _ in range(3):
        body = {"limit": 30, "cursor": cursor, "jsonPayload": True}
        found = http.post(f"/v1/collections/{large}/points/scroll", json=body).json()
        seen += [point["id"] for point in found["points"]]
        # FINDINGS D3: one encoding of a payload travels, the one that was asked for.
        assert all("payload" not in point or not point["payload"] for point in found["points"])
        assert json.loads(base64.b64decode(found["points"][0]["payloadJson"])) == {"s": "x" * 992}
        cursor = found.get("cursor", "")
    assert (seen, cursor) == (names, "")
    with server.vectron() as client:
        assert [point.id for point in client.scroll(large)] == names
    with server.neurograph() as neurograph:
        assert len(list(neurograph.tokens.iterate(include=["text"]))) == 30
    # An export goes on by itself. A page by offset does not say where it ended, so that it is refused.
    lines = http.get("/api/v1/tokens/export", params={"include": "text"}).text.splitlines()
    assert len(lines) == 30
    listed = http.get("/api/v1/tokens", params={"include": "text", "limit": 11})
    assert (listed.status_code, listed.json()["error"]["details"]["field"]) == (413, "limit")
    assert len(http.get("/api/v1/tokens", params={"include": "text", "limit": 10}).json()["tokens"]) == 10


def test_the_limits_are_advertised(server: RunningServer, http: httpx2.Client, wire: Wire) -> None:
    told = http.get("/api/v1/limits").json()
    assert (told["max_search_work"], told["max_answer_bytes"]) == (1_000_000, 10_000)
    over_grpc = wire.call("GetLimits", credential=server.api_key)
    assert (over_grpc.max_search_work, over_grpc.max_answer_bytes) == (1_000_000, 10_000)


@pytest.mark.parametrize(("condition", "status"), [(nots(32), 200), (nots(33), 422), (nots(400), 422)])
def test_filters_have_a_depth(
    server: RunningServer, http: httpx2.Client, wire: Wire, condition: dict[str, Any], status: int
) -> None:
    lean = {"text": "x", "filter": condition, "include": ["text"]}
    answer = http.post("/api/v1/tokens/query", json=lean)
    assert answer.status_code == status
    assert status == 200 or "deeper than 32" in answer.text
    search = pb.SearchRequest(collection="docs", vector=[0.0] * 100, filter_json=json.dumps(condition))
    assert wire.refusal("Search", search, server.api_key)[0] == ("OK" if status == 200 else "INVALID_ARGUMENT")


def test_filters_have_a_size(http: httpx2.Client) -> None:
    for count, status in ((9_000, 200), (10_001, 422)):
        condition = {"path": "a", "in": list(range(count))}
        answer = http.post("/api/v1/tokens/query", json={"text": "x", "filter": condition, "include": ["text"]})
        assert answer.status_code == status


@pytest.mark.parametrize(("depth", "status"), [(64, 201), (65, 422), (500, 422)])
def test_payloads_have_a_depth(server: RunningServer, http: httpx2.Client, wire: Wire, depth: int, status: int) -> None:
    metadata = json.loads('{"a":' * depth + "1" + "}" * depth)
    assert http.post("/api/v1/tokens", json={"text": "x", "metadata": metadata}).status_code == status
    point = pb.Point(id="deep", vector=[0.0] * 100, payload_json=json.dumps(metadata).encode())
    stored = wire.refusal("Upsert", pb.UpsertRequest(collection="docs", points=[point]), server.api_key)
    assert stored[0] == ("OK" if status == 201 else "INVALID_ARGUMENT")


def test_streams_of_one_caller_are_few_and_those_of_another_go_on() -> None:
    with running(max_streams=2) as server:
        ten_megabytes(server)
        other = httpx2.post(
            f"{server.http_url}/api/v1/auth/login", json={"username": "viewer", "password": "viewer123"}
        ).json()["access_token"]
        held = [half_read(server) for _ in range(2)]
        try:
            with httpx2.Client(base_url=server.http_url) as http:
                mine = {"X-API-Key": server.api_key}
                answer = http.get("/api/v1/tokens/export", headers=mine)
                assert answer.status_code == 429
                assert answer.json()["error"]["details"] == {"limit": 2, "unit": "streams"}
                theirs = {"Authorization": f"Bearer {other}"}
                with http.stream("GET", "/api/v1/tokens/export", headers=theirs) as going:
                    assert going.status_code == 200
                for connection in held:
                    connection.close()
                deadline = time.monotonic() + 10
                with http.stream("GET", "/api/v1/tokens/export", headers=mine) as again:
                    status = again.status_code
                while status == 429 and time.monotonic() < deadline:
                    with http.stream("GET", "/api/v1/tokens/export", headers=mine) as again:
                        status = again.status_code
                assert status == 200
        finally:
            for connection in held:
                connection.close()


def ten_megabytes(server: RunningServer) -> None:
    """Tokens of which an export is more than any buffer holds."""
    items = [{"embedding": [1.0] * 256, "metadata": {"a": "x" * 10_000}}] * 1_000
    headers = {"X-API-Key": server.api_key}
    answer = httpx2.post(f"{server.http_url}/api/v1/tokens/batch", json={"tokens": items}, headers=headers, timeout=60)
    assert answer.status_code == 201


def half_read(server: RunningServer) -> socket.socket:
    """Return a connection on which an export has begun and goes on as soon as somebody reads."""
    connection = socket.create_connection(("127.0.0.1", server.server.addresses.http_port), timeout=10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = server.api_key
    connection.sendall(f"GET /api/v1/tokens/export HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def streams_under_way(server: RunningServer) -> int:
    return server.server.services.concurrency._under_way.total()


def test_a_reader_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of readers: the rest of a large answer is given up; one that reads slowly and steadily gets all of it."""
    monkeypatch.setattr(TimedHttpProtocol, "look_seconds", 0.2)
    with running() as server:
        ten_megabytes(server)
        stalled = half_read(server)
        assert streams_under_way(server) == 1
        deadline = time.monotonic() + 10
        while streams_under_way(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert streams_under_way(server) == 0
        stalled.close()
        steady = httpx2.get(f"{server.http_url}/api/v1/tokens/export", headers={"X-API-Key": server.api_key})
        assert len(steady.content) > 10_000 * 1_000


def test_requests_of_one_caller_at_once_are_limited_where_that_is_asked_for() -> None:
    """While a slow search of a caller runs, a second one is refused on both transports, and not that of another."""
    with running(max_concurrent=1) as server:
        began, go_on = threading.Event(), threading.Event()
        points = server.server.services.catalog
        whole = points.list

        def slow(call: Any) -> Any:
            began.set()
            assert go_on.wait(20)
            return whole(call)

        key = server.api_key
        another = server.neurograph(username="viewer", password="viewer123")
        with pytest.MonkeyPatch.context() as patch, Wire(server.grpc_address) as wire, another as client:
            patch.setattr(type(points), "list", lambda _, call: slow(call))
            running_call = threading.Thread(target=wire.refusal, args=("ListCollections", b"", key))
            running_call.start()
            assert began.wait(10)
            refused = httpx2.get(f"{server.http_url}/api/v1/tokens", headers={"X-API-Key": key})
            assert refused.status_code == 429
            assert refused.json()["error"]["details"] == {"limit": 1, "unit": "requests"}
            assert wire.refusal("GetCollectionInfo", credential=key)[0] == "RESOURCE_EXHAUSTED"
            assert client.tokens.list().total == 0
            go_on.set()
            running_call.join()
        assert httpx2.get(f"{server.http_url}/api/v1/tokens", headers={"X-API-Key": key}).status_code == 200
