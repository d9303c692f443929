"""Extensions of Vectron's API over HTTP: our own service, reranking, feedback, repeats; and the scope comes first."""

import base64
import json
import struct
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx2
import numpy as np
import pytest
from rest.serving import LIMITS, Served

names = (f"own-{number}" for number in count())
LATE = '{"path": "year", "gte": 1995}'


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


@pytest.fixture
def years(developer: httpx2.Client) -> Iterator[str]:
    """Ten points on a line, each with its year; returns the path of the collection."""
    name = next(names)
    assert developer.post("/v1/collections", json={"name": name, "dimension": 2}).status_code == 200
    points = [
        {"id": str(n), "vector": [n, 0], "payloadJson": base64_of(b'{"year": %d}' % (1990 + n))} for n in range(10)
    ]
    answer = developer.post(f"/v1/collections/{name}/points", json={"points": points}).json()
    assert answer == {"upserted": 10, "jsonPayload": True}
    yield f"/v1/collections/{name}"
    developer.delete(f"/v1/collections/{name}")


def answer(client: httpx2.Client, path: str, body: dict[str, Any] | None = None) -> Any:
    response = client.get(path) if body is None else client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_batch_answers_each_query_as_a_search_of_its_own_would(developer: httpx2.Client, years: str) -> None:
    queries = [[0.0, 0.0], [9.0, 0.0], [4.25, 1.0]]
    packed = base64_of(struct.pack("<6f", *(value for query in queries for value in query)))
    batch = {"vectors": packed, "queries": 3, "topK": 2, "filterJson": LATE, "includeVectors": True}
    single = [
        answer(
            developer, f"{years}/points/search", {"vector": q, "topK": 2, "filterJson": LATE, "includeVectors": True}
        )
        for q in queries
    ]
    assert answer(developer, f"{years}/points/search/batch", batch) == {"responses": single}
    assert [hit["id"] for hit in single[0]["results"]] == ["5", "6"]


def test_a_scroll_visits_every_match_once(developer: httpx2.Client, years: str) -> None:
    seen: list[str] = []
    cursor = ""
    for _ in range(9):
        wanted = {"limit": 2, "cursor": cursor, "filterJson": LATE, "descending": True, "includeVectors": True}
        page = answer(developer, f"{years}/points/scroll", wanted)
        assert all(point["vector"] == [float(point["id"]), 0.0] for point in page["points"])
        seen += [point["id"] for point in page["points"]]
        if not (cursor := page["cursor"]):
            break
    assert seen == ["9", "8", "7", "6", "5"]


def test_counting_and_deleting_by_filter_agree(developer: httpx2.Client, years: str) -> None:
    assert answer(developer, f"{years}/points/count", {"filter_json": LATE}) == {"count": "5"}
    assert answer(developer, f"{years}/points/delete", {"filterJson": LATE}) == {"deleted": "5"}
    assert answer(developer, f"{years}/points/count", {}) == {"count": "5"}
    refused = developer.post(f"{years}/points/delete", json={})
    assert (refused.status_code, refused.json()["code"]) == (400, 3)
    assert answer(developer, f"{years}/points/count", {}) == {"count": "5"}


def test_conditions_skip_points_and_leave_the_others(developer: httpx2.Client, years: str) -> None:
    def upsert(*ids: str, **condition: Any) -> list[tuple[str, str]]:
        points = [{"id": point_id, "vector": [7, 7]} for point_id in ids]
        outcomes = answer(developer, f"{years}/points/upsert-if", {"points": points, **condition})["outcomes"]
        return [(outcome["id"], outcome["status"]) for outcome in outcomes]

    assert upsert("1", "new", ifAbsent=True) == [("1", "skipped"), ("new", "created")]
    assert upsert("2", "8", ifMatchJson=LATE) == [("2", "skipped"), ("8", "updated")]
    [stored] = answer(developer, f"{years}/points/upsert-if", {"points": [{"id": "3", "vector": [3, 3]}]})["outcomes"]
    version = int(stored["version"])
    assert upsert("3", ifVersion={"3": str(version + 1)}) == [("3", "skipped")]
    assert upsert("3", ifVersion={"3": version}) == [("3", "updated")]


