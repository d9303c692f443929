"""Vectron's HTTP gateway: every route over a real socket, in the JSON of protocol buffers."""

import base64
import http.client
import json
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import numpy as np
import pytest
from rest.serving import VERSION, Served, Start

from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.gateway.errors import RpcStatus
from vectrograph.gateway.routes import GATEWAY_OPERATIONS
from vectrograph.http.operation import Operation
from vectrograph.services.call import Call, Principal

names = (f"gateway-{number}" for number in count())
PASSWORD = "Correct-horse-7"


def failed(response: httpx2.Response, status: int, code: int) -> str:
    """Return the message of an error in the gateway's shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = msgspec.json.decode(response.content, type=RpcStatus)
    assert response.json().keys() == {"code", "message", "details"}
    assert (body.code, body.details) == (code, [])
    assert response.headers["x-error-code"]
    assert response.headers["x-request-id"]
    return body.message


@pytest.fixture
def docs(developer: httpx2.Client) -> Iterator[str]:
    """Provide a cosine collection of three points."""
    name = next(names)
    created = developer.post("/v1/collections", json={"name": name, "dimension": 2, "distance": "cosine"})
    assert (created.status_code, created.json()) == (200, {"success": True})
    points = [
        {"id": "east", "vector": [1, 0], "payload": {"side": "right"}},
        {"id": "north", "vector": [0, 0.1]},
        {"id": "west", "vector": ["-1", "0e0"]},
    ]
    assert developer.post(f"/v1/collections/{name}/points", json={"points": points}).json() == {"upserted": 3}
    yield name
    assert developer.delete(f"/v1/collections/{name}").json() == {"success": True}
    failed(developer.get(f"/v1/collections/{name}/status"), 404, 5)


def test_status_emits_defaults_and_64_bit_numbers_as_strings(developer: httpx2.Client, docs: str) -> None:
    response = developer.get(f"/v1/collections/{docs}/status")
    assert response.json() == {
        "name": docs,
        "dimension": 2,
        "distance": "cosine",
        "shards": [{"shardId": 1, "replicas": ["1"], "leaderId": "1", "ready": True}],
    }
    assert response.headers["grpc-metadata-content-type"] == "application/grpc"
    listed = developer.get("/v1/collections").json()["collections"]
    assert docs in listed
    assert listed == sorted(listed)


def test_a_point_comes_back_exactly(developer: httpx2.Client, docs: str) -> None:
    stored = float(np.float32(0.1))
    north = {"id": "north", "vector": [0.0, stored], "payload": {}}
    assert developer.get(f"/v1/collections/{docs}/points/north").json() == {"point": north}
    assert developer.delete(f"/v1/collections/{docs}/points/north").json() == {}
    assert developer.delete(f"/v1/collections/{docs}/points/north").json() == {}
    failed(developer.get(f"/v1/collections/{docs}/points/north"), 404, 5)


def test_search_reads_both_spellings_and_ignores_what_it_does_not_know(developer: httpx2.Client, docs: str) -> None:
    url = f"/v1/collections/{docs}/points/search"
    plain = developer.post(url, json={"vector": [1, 0], "topk": 1, "collection": "elsewhere"}).json()["results"]
    assert [hit["id"] for hit in plain] == ["east", "north", "west"]
    assert [hit["score"] for hit in plain] == [0.0, 1.0, 2.0]
    assert plain[0] == {"id": "east", "score": 0.0, "payload": {"side": "right"}, "vector": []}
    assert plain[1]["payload"] == {}
    for wanted in ({"topK": 1, "includeVectors": True}, {"top_k": "1", "include_vectors": True}, {"topK": 1.0}):
        [hit] = developer.post(url, json={"vector": ["1", 0], **wanted}).json()["results"]
        assert hit["vector"] == ([1.0, 0.0] if len(wanted) == 2 else [])
    assert len(developer.post(url, json={"vector": [1, 0], "topK": None, "query": None}).json()["results"]) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"vector": [1, None]}, "vector[1]"),
        ({"vector": [1, True]}, "vector[1]"),
        ({"vector": "1"}, "vector"),
        ({"vector": [1, "one"]}, "vector[1]"),
        ({"vector": [1, "NaN"]}, "vector[1]"),
        ({"vector": ["-Infinity", 1]}, "vector[0]"),
        ({"vector": [1, 0], "topK": -1}, "top_k"),
        ({"vector": [1, 0], "topK": 1.5}, "top_k"),
        ({"vector": [1, 0], "topK": 4294967296}, "top_k"),
        ({"vector": [1, 0], "topK": True}, "top_k"),
        ({"vector": [1, 0], "topK": 1, "top_k": 2}, "top_k"),
        ({"vector": [1, 0], "includeVectors": "yes"}, "include_vectors"),
        ({"vector": [1, 0, 0]}, "vector"),
        ({"vector": []}, "vector"),
        ({}, "vector"),
        ([], "body"),
    ],
)
def test_what_a_search_refuses(developer: httpx2.Client, docs: str, body: Any, field: str) -> None:
    message = failed(developer.post(f"/v1/collections/{docs}/points/search", json=body), 400, 3)
    assert message.startswith(f"{field}: ")


def test_filters_and_plans_are_extensions_of_ours(developer: httpx2.Client, docs: str) -> None:
    url = f"/v1/collections/{docs}/points/search"
    body = {"vector": [1, 0], "filterJson": '{"path": "side", "exists": false}', "exact": True, "explain": True}
    answer = developer.post(url, json=body).json()
    assert [hit["id"] for hit in answer["results"]] == ["north", "west"]
    assert answer["complete"] is True
    assert answer["plan"]["rowsScanned"].isdigit()
    assert answer["plan"].keys() == {"strategy", "index", "rowsScanned", "matches", "milliseconds"}
    assert failed(developer.post(url, json={"vector": [1, 0], "filterJson": "{"}), 400, 3).startswith("filter_json: ")
    assert developer.post(url, json={"vector": [1, 0]}).json().keys() == {"results"}


def test_json_payloads_travel_beside_the_strings(developer: httpx2.Client, docs: str) -> None:
    payload = {"title": "x", "pages": 3, "tags": ["a", None]}
    encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    point = {"id": "rich", "vector": [1, 0], "payload": {"lost": "1"}, "payloadJson": encoded}
    developer.post(f"/v1/collections/{docs}/points", json={"points": [point]}).raise_for_status()
    got = developer.get(f"/v1/collections/{docs}/points/rich").json()["point"]
    assert got["payload"] == {"title": "x", "pages": "3", "tags": '["a",null]'}
    assert json.loads(base64.b64decode(got["payloadJson"])) == payload
    for wrong in ("!", base64.b64encode(b"[1]").decode(), base64.b64encode(b"{").decode()):
        body = {"points": [{"id": "a", "vector": [1, 0], "payloadJson": wrong}]}
        assert failed(developer.post(f"/v1/collections/{docs}/points", json=body), 400, 3).startswith(
            "points[0].payload_json: "
        )


@pytest.mark.parametrize("id", ["a/b", "search", "..", "a b+c", "100%", "ä🙂", "/", "a?b#c", "%2F", "x" * 512])
def test_any_id_is_addressable(served: Served, developer: httpx2.Client, docs: str, id: str) -> None:
    points = {"points": [{"id": id, "vector": [3, 4]}]}
    developer.post(f"/v1/collections/{docs}/points", json=points).raise_for_status()
    target = f"/v1/collections/{docs}/points/{quote(id, safe='')}"
    credential = developer.headers["authorization"]

    def send(method: str) -> tuple[int, Any]:
        # Unlike other clients, this one sends a path as it is given.
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        connection.request(method, target, headers={"Authorization": credential})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body

    assert send("GET") == (200, {"point": {"id": id, "vector": [3.0, 4.0], "payload": {}}})
    assert send("DELETE") == (200, {})
    assert send("GET")[0] == 404


def test_a_collection_with_a_slash_is_addressable(developer: httpx2.Client) -> None:
    name = "a/b points"
    developer.post("/v1/collections", json={"name": name, "dimension": 1}).raise_for_status()
    path = f"/v1/collections/{quote(name, safe='')}"
    assert developer.get(f"{path}/status").json()["distance"] == "euclidean"
    assert developer.post(f"{path}/points/search", json={"vector": [1]}).json() == {"results": []}
    developer.delete(path).raise_for_status()


def test_the_path_wins_over_the_body(developer: httpx2.Client, docs: str) -> None:
    body = {"collection": "tokens", "points": [{"id": "here", "vector": [1, 1]}]}
    developer.post(f"/v1/collections/{docs}/points", json=body).raise_for_status()
    assert developer.get(f"/v1/collections/{docs}/points/here").status_code == 200


def test_statuses_of_the_usual_mistakes(developer: httpx2.Client, docs: str, anonymous: httpx2.Client) -> None:
    failed(developer.post("/v1/collections", json={"name": docs, "dimension": 2}), 409, 6)
    failed(developer.post("/v1/collections", json={"name": "x", "dimension": 0}), 400, 3)
    failed(developer.post("/v1/collections", json={"name": "x", "dimension": 2, "distance": "manhattan"}), 400, 3)
    failed(developer.post("/v1/collections"), 400, 3)
    failed(developer.delete("/v1/collections/missing"), 404, 5)
    failed(developer.delete("/v1/collections/tokens"), 400, 9)
    failed(developer.post(f"/v1/collections/{docs}/points", json={"points": []}), 400, 3)
    failed(developer.post(f"/v1/collections/{docs}/points", json={"points": [{"id": "", "vector": [1, 2]}]}), 400, 3)
    refused = anonymous.get("/v1/collections")
    message = failed(refused, 401, 16)
    assert refused.headers["www-authenticate"] == message.encode("ascii", "replace").decode()
    failed(anonymous.get("/v1/collections", headers={"Authorization": "Bearer ng_live_wrong"}), 401, 16)


def test_what_is_wrong_before_any_handler_has_the_gateways_shape_too(served: Served, developer: httpx2.Client) -> None:
    assert failed(developer.get("/v1/nowhere"), 404, 5) == "Not Found"
    assert failed(developer.get("/v1"), 404, 5) == "Not Found"
    assert failed(developer.get("/v1/collections//points/a"), 404, 5) == "Not Found"
    assert failed(developer.put("/v1/collections"), 501, 12) == "Method Not Allowed"
    assert failed(developer.options("/v1/collections"), 501, 12) == "Method Not Allowed"
    text = {"content": b"x=1", "headers": {"Content-Type": "text/plain"}}
    failed(developer.post("/v1/collections", **text), 415, 3)  # type: ignore[arg-type]
    json_type = {"Content-Type": "application/json"}
    failed(developer.post("/v1/collections", content=b" " * 300_000, headers=json_type), 413, 8)
    failed(developer.post("/v1/collections", content=b'{"name": ', headers=json_type), 400, 3)
    failed(developer.post("/v1/collections", content=b"[" * 100_000, headers=json_type), 400, 3)
    failed(developer.get("/v1/collections", headers={"Host": "evil.example"}), 400, 3)
    failed(developer.get("/v1/collections/%ff/status"), 400, 3)
    failed(developer.post("/v1/collections/tokens/points", json={"points": [{"id": "1"}] * 21}), 413, 8)


def test_the_viewer_may_read_only(served: Served, docs: str) -> None:
    with served.client(served.login("viewer")) as viewer:
        assert viewer.get(f"/v1/collections/{docs}/points/east").status_code == 200
        failed(viewer.delete(f"/v1/collections/{docs}/points/east"), 403, 7)
        failed(viewer.post("/v1/collections", json={"name": "n", "dimension": 1}), 403, 7)


def test_feedback_is_validated_and_kept(developer: httpx2.Client, served: Served) -> None:
    items: list[dict[str, Any]] = [
        {"resultId": "r", "relevanceScore": 5, "clicked": True},
        {"result_id": "s", "relevance_score": "2"},
    ]
    answer = developer.post(
        "/v1/feedback", json={"collection": "tokens", "query": "q", "feedbackItems": items, "context": {"k": "v"}}
    ).json()
    assert answer["success"] is True
    assert len(answer["feedbackId"]) == 36
    items[0]["relevanceScore"] = 0
    failed(developer.post("/v1/feedback", json={"collection": "tokens", "feedbackItems": items}), 400, 3)


def test_a_timeout_in_the_body_reaches_the_engine(developer: httpx2.Client, docs: str, served: Served) -> None:
    seen: list[float | None] = []
    real = served.engine.search

    def watched(*arguments: Any, deadline: float | None = None) -> Any:
        seen.append(deadline)
        return real(*arguments, deadline=deadline)

    served.engine.search = watched  # type: ignore[method-assign, assignment]
    try:
        for body in ({"vector": [1, 0]}, {"vector": [1, 0], "timeoutMs": 5000}):
            developer.post(f"/v1/collections/{docs}/points/search", json=body).raise_for_status()
    finally:
        served.engine.search = real  # type: ignore[method-assign]
    assert seen[0] is None
    assert seen[1] is not None


def test_the_life_of_an_account(served: Served, anonymous: httpx2.Client) -> None:
    who = {"email": "Ada@Example.org", "password": PASSWORD}
    user = anonymous.post("/v1/users/register", json=who).json()["user"]
    assert user["email"] == "ada@example.org"
    assert (user["plan"], user["subscriptionStatus"]) == ("FREE", "ACTIVE")
    assert user["createdAt"].isdigit()
    failed(anonymous.post("/v1/users/register", json=who), 409, 6)
    failed(anonymous.post("/v1/users/register", json={"email": "no", "password": PASSWORD}), 400, 3)
    login = anonymous.post("/v1/users/login", json=who).json()
    assert login["user"] == user
    with served.client(login["jwtToken"]) as ada:
        assert ada.get("/v1/user/profile").json() == {"user": user}
        changed = ada.put("/v1/user/profile", json={"plan": "PAID"}).json()
        assert changed["user"]["plan"] == "PAID"
        assert ada.put("/v1/user/profile", json={"plan": 1}).json()["user"]["plan"] == "FREE"
        assert ada.put("/v1/user/profile").json()["user"]["plan"] == "PLAN_UNSPECIFIED"
        failed(ada.put("/v1/user/profile", json={"plan": "GOLD"}), 400, 3)
        renewed = ada.post("/v1/auth/refresh").json()
        assert renewed["expiresAt"].isdigit()
        failed(ada.post("/v1/user/delete", json={"password": "wrong"}), 400, 3)
        assert ada.post("/v1/user/delete", json={"password": PASSWORD}).json() == {"success": True}
        failed(ada.get("/v1/user/profile"), 401, 16)
    refusals = {anonymous.post("/v1/users/login", json=who).text for who in (who, {"email": "dev@neurograph.dev"})}
    assert len(refusals) == 1


def test_the_life_of_a_key(served: Served, anonymous: httpx2.Client) -> None:
    who = {"email": "dev@neurograph.dev", "password": "developer123"}
    with served.client(anonymous.post("/v1/users/login", json=who).json()["jwtToken"]) as developer:
        made = developer.post("/v1/keys", json={"name": "ci key"}).json()
        assert made["keyInfo"].keys() == {"keyPrefix", "userId", "createdAt", "name"}
        assert made["keyInfo"] in developer.get("/v1/keys").json()["keys"]
        prefix = made["keyInfo"]["keyPrefix"]
        sdk = developer.post("/v1/sdk-jwt", json={"apiKeyId": prefix}).json()["sdkJwt"]
        assert anonymous.get("/v1/collections", headers={"Authorization": f"Bearer {sdk}"}).status_code == 200
        valid = anonymous.post("/v1/keys/validate", json={"fullKey": made["fullKey"]}).json()
        assert (valid["valid"], valid["userId"], valid["apiKeyId"]) == (True, "developer", prefix)
        assert developer.delete(f"/v1/keys/{prefix}").json() == {"success": True}
        failed(developer.delete(f"/v1/keys/{prefix}"), 403, 7)
    none = anonymous.post("/v1/keys/validate", json={"fullKey": made["fullKey"]}).json()
    assert none == {"valid": False, "userId": "", "plan": "", "apiKeyId": ""}
    failed(anonymous.get("/v1/collections", headers={"Authorization": f"Bearer {sdk}"}), 401, 16)


def test_closed_registration_takes_administrators_only(start: Start) -> None:
    served = start(development=False)
    body = {"email": "new@example.org", "password": PASSWORD}
    owner = Principal("admin", "admin", Role.ADMIN, ROLE_SCOPES[Role.ADMIN])
    key = served.services.keys.create(Call(owner, "test"), "key", sorted(ROLE_SCOPES[Role.ADMIN]), None).secret
    with served.client() as anonymous, served.client(key) as admin:
        failed(anonymous.post("/v1/users/register", json=body), 403, 7)
        assert admin.post("/v1/users/register", json=body).json()["user"]["email"] == "new@example.org"


# ---------------------------------------------------------------- the table and the document


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_the_routes_are_those_of_the_contract() -> None:
    expected = """
        POST /v1/collections | GET /v1/collections | DELETE /v1/collections/{name}
        GET /v1/collections/{name}/status | POST /v1/collections/{collection}/points
        POST /v1/collections/{collection}/points/search | GET /v1/collections/{collection}/points/{id}
        DELETE /v1/collections/{collection}/points/{id} | PUT /v1/user/profile | POST /v1/feedback
        POST /v1/users/register | POST /v1/users/login | GET /v1/user/profile | POST /v1/user/delete
        POST /v1/auth/refresh | POST /v1/keys | GET /v1/keys | DELETE /v1/keys/{key_prefix} | POST /v1/keys/validate
        POST /v1/sdk-jwt
        POST /v1/collections/{collection}/points/search/batch | POST /v1/collections/{collection}/points/scroll
        POST /v1/collections/{collection}/points/count | POST /v1/collections/{collection}/points/delete
        POST /v1/collections/{collection}/points/upsert-if | GET /v1/collections/{name}/info | GET /v1/limits
        GET /v1/collections/{collection}/feedback
    """
    routes = {route.strip() for line in expected.strip().splitlines() for route in line.split("|")}
    assert {name_of(operation) for operation in GATEWAY_OPERATIONS} == routes


@pytest.mark.parametrize("operation", GATEWAY_OPERATIONS, ids=name_of)
def test_each_route_is_described_and_closed_unless_public(anonymous: httpx2.Client, operation: Operation) -> None:
    document = anonymous.get("/openapi.json").json()
    assert document["info"]["version"] == VERSION
    shown = document["paths"][operation.path][operation.method.lower()]
    assert shown["responses"]["200"]
    assert shown["security"] == ([] if operation.public else [{"bearer": []}, {"api_key": []}])
    path = operation.path.replace("{", "").replace("}", "")
    response = anonymous.request(operation.method, path)
    assert (response.status_code == 401) == (operation.path == "/v1/users/login" or not operation.public)
