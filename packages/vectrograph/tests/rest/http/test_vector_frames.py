"""Vector frames: the same requests and answers as in JSON, with the vectors beside it, and what is refused."""

import json
import re
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rest.envelope import error_of, field_error
from rest.serving import DIMENSION, LIMITS, Served, Start

from vectrograph.domain.errors import InvalidArgument, Unavailable
from vectrograph.http.vector_frames import VECTORS, read_frame, write_frame
from vectrograph.rest.routes import OPERATIONS

TOKENS = "/api/v1/tokens"
FRAME = {"Content-Type": VECTORS}
RNG = np.random.default_rng(7)


def frame(document: Any, vectors: Any = ()) -> bytes:
    """Written by the description, not by the code under test."""
    matrix = np.array(vectors, "<f4").reshape(len(vectors), -1) if len(vectors) else np.empty((0, 0), "<f4")
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII", b"NGV1", len(text), *matrix.shape) + text + matrix.tobytes()


def parsed(body: bytes) -> tuple[Any, list[list[float]], bytes]:
    """Return the document of the first frame, its rows, and what comes after it."""
    magic, length, count, dimension = struct.unpack_from("<4sIII", body)
    assert magic == b"NGV1"
    assert (16 + length) % 4 == 0
    end = 16 + length + 4 * count * dimension
    rows = np.frombuffer(body[16 + length : end], "<f4").reshape(count, dimension)
    return json.loads(body[16 : 16 + length]), rows.tolist(), body[end:]


def unframed(node: Any, rows: list[list[float]]) -> Any:
    """Return a document with its rows in the places that name them: what JSON would have said."""
    if isinstance(node, dict):
        named = {name: value for name, value in node.items() if name == "embedding" and isinstance(value, int)}
        return {name: rows[value] if name in named else unframed(value, rows) for name, value in node.items()}
    return [unframed(item, rows) for item in node] if isinstance(node, list) else node


def vectors(count: int) -> Any:
    return RNG.normal(size=(count, DIMENSION)).astype(np.float32)


@pytest.fixture
def client(start: Start) -> Iterator[httpx2.Client]:
    served = start()
    with served.client(served.login("developer")) as client:
        yield client


def send(client: httpx2.Client, path: str, body: bytes, method: str = "POST", **headers: str) -> httpx2.Response:
    return client.request(method, path, content=body, headers={**FRAME, **headers})


class TestRequests:
    def test_vectors_arrive_bit_for_bit(self, client: httpx2.Client) -> None:
        rows = vectors(3)
        batch = {"tokens": [{"text": "a", "embedding": 1}, {"text": "b"}, {"embedding": 0, "metadata": {"n": 1}}]}
        created = send(client, f"{TOKENS}/batch", frame(batch, rows)).json()["tokens"]
        assert [created[0]["embedding"], created[2]["embedding"]] == [rows[1].tolist(), rows[0].tolist()]
        one = send(client, TOKENS, frame({"text": "c", "embedding": 0}, rows[2:])).json()
        assert client.get(f"{TOKENS}/{one['id']}").json()["embedding"] == rows[2].tolist()
        changed = send(client, f"{TOKENS}/{one['id']}", frame({"embedding": 0}, rows[:1]), "PUT").json()
        assert (changed["embedding"], changed["text"]) == (rows[0].tolist(), "c")
        kept = send(client, f"{TOKENS}/{one['id']}", frame({"text": None}), "PUT").json()
        assert (kept["embedding"], kept["text"]) == (rows[0].tolist(), None)

    def test_questions_find_what_they_find_in_json(self, client: httpx2.Client) -> None:
        rows = vectors(4)
        send(client, f"{TOKENS}/batch", frame({"tokens": [{"embedding": n} for n in range(4)]}, rows))
        body = {"query_vector": rows[2].tolist(), "top_k": 3}
        asked = client.post(f"{TOKENS}/query", json=body).json()
        assert send(client, f"{TOKENS}/query", frame({"query_vector": 0, "top_k": 3}, rows[2:3])).json() == asked
        many = {"query_vectors": rows.tolist(), "top_k": 2}
        asked = client.post(f"{TOKENS}/query/many", json=many).json()
        in_order = frame({"query_vectors": [0, 1, 2, 3], "top_k": 2}, rows)
        assert send(client, f"{TOKENS}/query/many", in_order).json() == asked
        turned = frame({"query_vectors": [3, 2, 1, 0], "top_k": 2}, rows[::-1])
        assert send(client, f"{TOKENS}/query/many", turned).json() == asked

    def test_a_repeat_under_a_key_stores_nothing(self, client: httpx2.Client) -> None:
        body = frame({"text": "once", "embedding": 0}, vectors(1))
        answers = [send(client, TOKENS, body, **{"Idempotency-Key": "k"}).json() for _ in range(2)]
        assert answers[0] == answers[1]
        assert client.get(TOKENS).json()["total"] == 1
        other = frame({"text": "once", "embedding": 0}, vectors(1))
        error_of(send(client, TOKENS, other, **{"Idempotency-Key": "k"}), 409, "IDEMPOTENCY_KEY_REUSED")