def test_a_collection_and_the_server_in_numbers(developer: httpx2.Client, years: str) -> None:
    info = answer(developer, f"{years}/info")
    assert (info["count"], info["dimension"], info["distance"], info["state"]) == ("10", 2, "euclidean", "ready")
    assert int(info["createdAt"]) > 1_600_000_000
    assert info["quantization"] == "int8"
    limits = answer(developer, "/v1/limits")
    assert (limits["maxMessageBytes"], limits["maxBatch"]) == (str(LIMITS.max_body_bytes), LIMITS.max_batch)
    assert (limits["maxTopK"], limits["defaultTopK"]) == (LIMITS.max_top_k, LIMITS.default_top_k)


def test_reranking_and_feedback(developer: httpx2.Client, years: str) -> None:
    name = years.rpartition("/")[2]
    point = {"id": "5", "vector": [5, 0], "payload": {"title": "a fox"}}
    answer(developer, f"{years}/points", {"points": [point]})
    query = {"vector": [0, 0], "topK": 2, "query": "fox"}
    plain = answer(developer, f"{years}/points/search", query)["results"]
    assert [(hit["id"], hit["score"], "distance" in hit) for hit in plain] == [("0", 0.0, False), ("1", 1.0, False)]
    wish = {"rerank": {"keywordWeight": "1.0", "field_boosts": {"title": 2}, "candidates": 10}}
    hits = answer(developer, f"{years}/points/search", {**query, **wish})["results"]
    assert [(hit["id"], hit["score"], hit["distance"]) for hit in hits] == [("5", 25.0 - 81.0, 25.0), ("0", 0.0, 0.0)]

    item = {"resultId": "7", "relevanceScore": 5, "clicked": True, "position": 3, "comment": "c"}
    sent = {"collection": name, "query": "which?", "feedbackItems": [item], "context": {"a": "b"}}
    ids = [answer(developer, "/v1/feedback", sent)["feedbackId"] for _ in range(3)]
    first = answer(developer, f"{years}/feedback?limit=2&query=which%3F")
    rest = answer(developer, f"{years}/feedback?cursor={first['cursor']}&query=which%3F")
    assert {one["feedbackId"] for one in [*first["feedback"], *rest["feedback"]]} == set(ids)
    [last] = rest["feedback"]
    assert (last["items"], last["context"], last["userId"], rest["cursor"]) == ([item], {"a": "b"}, "developer", "")
    assert answer(developer, f"{years}/feedback?query=other")["feedback"] == []
    assert developer.get(f"{years}/feedback?limit=x").json()["code"] == 3


@pytest.mark.parametrize(
    "path", ["points", "points/upsert-if", "points/delete", "points/search/batch", "points/scroll"]
)
def test_the_scope_is_asked_for_before_the_body_is_looked_at(served: Served, years: str, path: str) -> None:
    """A caller that may not even read hears that, whatever nonsense it sends; a writer hears what is wrong."""
    call = served.services.sessions
    developer = served.login("developer")
    with served.client(developer) as client:
        made = client.post("/api/v1/api-keys", json={"name": "no", "scopes": ["health:read"]}).json()
    assert call.authenticate(made["api_key"]).scopes == {"health:read"}
    for body in (b"{", b"[]", b'{"points": [{"id": 7}]}', b""):
        with served.client(made["api_key"], **{"Content-Type": "application/json"}) as client:
            refused = client.post(f"{years}/{path}", content=body)
        assert (refused.status_code, refused.json()["code"]) == (403, 7), refused.text
    with served.client(developer, **{"Content-Type": "application/json"}) as client:
        assert client.post(f"{years}/{path}", content=b"{").status_code == 400


