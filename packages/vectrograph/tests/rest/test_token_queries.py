"""Finding, streaming and deleting tokens by what they are like, over REST."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import Start

TOKENS = "/api/v1/tokens"
QUERY = f"{TOKENS}/query"
ROWS = [("aaa", 1990), ("aab", 2000), ("abb", 2010), ("bbb", 2020)]


@pytest.fixture
def client(start: Start) -> Iterator[httpx2.Client]:
    served = start()
    with served.client(served.login("developer")) as client:
        rows = [{"text": text, "metadata": {"year": year}} for text, year in ROWS]
        assert client.post(f"{TOKENS}/batch", json={"tokens": rows}).status_code == 201
        yield client


def ids(response: httpx2.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [hit["token"]["id"] for hit in response.json()["results"]]


def post(client: httpx2.Client, body: dict[str, Any], path: str = QUERY) -> httpx2.Response:
    return client.post(path, json=body)


def test_by_text_by_vector_and_by_token_agree(client: httpx2.Client) -> None:
    vector = client.get(f"{TOKENS}/1").json()["embedding"]
    assert ids(post(client, {"text": "aaa"})) == ids(post(client, {"query_vector": vector})) == [1, 2, 3, 4]
    assert ids(post(client, {"token_id": 1})) == [2, 3, 4]


def test_exactly_one_question_is_asked(client: httpx2.Client) -> None:
    field_error(post(client, {}), "query_vector", "missing")
    field_error(post(client, {"text": "a", "token_id": 1}), "token_id")
    error_of(post(client, {"token_id": 99}), 404, "POINT_NOT_FOUND")
    error_of(post(client, {"token_id": -1}), 404, "POINT_NOT_FOUND")


def test_a_filter_leaves_what_matches(client: httpx2.Client) -> None:
    late = {"path": "year", "range": {"gte": 2005}}
    assert ids(post(client, {"text": "aaa", "filter": late})) == [3, 4]
    listed = client.get(TOKENS, params={"filter": json.dumps(late), "limit": 1}).json()
    assert ([token["id"] for token in listed["tokens"]], listed["total"]) == ([3], 2)
    error = error_of(post(client, {"text": "aaa", "filter": {"path": "year", "near": 3}}), 422, "VALIDATION_ERROR")
    assert "operator" in error["message"]
    field_error(client.get(TOKENS, params={"filter": "{"}), "filter", "json_invalid")


@pytest.mark.parametrize("question", [{"text": "aaa"}, {"token_id": 1}])
def test_an_offset_goes_on_where_the_hits_before_ended(client: httpx2.Client, question: dict[str, Any]) -> None:
    whole = ids(post(client, question))
    assert [ids(post(client, {**question, "top_k": 1, "offset": n}))[0] for n in range(len(whole))] == whole
    assert ids(post(client, {**question, "offset": 4})) == []
    for offset in (-1, 10_000):
        field_error(post(client, {**question, "offset": offset}), "offset", "out_of_range")


def test_only_the_parts_asked_for_are_sent(client: httpx2.Client) -> None:
    [hit] = post(client, {"text": "aaa", "top_k": 1, "include": ["text"]}).json()["results"]
    assert (hit["token"]["text"], hit["token"]["embedding"], hit["token"]["metadata"]) == ("aaa", [], {})
    [token] = client.get(TOKENS, params={"include": "metadata", "limit": 1}).json()["tokens"]
    assert (token["text"], token["embedding"], token["metadata"]) == (None, [], {"year": 1990})
    field_error(client.get(TOKENS, params={"include": "soul"}), "include", "enum")


def test_many_queries_are_answered_in_order(client: httpx2.Client) -> None:
    answer = post(client, {"texts": ["bbb", "aaa"], "top_k": 1}, f"{QUERY}/many").json()["results"]
    assert [hits[0]["token"]["id"] for hits in answer] == [4, 1]
    vectors = [client.get(f"{TOKENS}/{number}").json()["embedding"] for number in (2, 3)]
    answer = post(client, {"query_vectors": vectors, "top_k": 1}, f"{QUERY}/many").json()["results"]
    assert [hits[0]["token"]["id"] for hits in answer] == [2, 3]
    field_error(post(client, {"query_vectors": [[1.0], [1.0, 2.0]]}, f"{QUERY}/many"), "query_vectors")
    field_error(post(client, {}, f"{QUERY}/many"), "query_vectors", "missing")
    bad = [vectors[0], [float(n == 2) * 1e39 for n in range(8)]]
    field_error(post(client, {"query_vectors": bad}, f"{QUERY}/many"), "query_vectors.1.2")


def test_an_export_is_a_token_a_line(client: httpx2.Client) -> None:
    with client.stream("GET", f"{TOKENS}/export", params={"include": "text"}) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        rows = [json.loads(line) for line in response.iter_lines()]
    assert [(row["id"], row["text"], row["embedding"]) for row in rows] == [
        (n, text, []) for n, (text, _) in enumerate(ROWS, 1)
    ]
    some = client.get(f"{TOKENS}/export", params={"filter": '{"path": "year", "lt": 2005}'}).text.splitlines()
    assert [json.loads(line)["id"] for line in some] == [1, 2]
    assert client.head(f"{TOKENS}/export").text == ""


def test_an_export_that_fails_half_way_says_so_in_its_last_line(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    served = start()
    with served.client(served.login("developer")) as client:
        rows = [{"text": f"a{n}"} for n in range(20)]
        for _ in range(30):
            client.post(f"{TOKENS}/batch", json={"tokens": rows})
        scroll, calls = served.engine.scroll, []

        def failing(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) > 1:
                served.engine.drop(arguments[0])
            return scroll(*arguments, **options)

        monkeypatch.setattr(served.engine, "scroll", failing)
        lines = client.get(f"{TOKENS}/export").text.splitlines()
        assert len(lines) == 501
        assert json.loads(lines[-1])["error"]["code"] == "COLLECTION_NOT_FOUND"


def test_hits_come_as_lines_when_asked_for(client: httpx2.Client) -> None:
    response = client.post(QUERY, json={"text": "aaa"}, headers={"Accept": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["token"]["id"] for line in response.text.splitlines()] == [1, 2, 3, 4]


def test_many_are_deleted_by_id_or_by_filter(client: httpx2.Client) -> None:
    delete = f"{TOKENS}/delete"
    assert post(client, {"ids": [2, 77, 2, -5]}, delete).json() == {"deleted": 1, "missing": [77, -5]}
    assert post(client, {"filter": {"path": "year", "gt": 2000}}, delete).json() == {"deleted": 2, "missing": []}
    assert [token["id"] for token in client.get(TOKENS).json()["tokens"]] == [1]
    field_error(post(client, {}, delete), "ids", "missing")
    assert post(client, {"ids": []}, delete).json() == {"deleted": 0, "missing": []}


class TestIdempotencyKeys:
    @pytest.mark.parametrize(
        ("path", "body"), [(TOKENS, {"text": "once"}), (f"{TOKENS}/batch", {"tokens": [{"text": "once"}]})]
    )
    def test_a_repeat_gets_the_first_answer_and_stores_nothing(
        self, client: httpx2.Client, path: str, body: dict[str, Any]
    ) -> None:
        first, again = (client.post(path, json=body, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert client.get(TOKENS).json()["total"] == len(ROWS) + 1

    def test_another_body_under_the_same_key_is_refused(self, client: httpx2.Client) -> None:
        headers = {"Idempotency-Key": "k-2"}
        client.post(TOKENS, json={"text": "one"}, headers=headers)
        error_of(client.post(TOKENS, json={"text": "two"}, headers=headers), 409, "IDEMPOTENCY_KEY_REUSED")
        assert client.get(TOKENS).json()["total"] == len(ROWS) + 1

    def test_a_deletion_is_remembered_too(self, client: httpx2.Client) -> None:
        headers = {"Idempotency-Key": "k-3"}
        answers = [client.post(f"{TOKENS}/delete", json={"ids": [1]}, headers=headers).json() for _ in range(2)]
        assert answers == [{"deleted": 1, "missing": []}] * 2

    @pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
    def test_a_key_that_cannot_be_kept_is_refused(self, client: httpx2.Client, key: str) -> None:
        response = client.post(TOKENS, json={"text": "x"}, headers={b"Idempotency-Key": key.encode()})
        field_error(response, "Idempotency-Key")

    def test_callers_do_not_share_keys(self, start: Start) -> None:
        served = start()
        numbers = set()
        for user in ("admin", "developer"):
            with served.client(served.login(user)) as client:
                response = client.post(TOKENS, json={"text": "mine"}, headers={"Idempotency-Key": "same"})
                numbers.add(response.json()["id"])
        assert len(numbers) == 2


class TestRotation:
    def test_the_new_key_works_and_the_old_one_does_not(self, start: Start) -> None:
        served = start()
        with served.client(served.login("developer")) as client:
            old = client.post("/api/v1/api-keys", json={"name": "n", "scopes": ["tokens:read"]}).json()
            new = client.post(f"/api/v1/api-keys/{old['key_id']}/rotate")
            assert new.status_code == 201
            assert (new.json()["name"], new.json()["scopes"]) == ("n", ["tokens:read"])
            error_of(client.post(f"/api/v1/api-keys/{old['key_id']}/rotate", json={}), 409, "CONFLICT")
        with served.client(old["api_key"]) as stale, served.client(new.json()["api_key"]) as fresh:
            error_of(stale.get(TOKENS), 401, "INVALID_API_KEY")
            assert fresh.get(TOKENS).status_code == 200

    def test_with_an_overlap_both_work_and_the_old_one_has_an_end(self, start: Start) -> None:
        served = start()
        with served.client(served.login("developer")) as client:
            old = client.post("/api/v1/api-keys", json={"name": "n"}).json()
            path = f"/api/v1/api-keys/{old['key_id']}"
            new = client.post(f"{path}/rotate", json={"overlap_seconds": 60}).json()
            assert client.get(path).json()["expires_at"] is not None
            assert new["expires_at"] is None
            field_error(client.post(f"{path}/rotate", json={"overlap_seconds": -1}), "overlap_seconds")
        for key in (old, new):
            with served.client(key["api_key"]) as either:
                assert either.get(TOKENS).status_code == 200
