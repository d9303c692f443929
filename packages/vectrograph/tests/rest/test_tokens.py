"""Tokens over the wire: shapes that official clients read, the contract, and refusals that write nothing."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import DIMENSION, LIMITS, LetterEmbedder, Served, Start

URL = "/api/v1/tokens"


@pytest.fixture
def fresh(start: Start) -> Iterator[httpx2.Client]:
    """Provide a developer's client of a server without tokens."""
    served = start()
    with served.client(served.login("developer")) as client:
        yield client


def create(client: httpx2.Client, text: str, **more: Any) -> dict[str, Any]:
    response = client.post(URL, json={"text": text, **more})
    assert response.status_code == 201, response.text
    token: dict[str, Any] = response.json()
    return token


def embedding_of(text: str) -> list[float]:
    values: list[float] = LetterEmbedder().embed([text])[0].tolist()
    return values


# ---------------------------------------------------------------- what works


def test_a_created_token_is_flat_and_whole(fresh: httpx2.Client) -> None:
    token = create(fresh, "hello world", metadata={"n": 1, "deep": {"list": [1, None, True, "x"]}})
    assert token.keys() == {"id", "text", "embedding", "metadata", "created_at", "updated_at"}
    assert token["id"] == 1
    assert token["text"] == "hello world"
    assert token["embedding"] == pytest.approx(embedding_of("hello world"), abs=1e-7)
    assert token["metadata"] == {"n": 1, "deep": {"list": [1, None, True, "x"]}}
    assert token["created_at"] == token["updated_at"]
    assert token["created_at"].endswith("Z")
    assert datetime.fromisoformat(token["created_at"]).utcoffset() == timedelta(0)
    assert fresh.get(f"{URL}/1").json() == token


def test_null_metadata_is_accepted_as_official_clients_send_it(fresh: httpx2.Client) -> None:
    assert create(fresh, "a", metadata=None)["metadata"] == {}


def test_an_embedding_of_ones_own_is_kept_exactly(fresh: httpx2.Client) -> None:
    embedding = [0.1, -2.5, 3, 0, 1e-3, 7.25, -1, 100]
    token = create(fresh, "a", embedding=embedding)
    assert token["embedding"] == pytest.approx(embedding, rel=1e-6)
    bare = fresh.post(URL, json={"embedding": embedding})
    assert bare.status_code == 201
    assert bare.json()["text"] is None


def test_a_list_tells_total_limit_and_offset(fresh: httpx2.Client) -> None:
    ids = [create(fresh, text)["id"] for text in ("a", "b", "c", "d", "e")]
    page = fresh.get(URL, params={"limit": 2, "offset": 1}).json()
    assert page.keys() == {"tokens", "total", "limit", "offset"}
    assert [token["id"] for token in page["tokens"]] == ids[1:3]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
    assert fresh.get(URL).json()["limit"] == LIMITS.max_page
    assert fresh.get(URL, params={"limit": 30, "offset": 5}).json()["tokens"] == []


def test_many_tokens_are_created_in_order(fresh: httpx2.Client) -> None:
    items = [{"text": "one"}, {"text": "two", "metadata": {"k": 2}}, {"text": "three", "embedding": [1] * DIMENSION}]
    response = fresh.post(f"{URL}/batch", json={"tokens": items})
    assert response.status_code == 201
    tokens = response.json()["tokens"]
    assert [token["id"] for token in tokens] == [1, 2, 3]
    assert [token["text"] for token in tokens] == ["one", "two", "three"]
    assert tokens[1]["metadata"] == {"k": 2}
    assert tokens[2]["embedding"] == [1.0] * DIMENSION


def test_a_token_finds_itself_first(fresh: httpx2.Client) -> None:
    create(fresh, "zzzz")
    token = create(fresh, "hello")
    twin = create(fresh, "hello")
    results = fresh.post(f"{URL}/query", json={"query_vector": token["embedding"]}).json()["results"]
    assert [hit["token"]["id"] for hit in results] == [twin["id"], token["id"], 1]
    assert results[0].keys() == {"token", "similarity", "distance"}
    assert results[0]["token"] == twin
    assert results[0]["similarity"] == pytest.approx(1, abs=1e-6)
    for hit in results:
        assert hit["similarity"] == pytest.approx(1 - hit["distance"], abs=1e-6)


