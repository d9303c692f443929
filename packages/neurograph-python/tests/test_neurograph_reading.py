"""The tolerant reader: every known dialect is understood, everything else is an error of ours."""

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurograph import InvalidResponseError, NeuroGraphError, RateLimitError, ValidationError
from neurograph._protocol import decoding
from neurograph._protocol.failures import failure
from neurograph.wire import Request, Response

KEY = {"key_id": "k1", "name": "mine", "key_prefix": "ng_live_ab", "created_at": "2025-12-28T10:00:00Z"}
TOKEN = {"id": 7, "text": "hello", "embedding": [0.5], "metadata": None, "created_at": "2025-12-28T10:00:00Z"}
READERS = [
    decoding.token,
    decoding.tokens,
    decoding.token_page(10, 0),
    decoding.hits,
    decoding.vectors,
    decoding.api_key,
    decoding.api_keys,
    decoding.created_api_key,
    decoding.login,
    decoding.health,
    decoding.status,
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "data", "tokens", "token", "results", "success", "error", "detail", "api_keys", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(Request("GET", "/api/v1/tokens/7?a=1"), status, headers or {}, raw)


def wrapped(data: Any) -> dict[str, Any]:
    return {"success": True, "data": data, "meta": {"request_id": "x", "version": "1.0.0"}, "error": None}


PLACES = {"L1": [1, 2, 3], "L2": None}


class TestTokens:
    @pytest.mark.parametrize("body", [TOKEN, wrapped(TOKEN), {**wrapped(None), **TOKEN}])
    def test_flat_wrapped_and_both(self, body: dict[str, Any]) -> None:
        token = decoding.token(answer(body))
        assert (token.id, token.text, token.embedding) == (7, "hello", [0.5])
        assert token.created_at == datetime(2025, 12, 28, 10, tzinfo=timezone.utc)

    def test_fields_of_the_official_server(self) -> None:
        body = wrapped({"token_id": "7", "timestamp": 1735380000, "weight": 0.5, "coordinates": PLACES})
        token = decoding.token(answer(body))
        assert (token.id, token.embedding, token.text) == (7, [], None)
        assert token.created_at is not None
        assert token.created_at.year == 2024
        assert token.weight == 0.5
        assert token.coordinates is not None
        assert {name: (level.position, level.derived) for name, level in token.coordinates.items()} == {
            "L1": ([1, 2, 3], False)
        }

    @pytest.mark.parametrize(
        ("body", "total"),
        [
            ({"tokens": [TOKEN], "total": 5, "limit": 1, "offset": 0}, 5),
            ({"items": [TOKEN], "count": 5}, 5),
            (wrapped({"tokens": [TOKEN], "total": 5}), 5),
            ({"data": [TOKEN], "meta": {"total": 5}}, 5),
            ([TOKEN], None),
        ],
    )
    def test_lists(self, body: Any, total: int | None) -> None:
        page = decoding.token_page(1, 0)(answer(body))
        assert [token.id for token in page] == [7]
        assert page.total == total

    @pytest.mark.parametrize(
        "body",
        [
            {"results": [{"token": TOKEN, "similarity": 0.9, "distance": 0.1}]},
            {"matches": [{"token": TOKEN, "score": 0.9}]},
            wrapped({"results": [{"token": {**TOKEN, "embedding": None}, "similarity": "0.9"}]}),
            [{"token": TOKEN, "similarity": 0.9}],
        ],
    )
    def test_hits(self, body: Any) -> None:
        [hit] = decoding.hits(answer(body))
        assert (hit.token.id, hit.similarity) == (7, 0.9)

    def test_a_missing_list_is_no_empty_list(self) -> None:
        with pytest.raises(InvalidResponseError, match="expected a list under 'tokens'"):
            decoding.token_page(1, 0)(answer({"keys": []}))


class TestKeys:
    @pytest.mark.parametrize(
        "body", [{"api_keys": [KEY], "total": 1}, {"keys": [KEY]}, wrapped({"keys": [KEY], "count": 1}), [KEY]]
    )
    def test_lists(self, body: Any) -> None:
        [key] = decoding.api_keys(answer(body))
        assert (key.key_id, key.is_active, key.scopes) == ("k1", True, [])

    def test_a_disabled_key_is_not_active(self) -> None:
        key = decoding.api_key(answer(wrapped({**KEY, "disabled": True, "scopes": None})))
        assert not key.is_active

    @pytest.mark.parametrize("name", ["api_key", "key_secret", "key"])
    def test_the_secret_of_a_new_key(self, name: str) -> None:
        body = {**KEY, name: "ng_live_0123456789abcdef"}
        assert decoding.created_api_key(answer(wrapped(body))).api_key == "ng_live_0123456789abcdef"
        del body["key_prefix"]
        assert decoding.created_api_key(answer(body)).key_prefix == "ng_live_0123"

    def test_a_malformed_secret_is_not_shown(self) -> None:
        body = {**KEY, "api_key": {"secret": "ng_live_0123456789abcdef"}}
        with pytest.raises(InvalidResponseError) as caught:
            decoding.created_api_key(answer(body))
        assert "0123456789" not in f"{caught.value} {caught.value.__cause__} {caught.value.details}"


def test_status_of_the_official_server() -> None:
    body = wrapped({"state": "running", "version": "0.67.0", "tokens": {"total": 3, "active": 2}, "uptime_seconds": 9})
    status = decoding.status(answer(body))
    assert (status.api_version, status.tokens_count, status.requests_total) == ("0.67.0", 3, 0)


def test_embeddings() -> None:
    read = decoding.vectors(answer({"embeddings": [[1.0], [2]], "model": "m", "dimension": 1}))
    assert read.as_lists() == [[1.0], [2]]
    with pytest.raises(InvalidResponseError):
        decoding.vectors(answer({"embeddings": [["1"]]}))


def test_success_false_is_a_failure_whatever_the_status() -> None:
    body = {"success": False, "error": {"code": "METRICS_ERROR", "message": "no metrics"}}
    with pytest.raises(NeuroGraphError) as caught:
        decoding.token(answer(body))
    assert (caught.value.error_code, caught.value.message) == ("METRICS_ERROR", "no metrics")


@pytest.mark.parametrize("reader", READERS)
@given(body=json_values | st.binary(max_size=20))
def test_nothing_that_a_server_sends_leaks_a_foreign_error(reader: Any, body: Any) -> None:
    try:
        reader(answer(body))
    except NeuroGraphError as error:
        assert error.status_code == 200
        str(error)


@given(body=json_values | st.binary(max_size=40), status=st.integers(300, 599))
def test_every_error_body_gives_the_exception_of_its_status(body: Any, status: int) -> None:
    error = failure(answer(body, status))
    assert error.status_code == status
    assert error.message
    assert isinstance(error.details, dict)


ERRORS: list[tuple[Any, str, str | None, dict[str, Any]]] = [
    ({"success": False, "error": {"code": "C", "message": "m", "details": {"a": 1}}}, "m", "C", {"a": 1}),
    ({"error": {"error_code": "C", "message": "m", "details": None}}, "m", "C", {}),
    ({"error": "m"}, "m", None, {}),
    ({"error": "invalid_grant", "message": "m"}, "m", None, {}),
    ({"detail": "m"}, "m", None, {}),
    ({"detail": {"message": "m", "errors": ["e"], "warnings": []}}, "m", None, {"errors": ["e"], "warnings": []}),
    ({"code": "C", "message": "m", "details": {"a": 1}}, "m", "C", {"a": 1}),
    ({"error_code": "C", "message": "m", "details": ["x"]}, "m", "C", {"details": ["x"]}),
    ({"type": "about:blank", "title": "t", "status": 404, "detail": "m"}, "m", None, {}),
    ({"title": "m", "status": 404}, "m", None, {}),
    (b"m\n", "m", None, {}),
    (b"<html><head><title>502 Bad\n Gateway</title></head><body>x</body></html>", "502 Bad Gateway", None, {}),
    (b"<p>one &amp; <b>two</b></p>", "one & two", None, {}),
    (b"", "404 Not Found in answer to GET /api/v1/tokens/7", None, {}),
    ({}, "404 Not Found in answer to GET /api/v1/tokens/7", None, {}),
    (None, "404 Not Found in answer to GET /api/v1/tokens/7", None, {}),
]


@pytest.mark.parametrize(("body", "message", "code", "details"), ERRORS)
def test_error_shapes(body: Any, message: str, code: str | None, details: dict[str, Any]) -> None:
    error = failure(answer(body, 404))
    assert (error.message, error.error_code, error.details) == (message, code, details)


def test_a_list_of_field_problems_reads_like_ours() -> None:
    detail = [{"loc": ["body", "text"], "msg": "Field required", "type": "missing", "input": "secret"}, "odd"]
    error = failure(answer({"detail": detail}, 422))
    assert isinstance(error, ValidationError)
    assert error.details["errors"] == [
        {"field": "body.text", "message": "Field required", "type": "missing"},
        {"field": "body", "message": "odd", "type": "value_error"},
    ]
    assert error.message == "body.text: Field required; body: odd"


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ({"retry-after": "7"}, {}, 7),
        ({"retry-after": "0"}, {}, 0),
        ({"retry-after": "1.5"}, {}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, {}, 0),
        ({"retry-after": "soon"}, {"retry_after": 4}, 4),
        ({}, {"retry_after": "4"}, 4),
        ({"x-ratelimit-reset": "9"}, {}, 9),
        ({"ratelimit-reset": "9", "x-ratelimit-reset": "1"}, {}, 9),
        ({"x-ratelimit-reset": "1000000001"}, {}, 0),
        ({}, {"retry_after": None}, None),
        ({}, {}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], details: dict[str, Any], expected: float | None) -> None:
    error = failure(answer({"error": {"message": "m", "details": details}}, 429, headers))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == expected


@pytest.mark.parametrize("header", ["x-request-id", "x-correlation-id"])
def test_the_request_id(header: str) -> None:
    assert failure(answer({}, 500, {header: "r1"})).request_id == "r1"
    assert failure(answer({"error": {"message": "m", "request_id": "r2"}}, 500, {header: "r1"})).request_id == "r2"