def test_a_repeat_under_the_same_key_changes_nothing(developer: httpx2.Client, years: str) -> None:
    once = {"Idempotency-Key": "write-1"}
    body = {"points": [{"id": "x", "vector": [1, 1]}]}
    for _ in range(2):
        assert developer.post(f"{years}/points", json=body, headers=once).json() == {"upserted": 1}
        assert developer.delete(f"{years}/points/x", headers={"Idempotency-Key": "gone-1"}).json() == {}
    assert developer.get(f"{years}/points/x").status_code == 404
    other = developer.post(f"{years}/points", json={"points": [{"id": "y", "vector": [1, 1]}]}, headers=once)
    assert other.status_code == 400
    assert other.headers["x-error-code"] == "IDEMPOTENCY_KEY_REUSED"
    # The same key for another point is another body: it must not pass for the repeat of the first.
    assert developer.delete(f"{years}/points/1", headers={"Idempotency-Key": "gone-1"}).status_code == 400
    assert developer.get(f"{years}/points/1").status_code == 200
    assert developer.post(f"{years}/points", json=body, headers={"Idempotency-Key": "a b"}).status_code == 400
    if_new = {"points": [{"id": "z", "vector": [1, 1]}], "ifAbsent": True}
    for _ in range(2):
        made = developer.post(f"{years}/points/upsert-if", json=if_new, headers={"Idempotency-Key": "new-1"})
        assert made.json()["outcomes"][0]["status"] == "created"
        gone = developer.post(
            f"{years}/points/delete", json={"filterJson": LATE}, headers={"Idempotency-Key": "gone-2"}
        )
        assert gone.json() == {"deleted": "5"}


def frame(document: dict[str, Any], rows: list[list[float]]) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    matrix = np.array(rows, "<f4")
    return struct.pack("<4sIII", b"NGV1", len(text), *(matrix.shape if rows else (0, 0))) + text + matrix.tobytes()


def test_vectors_travel_beside_the_json(developer: httpx2.Client, years: str) -> None:
    binary = {"Content-Type": "application/vnd.neurograph.vectors"}

    def post(path: str, document: dict[str, Any], rows: list[list[float]]) -> Any:
        return developer.post(f"{years}/{path}", content=frame(document, rows), headers=binary)

    points = [{"id": "f0", "vector": 1, "payload": {"k": "v"}}, {"id": "f1", "vector": 0}]
    assert post("points", {"points": points}, [[0.1, 40], [0.2, 50]]).json() == {"upserted": 2}
    stored = developer.get(f"{years}/points/f0").json()["point"]
    assert (stored["vector"], stored["payload"]) == ([float(np.float32(0.2)), 50.0], {"k": "v"})
    found = post("points/search", {"vector": 0, "topK": 1, "includeVectors": True}, [[0.1, 41]]).json()["results"]
    assert [(hit["id"], hit["score"]) for hit in found] == [("f1", 1.0)]
    found = answer(developer, f"{years}/points/search", {"vector": [0.1, 41], "topK": 1, "includeVectors": True})
    assert (
        found["results"]
        == post("points/search", {"vector": 0, "topK": 1, "includeVectors": True}, [[0.1, 41]]).json()["results"]
    )
    outcome = post("points/upsert-if", {"points": [{"id": "f0", "vector": 0}], "ifAbsent": True}, [[1, 1]])
    assert outcome.json()["outcomes"][0]["status"] == "skipped"
    for path, document, rows in (
        ("points/search", {"topK": 1}, [[1.0, 1.0]]),
        ("points/search", {"vector": 1}, [[1.0, 1.0]]),
        ("points/search", {"vector": [1, 1]}, [[1.0, 1.0]]),
        ("points", {"points": [{"id": "a", "vector": 0}, {"id": "b", "vector": 0}]}, [[1.0, 1.0]]),
        ("points", {"points": [{"id": "a"}]}, [[1.0, 1.0]]),
    ):
        refused = post(path, document, rows)
        assert (refused.status_code, refused.json()["code"]) == (400, 3), refused.text
    assert developer.post(f"{years}/points", content=b"NGV1", headers=binary).status_code == 400
    assert developer.post(f"{years}/points/count", content=frame({}, []), headers=binary).status_code == 415
    assert developer.get(f"{years}/points/a").status_code == 404


@pytest.mark.parametrize("quantization", ["int8", "float16", "float32"])
def test_a_collection_says_how_its_index_stores_components(developer: httpx2.Client, quantization: str) -> None:
    name = next(names)
    wanted = {"name": name, "dimension": 2, "quantization": quantization}
    assert answer(developer, "/v1/collections", wanted) == {"success": True, "quantization": quantization}
    assert answer(developer, f"/v1/collections/{name}/info")["quantization"] == quantization
    assert answer(developer, "/v1/collections", {"name": next(names), "dimension": 2}) == {"success": True}
    unknown = developer.post("/v1/collections", json={"name": next(names), "dimension": 2, "quantization": "int4"})
    assert (unknown.status_code, "int8, float16, float32" in unknown.text) == (400, True)