def test_top_k_and_threshold_narrow_the_results(fresh: httpx2.Client) -> None:
    for text in ("hello", "hallo", "quartz"):
        create(fresh, text)
    vector = embedding_of("hello")

    def results(**asked: Any) -> list[Any]:
        response = fresh.post(f"{URL}/query", json={"query_vector": vector, **asked})
        assert response.status_code == 200, response.text
        found: list[Any] = response.json()["results"]
        return found

    assert len(results(top_k=2)) == 2
    assert len(results(top_k=0)) == len(results(top_k=None)) == len(results(top_k=50)) == 3
    similarities = [hit["similarity"] for hit in results()]
    assert similarities == sorted(similarities, reverse=True)
    assert len(results(threshold=similarities[1])) == 2
    assert len(results(threshold=None)) == 3


def test_an_update_changes_what_it_names_only(fresh: httpx2.Client) -> None:
    token = create(fresh, "hello", metadata={"a": 1})
    path = f"{URL}/{token['id']}"

    assert fresh.put(path, json={}).json() == token

    replaced = fresh.put(path, json={"metadata": {"b": 2}}).json()
    assert (replaced["text"], replaced["metadata"]) == ("hello", {"b": 2})
    assert replaced["embedding"] == token["embedding"]
    assert replaced["created_at"] == token["created_at"]
    assert replaced["updated_at"] > token["updated_at"]

    renamed = fresh.put(path, json={"text": "zebra"}).json()
    assert renamed["metadata"] == {"b": 2}
    assert renamed["embedding"] == pytest.approx(embedding_of("zebra"), abs=1e-6)

    placed = fresh.put(path, json={"text": "named", "embedding": [2] * DIMENSION}).json()
    assert (placed["text"], placed["embedding"]) == ("named", [2.0] * DIMENSION)

    cleared = fresh.put(path, json={"text": None, "metadata": None}).json()
    assert (cleared["text"], cleared["metadata"], cleared["embedding"]) == (None, {}, [2.0] * DIMENSION)
    assert fresh.get(path).json() == cleared


def test_a_deleted_token_is_gone_and_its_id_is_not_given_again(fresh: httpx2.Client) -> None:
    token = create(fresh, "hello")
    response = fresh.delete(f"{URL}/{token['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
    error_of(fresh.get(f"{URL}/{token['id']}"), 404, "POINT_NOT_FOUND")
    error_of(fresh.delete(f"{URL}/{token['id']}"), 404, "POINT_NOT_FOUND")
    assert create(fresh, "next")["id"] > token["id"]


def test_texts_become_vectors_without_being_stored(fresh: httpx2.Client) -> None:
    response = fresh.post("/api/v1/embeddings", json={"texts": ["hello", "zebra"]})
    assert response.status_code == 200
    body = response.json()
    assert body.keys() == {"embeddings", "model", "dimension"}
    assert (body["model"], body["dimension"]) == ("letters-8", DIMENSION)
    assert [len(row) for row in body["embeddings"]] == [DIMENSION, DIMENSION]
    assert body["embeddings"][0] == create(fresh, "hello")["embedding"]
    assert fresh.get(URL).json()["total"] == 1


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("token_id", ["0", "-1", "424242", str(2**53), "9" * 20])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_unknown_ids_are_404(developer: httpx2.Client, method: str, token_id: str) -> None:
    body = {"text": "x"} if method == "PUT" else None
    error = error_of(developer.request(method, f"{URL}/{token_id}", json=body), 404, "POINT_NOT_FOUND")
    assert token_id in error["message"]


@pytest.mark.parametrize("token_id", ["abc", "1.5", "1e3", "9" * 21, "%20"])
def test_ids_that_are_no_numbers_are_422(developer: httpx2.Client, token_id: str) -> None:
    field_error(developer.get(f"{URL}/{token_id}"), "token_id", "type_error")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "ten"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": str(LIMITS.max_page + 1)}, "limit"),
        ({"limit": "1", "offset": "-1"}, "offset"),
        ({"limit": "1", "offset": "x"}, "offset"),
        ({"limit": "1", "offset": "9" * 30}, "offset"),
    ],
)
def test_pages_out_of_range_are_refused(developer: httpx2.Client, params: dict[str, str], field: str) -> None:
    field_error(developer.get(URL, params=params), field)