class TestAnswers:
    @pytest.fixture
    def filled(self, client: httpx2.Client) -> httpx2.Client:
        tokens = [{"text": f"text {n}", "metadata": {"n": n}} for n in range(5)]
        assert client.post(f"{TOKENS}/batch", json={"tokens": tokens}).status_code == 201
        return client

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", f"{TOKENS}/2", None),
            ("GET", f"{TOKENS}?limit=3", None),
            ("GET", f"{TOKENS}?include=text", None),
            ("GET", f"{TOKENS}?filter=%7B%22path%22:%22n%22,%22eq%22:77%7D", None),
            ("PUT", f"{TOKENS}/3", {}),
            ("POST", f"{TOKENS}/query", {"text": "text 1", "top_k": 3}),
            ("POST", f"{TOKENS}/query/many", {"texts": ["text 1", "text 4"], "top_k": 2}),
        ],
    )
    def test_they_say_what_json_says(self, filled: httpx2.Client, method: str, path: str, body: Any) -> None:
        in_json = filled.request(method, path, json=body)
        in_frame = filled.request(method, path, json=body, headers={"Accept": f"{VECTORS}, application/json;q=0.5"})
        assert in_frame.headers["content-type"] == VECTORS
        assert in_json.headers["vary"] == in_frame.headers["vary"] == "accept"
        document, rows, rest = parsed(in_frame.content)
        assert rest == b""
        assert unframed(document, rows) == in_json.json()

    def test_what_is_created_is_told_in_a_frame(self, client: httpx2.Client) -> None:
        for path, body in ((TOKENS, {"text": "a"}), (f"{TOKENS}/batch", {"tokens": [{"text": "b"}]})):
            response = client.post(path, json=body, headers={"Accept": VECTORS})
            assert (response.status_code, response.headers["content-type"]) == (201, VECTORS)
            document, rows, _ = parsed(response.content)
            token = document["tokens"][0] if "tokens" in document else document
            assert rows == [client.get(f"{TOKENS}/{token['id']}").json()["embedding"]]

    def test_embeddings(self, client: httpx2.Client) -> None:
        body = {"texts": ["abc", "xyz"]}
        in_json = client.post("/api/v1/embeddings", json=body).json()
        framed = client.post("/api/v1/embeddings", json=body, headers={"Accept": VECTORS})
        document, rows, _ = parsed(framed.content)
        assert document == {**in_json, "embeddings": [0, 1]}
        assert rows == in_json["embeddings"]

    def test_errors_stay_json(self, client: httpx2.Client) -> None:
        error_of(client.get(f"{TOKENS}/99", headers={"Accept": VECTORS}), 404, "POINT_NOT_FOUND")

    def test_streams_are_frames_after_frames(self, filled: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = [json.loads(line) for line in filled.get(f"{TOKENS}/export").text.splitlines()]
        response = filled.get(f"{TOKENS}/export", headers={"Accept": f"{VECTORS}, application/x-ndjson"})
        assert response.headers["content-type"] == VECTORS
        seen, rest = [], response.content
        while rest:
            document, rows, rest = parsed(rest)
            seen += unframed(document, rows)
        assert seen == whole
        accept = {"Accept": f"{VECTORS}, application/x-ndjson"}
        hits = filled.post(f"{TOKENS}/query", json={"text": "text 1"}, headers=accept)
        document, rows, _ = parsed(hits.content)
        assert unframed(document, rows) == filled.post(f"{TOKENS}/query", json={"text": "text 1"}).json()["results"]

    def test_a_stream_that_fails_ends_with_an_error_in_a_frame(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = start()
        with served.client(served.login("developer")) as client:

            def failing(*_: Any, **__: Any) -> Any:
                raise Unavailable("gone for a moment")

            monkeypatch.setattr(served.engine, "scroll", failing)
            document, rows, rest = parsed(client.get(f"{TOKENS}/export", headers={"Accept": VECTORS}).content)
        assert (document["success"], document["error"]["code"], rows, rest) == (False, "SERVICE_UNAVAILABLE", [], b"")


class TestRefusals:
    def test_the_way_in_is_the_same(self, start: Start) -> None:
        served = start()
        body = frame({"text": "a", "embedding": 0}, vectors(1))
        with served.client() as anonymous, served.client(served.login("viewer")) as viewer:
            error_of(send(anonymous, TOKENS, body), 401, "AUTHENTICATION_REQUIRED")
            assert error_of(send(viewer, TOKENS, body), 403, "PERMISSION_DENIED")["details"]
            assert viewer.get(TOKENS).json()["total"] == 0

    @pytest.mark.parametrize(
        ("method", "path", "code"),
        [
            ("POST", "/api/v1/auth/login", "UNSUPPORTED_MEDIA_TYPE"),
            ("POST", "/api/v1/api-keys", "UNSUPPORTED_MEDIA_TYPE"),
            ("POST", f"{TOKENS}/delete", "UNSUPPORTED_MEDIA_TYPE"),
            ("POST", "/api/v1/embeddings", "UNSUPPORTED_MEDIA_TYPE"),
        ],
    )
    def test_where_no_vector_is_expected_frames_are_not_read(
        self, client: httpx2.Client, method: str, path: str, code: str
    ) -> None:
        error_of(send(client, path, frame({"ids": [1]}), method), 415, code)

    def test_the_gateway_and_other_types_stay_closed(self, client: httpx2.Client) -> None:
        assert send(client, "/v1/collections", frame({"name": "c"})).status_code == 415
        response = client.post(TOKENS, content=frame({"text": "a"}), headers={"Content-Type": "text/plain"})
        error_of(response, 415, "UNSUPPORTED_MEDIA_TYPE")
        squeezed = send(client, TOKENS, frame({"text": "a"}), **{"Content-Encoding": "gzip"})
        error_of(squeezed, 415, "UNSUPPORTED_MEDIA_TYPE")

    @pytest.mark.parametrize(
        ("document", "rows", "field"),
        [
            ({"tokens": [{"embedding": 0}, {"embedding": 0}]}, vectors(2), "tokens.1.embedding"),
            ({"tokens": [{"embedding": 2}]}, vectors(2), "tokens.0.embedding"),
            ({"tokens": [{"embedding": -1}]}, vectors(2), "tokens.0.embedding"),
            ({"tokens": [{"embedding": [1.0] * DIMENSION}]}, vectors(1), "tokens.0.embedding"),
            ({"tokens": [{"embedding": True}]}, vectors(1), "tokens.0.embedding"),
            ({"tokens": [{"embedding": 0}]}, RNG.normal(size=(1, DIMENSION + 1)), "tokens.0.embedding"),
            ({"tokens": [{"text": "a"}, {"embedding": 0}]}, [[1.0] * 5 + [np.nan] * 3], "tokens.1.embedding.5"),
            ({"tokens": [{"text": "a", "unknown": 1}]}, (), "tokens.0.unknown"),
            ({"tokens": []}, (), "tokens"),
        ],
    )
    def test_a_wrong_row_is_named_and_nothing_is_written(
        self, client: httpx2.Client, document: Any, rows: Any, field: str
    ) -> None:
        field_error(send(client, f"{TOKENS}/batch", frame(document, rows)), field)
        assert client.get(TOKENS).json()["total"] == 0

    def test_questions_name_their_row_too(self, client: httpx2.Client) -> None:
        twice = frame({"query_vectors": [0, 1, 0]}, vectors(2))
        field_error(send(client, f"{TOKENS}/query/many", twice), "query_vectors.2")
        field_error(send(client, f"{TOKENS}/query", frame({"query_vector": 1}, vectors(1))), "query_vector")

    def test_limits_are_those_of_json(self, client: httpx2.Client) -> None:
        many = frame({"tokens": [{"embedding": n} for n in range(LIMITS.max_batch + 1)]}, vectors(LIMITS.max_batch + 1))
        error_of(send(client, f"{TOKENS}/batch", many), 413, "REQUEST_TOO_LARGE")
        large = frame({"text": "a"}, np.zeros((LIMITS.max_body_bytes // 32, DIMENSION)))
        error_of(send(client, TOKENS, large), 413, "REQUEST_TOO_LARGE")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"NGV1",
            b"{}",
            b"NGV2" + frame({"text": "a"})[4:],
            frame({"text": "a"}) + b"\0",
            frame({"text": "a"}) * 2,
            struct.pack("<4sIII", b"NGV1", 4, 2**32 - 1, 2**32 - 1) + b"{}  ",
            struct.pack("<4sIII", b"NGV1", 4, 2**32 - 1, 0) + b"{}  ",
            struct.pack("<4sIII", b"NGV1", 4, 0, 2**32 - 1) + b"{}  ",
            struct.pack("<4sIII", b"NGV1", 2**32 - 4, 0, 0) + b"{}  ",
            struct.pack("<4sIII", b"NGV1", 3, 0, 0) + b"{} ",
            struct.pack("<4sIII", b"NGV1", 0, 0, 0),
            struct.pack("<4sIII", b"NGV1", 4, 0, 0) + b"\xff\xfe  ",
        ],
    )
    def test_what_is_no_frame_is_refused(self, client: httpx2.Client, body: bytes) -> None:
        field_error(send(client, TOKENS, body), "body")

    def test_lengths_are_believed_only_after_a_look(self) -> None:
        lie = struct.pack("<4sIII", b"NGV1", 4, 2**31, 2**31) + b"{}  "
        tracemalloc.start()
        with pytest.raises(InvalidArgument):
            read_frame(lie)
        assert tracemalloc.get_traced_memory()[1] < 100_000
        tracemalloc.stop()


@given(body=st.binary(max_size=64) | st.builds(lambda tail: b"NGV1" + tail, st.binary(max_size=80)))
def test_any_bytes_are_a_frame_or_refused(body: bytes) -> None:
    try:
        document, rows = read_frame(body)
    except InvalidArgument:
        return
    assert body.startswith(b"NGV1")
    assert len(document) <= len(body) - 16
    assert rows is not None


@given(st.integers(0, 4), st.integers(1, 5), st.text(max_size=9), st.data())
def test_what_is_written_is_read(count: int, dimension: int, text: str, data: st.DataObject) -> None:
    number = st.floats(width=32, allow_nan=False)
    rows = [np.array(data.draw(st.lists(number, min_size=dimension, max_size=dimension)), "f4") for _ in range(count)]
    document, read = read_frame(write_frame({"text": text, "vectors": rows}))
    assert json.loads(document) == {"text": text, "vectors": list(range(count))}
    assert [read.take(n, "x").tolist() for n in range(count)] == [row.tolist() for row in rows]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_bent_frame_never_breaks_the_server(data: st.DataObject, served: Served, developer: httpx2.Client) -> None:
    body = bytearray(frame({"query_vectors": [0, 1], "top_k": 1}, vectors(2)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 8))
    response = send(developer, f"{TOKENS}/query/many", bytes(body[: len(body) - cut]))
    assert response.status_code in (200, 422), response.text
    if cut:
        assert response.status_code == 422


def test_vectors_of_two_lengths_are_no_frame() -> None:
    with pytest.raises(ValueError, match="one length"):
        write_frame([np.zeros(2, np.float32), np.zeros(3, np.float32)])


def test_the_limits_name_the_media_type(anonymous: httpx2.Client) -> None:
    assert anonymous.get("/api/v1/limits").json()["vector_media_type"] == VECTORS


def test_the_page_about_frames_makes_one(developer: httpx2.Client, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[5] / "docs" / "vectors.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own page
    document, rows = read_frame(names["frame"])
    assert json.loads(document) == {"query_vectors": [0, 1], "top_k": 5}
    assert [rows.take(n, "x").tolist() for n in (0, 1)] == [[0.5, -1.0], [2.0, 3.0]]
    assert capsys.readouterr().out
    field_error(send(developer, f"{TOKENS}/query/many", names["frame"]), "query_vectors")  # two components, not eight
    for path in re.findall(r"`POST (/api/v1/\S+?)`", page):
        assert any(o.path == path and o.method == "POST" and o.vectors for o in OPERATIONS), path