GOOD = [0.5] * DIMENSION
BAD_TOKENS = [
    ({}, "text"),
    ({"text": ""}, "text"),
    ({"text": "   "}, "text"),
    ({"text": 5}, "text"),
    ({"text": ["a"]}, "text"),
    ({"text": "x" * (LIMITS.max_text_bytes + 1)}, "text"),
    ({"text": "é" * (LIMITS.max_text_bytes // 2 + 1)}, "text"),
    ({"text": "a", "metadata": "b"}, "metadata"),
    ({"text": "a", "metadata": [1]}, "metadata"),
    ({"text": "a", "metdata": {}}, "metdata"),
    ({"text": "a", "embedding": "b"}, "embedding"),
    ({"text": "a", "embedding": [1, "2", *GOOD[2:]]}, "embedding.1"),
    ({"text": "a", "embedding": [True, *GOOD[1:]]}, "embedding.0"),
    ({"text": "a", "embedding": [None, *GOOD[1:]]}, "embedding.0"),
    ({"text": "a", "embedding": []}, "embedding"),
    ({"text": "a", "embedding": GOOD[:-1]}, "embedding"),
    ({"text": "a", "embedding": [*GOOD, 1]}, "embedding"),
    ({"text": "a", "embedding": [0, 0, 1e39, *GOOD[3:]]}, "embedding.2"),
]


@pytest.mark.parametrize(("body", "field"), BAD_TOKENS)
def test_a_token_that_is_not_acceptable_is_refused(developer: httpx2.Client, body: dict[str, Any], field: str) -> None:
    total = developer.get(URL).json()["total"]
    assert field_error(developer.post(URL, json=body), field)
    assert developer.get(URL).json()["total"] == total


@pytest.mark.parametrize(("body", "field"), [pair for pair in BAD_TOKENS if pair[0]])
def test_one_bad_token_of_a_batch_refuses_all(developer: httpx2.Client, body: dict[str, Any], field: str) -> None:
    total = developer.get(URL).json()["total"]
    response = developer.post(f"{URL}/batch", json={"tokens": [{"text": "fine"}, {"text": "fine too"}, body]})
    field_error(response, f"tokens.2.{field}")
    assert developer.get(URL).json()["total"] == total


@pytest.mark.parametrize(("body", "field"), [pair for pair in BAD_TOKENS if pair[0]])
def test_an_update_that_is_not_acceptable_changes_nothing(
    developer: httpx2.Client, body: dict[str, Any], field: str
) -> None:
    token = create(developer, "as it was", metadata={"kept": True})
    field_error(developer.put(f"{URL}/{token['id']}", json={"metadata": {}, **body}), field)
    assert developer.get(f"{URL}/{token['id']}").json() == token


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(developer: httpx2.Client, literal: str) -> None:
    body = '{"query_vector": [%s]}' % ", ".join([literal] * DIMENSION)  # noqa: UP031  (braces)
    response = developer.post(f"{URL}/query", content=body, headers={"Content-Type": "application/json"})
    field_error(response, "body", "json_invalid")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"query_vector": []}, "query_vector"),
        ({"query_vector": GOOD[:-1]}, "query_vector"),
        ({"query_vector": [*GOOD, 1.0]}, "query_vector"),
        ({"query_vector": [1e39, *GOOD[1:]]}, "query_vector.0"),
        ({"query_vector": ["1", *GOOD[1:]]}, "query_vector.0"),
        ({"query_vector": None}, "query_vector"),
        ({}, "query_vector"),
        ({"query_vector": GOOD, "top_k": -1}, "top_k"),
        ({"query_vector": GOOD, "top_k": LIMITS.max_top_k + 1}, "top_k"),
        ({"query_vector": GOOD, "top_k": 2**70}, "top_k"),
        ({"query_vector": GOOD, "top_k": 1.5}, "top_k"),
        ({"query_vector": GOOD, "top_k": "5"}, "top_k"),
        ({"query_vector": GOOD, "threshold": "high"}, "threshold"),
        ({"query_vector": GOOD, "limit": 5}, "limit"),
    ],
)
def test_questions_that_make_no_sense_are_refused(developer: httpx2.Client, asked: Any, field: str) -> None:
    field_error(developer.post(f"{URL}/query", json=asked), field)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"{URL}/batch", {"tokens": []}, "tokens"),
        (f"{URL}/batch", {}, "tokens"),
        (f"{URL}/batch", {"tokens": ["a"]}, "tokens.0"),
        ("/api/v1/embeddings", {"texts": []}, "texts"),
        ("/api/v1/embeddings", {"texts": "abc"}, "texts"),
        ("/api/v1/embeddings", {"texts": ["a", ""]}, "texts.1"),
        ("/api/v1/embeddings", {"texts": ["a", 7]}, "texts.1"),
    ],
)
def test_batches_that_are_not_acceptable_are_refused(
    developer: httpx2.Client, path: str, body: Any, field: str
) -> None:
    field_error(developer.post(path, json=body), field)


@pytest.mark.parametrize(
    ("path", "name", "item"), [(f"{URL}/batch", "tokens", {"text": "a"}), ("/api/v1/embeddings", "texts", "a")]
)
def test_batches_over_the_limit_are_413(developer: httpx2.Client, path: str, name: str, item: Any) -> None:
    assert developer.post(path, json={name: [item] * LIMITS.max_batch}).status_code in (200, 201)
    error = error_of(developer.post(path, json={name: [item] * (LIMITS.max_batch + 1)}), 413, "REQUEST_TOO_LARGE")
    assert error["details"]["limit"] == LIMITS.max_batch


WRITES = [
    ("POST", URL),
    ("POST", f"{URL}/batch"),
    ("POST", f"{URL}/query"),
    ("PUT", f"{URL}/1"),
    ("POST", "/api/v1/embeddings"),
]


@pytest.mark.parametrize("route", WRITES)
@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"\xff", b'"text"'])
def test_malformed_json_is_422(developer: httpx2.Client, route: tuple[str, str], body: bytes) -> None:
    response = developer.request(*route, content=body, headers={"Content-Type": "application/json"})
    field_error(response, "body")


def test_metadata_over_its_limit_is_413(start: Start) -> None:
    served = start()
    with served.client(served.login("developer")) as client:
        limit = served.services.limits.max_payload_bytes
        assert limit > LIMITS.max_body_bytes, "the body limit would be met first"
    small = start(limits=type(LIMITS)(max_payload_bytes=100))
    with small.client(small.login("developer")) as client:
        error = error_of(client.post(URL, json={"text": "a", "metadata": {"k": "x" * 100}}), 413, "REQUEST_TOO_LARGE")
        assert error["details"]["limit"] == 100
        assert client.get(URL).json()["total"] == 0


def test_deeply_nested_metadata_is_refused_or_kept_but_never_breaks(developer: httpx2.Client) -> None:
    for depth in (100, 400, 900, 2000):
        body = b'{"text":"deep","metadata":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        response = developer.post(URL, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code in (201, 422), response.text
        if response.status_code == 201:
            assert developer.get(f"{URL}/{response.json()['id']}").content == response.content


def test_numbers_in_metadata_survive(developer: httpx2.Client) -> None:
    metadata = {"big": 2**53 + 1, "tiny": 5e-324, "negative zero": -0.0, "text": "\u0000\U0001f600"}
    stored = create(developer, "numbers", metadata=metadata)["metadata"]
    assert stored == metadata
    assert math.copysign(1, stored["negative zero"]) == -1


def test_tokens_of_many_clients_at_once_are_all_there(served: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    credential = served.login("developer")

    def work(number: int) -> list[int]:
        with served.client(credential) as client:
            return [create(client, f"client {number} token {each}")["id"] for each in range(5)]

    with ThreadPoolExecutor(8) as pool:
        ids = [token_id for made in pool.map(work, range(8)) for token_id in made]
    assert len(set(ids)) == 40
    with served.client(credential) as client:
        assert all(client.get(f"{URL}/{token_id}").status_code == 200 for token_id in ids)
