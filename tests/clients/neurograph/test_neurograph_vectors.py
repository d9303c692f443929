# Generated from test_async_neurograph_vectors.py by tools/unasync.py; do not edit.
"""Vectors of the synchronous client: what travels as float32, what a caller gets, and servers that know JSON only."""

import copy
import json
import pickle
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from client_setup import QUERY, TOKEN, TOKENS, error_reply, scripted, with_key
from scripted_server import Arrived, Reply, ScriptedServer, token_body

from neurograph import NeuroGraphClient, NotFoundError, Token, ValidationError
from neurograph._protocol.frames import VECTORS
from neurograph.middleware import Handler
from neurograph.wire import Request, Response
from vectrograph import RunningServer, running

server = pytest.fixture(scripted)
DIMENSION = 256
RNG = np.random.default_rng(5)


def vectors(count: int) -> Any:
    return RNG.normal(size=(count, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


class Ears:
    """Middleware that notes the media types of what is sent and answered."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, request: Request, call_next: Handler) -> Response:
        response = call_next(request)
        if request.target.startswith(TOKENS):
            sent = request.content_type if request.body else ""
            self.heard.append((sent, response.headers.get("content-type", "")))
        return response


def forbid_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, who makes Python floats of a vector fails."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a vector became Python floats")

    for place in (
        "_protocol.vector_bodies.vector",
        "_bulk.items.vector",
        "_bulk.batches.to_list",
        "models.to_list",
        "_protocol.vectors.to_list",
    ):
        monkeypatch.setattr(f"neurograph.{place}", refuse)


class TestFrames:
    def test_arrays_go_and_come_without_a_python_float(
        self, house: RunningServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows, ears = vectors(4), Ears()
        forbid_floats(monkeypatch)
        with house.neurograph(middleware=[ears]) as client:
            one = client.tokens.create("one", embedding=rows[0])
            many = client.tokens.create_many({"text": f"n{n}", "embedding": rows[n]} for n in (1, 2))
            changed = client.tokens.update(one.id, embedding=rows[3])
            read = client.tokens.get(many[0].id)
            [listed] = [token for token in client.tokens.list() if token.id == many[1].id]
            [hit] = client.tokens.query(rows[3], top_k=1)
            [[first], [second]] = client.tokens.query_many(rows[1:3], top_k=1)
            streamed = {token.id: token.vector for token in client.tokens.stream()}
            [near] = list(client.tokens.query_stream(rows[1], top_k=1))
            made = client.embeddings.create(["one", "two"], as_array=True)
        for token, row in ((one, 0), (many[0], 1), (many[1], 2), (changed, 3), (read, 1), (listed, 2), (hit.token, 3)):
            assert token.vector.dtype == np.float32
            assert token.vector.tobytes() == rows[row].tobytes()
        assert [first.token.id, second.token.id, near.token.id] == [many[0].id, many[1].id, many[0].id]
        assert streamed[many[1].id].tobytes() == rows[2].tobytes()
        assert made.shape == (2, DIMENSION)
        assert made.dtype == np.float32
        assert {sent for sent, _ in ears.heard} == {"", VECTORS}
        assert {answered for _, answered in ears.heard} == {VECTORS}

    def test_lists_become_frames_once_the_server_is_known(self, house: RunningServer) -> None:
        ears, rows = Ears(), vectors(2).tolist()
        with house.neurograph(middleware=[ears]) as client:
            first = client.tokens.create("a", embedding=rows[0])
            second = client.tokens.create("b", embedding=rows[1])
            assert [first.embedding, second.embedding] == rows
        assert ears.heard == [("application/json", VECTORS), (VECTORS, VECTORS)]

    @pytest.mark.parametrize("kind", [list, np.array])
    def test_a_key_of_ones_own_holds_before_and_after(self, house: RunningServer, kind: Any) -> None:
        row, name = kind(vectors(1)[0].tolist()), f"mine-{kind.__name__}"
        with house.neurograph() as client:
            first = client.tokens.create("a", embedding=row, idempotency_key=name)
            client.tokens.get(first.id)
            again = client.tokens.create("a", embedding=row, idempotency_key=name)
        assert again.id == first.id

    def test_a_large_load_asks_first_and_then_sends_frames(self, house: RunningServer) -> None:
        ears, rows = Ears(), vectors(150).tolist()
        with house.neurograph(middleware=[ears]) as client:
            created = client.tokens.create_many([{"text": "x", "embedding": row} for row in rows])
            assert [token.embedding for token in created] == rows
        assert ears.heard == [("application/json", VECTORS)]  # lists that were read before anybody was heard
        with house.neurograph(middleware=[ears]) as client:
            client.tokens.create_many([{"text": "x", "embedding": array("f", row)} for row in rows])
        assert ears.heard[1:] == [(VECTORS, VECTORS)]

    def test_errors_are_those_of_json(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            for call, field in (
                (lambda: client.tokens.create("a", embedding=np.zeros(3, np.float32)), "embedding"),
                (lambda: client.tokens.query(np.zeros(3)), "query_vector"),
                (lambda: client.tokens.create_many([{"text": "a", "embedding": np.zeros(3)}]), "tokens.0.embedding"),
            ):
                with pytest.raises(ValidationError) as caught:
                    call()
                assert caught.value.status_code == 422
                assert caught.value.details["errors"][0]["field"] == field
            with pytest.raises(ValidationError, match=r"query_vector\.1 is nan"):
                client.tokens.query(np.array([1, np.nan]))
            ragged = [np.zeros(DIMENSION), np.zeros(DIMENSION - 1)]
            with pytest.raises(ValidationError) as caught:
                client.tokens.query_many(ragged)
            assert caught.value.status_code == 422
            with pytest.raises(NotFoundError):
                client.tokens.update(10**9, embedding=vectors(1)[0])

    def test_a_buffer_that_is_used_again_is_read_in_time(self, house: RunningServer) -> None:
        buffer, rows = np.zeros(DIMENSION, np.float32), vectors(3)

        def items() -> Iterator[dict[str, Any]]:
            for row in rows:
                buffer[:] = row
                yield {"text": "reused", "embedding": buffer}

        with house.neurograph() as client:
            created = client.tokens.create_many(items())
        assert [token.vector.tobytes() for token in created] == [row.tobytes() for row in rows]


class TestOldServers:
    """Servers that answer a body they cannot read with 415, and those that take every body for JSON."""

    @pytest.mark.parametrize("status", [415, 422, 400])
    def test_they_get_json_and_are_remembered(self, server: ScriptedServer, status: int) -> None:
        def create(seen: Arrived) -> Reply:
            if seen.headers["content-type"] != "application/json":
                return error_reply(status)
            return Reply(201, token_body())

        server.on("POST", TOKENS, create)
        with with_key(server) as client:
            for _ in range(2):
                token = client.tokens.create("a", embedding=np.array([0.5, -1], np.float32))
                assert token.embedding == [0.5, -1.0]
        sent = [seen.headers["content-type"] for seen in server.arrived]
        assert sent == [VECTORS, "application/json", "application/json"]
        assert server.arrived[1].json == {"text": "a", "embedding": [0.5, -1.0]}
        keys = [seen.headers["idempotency-key"] for seen in server.arrived]
        assert keys[0] == keys[1] != keys[2]

    def test_one_that_answered_in_json_is_never_sent_a_frame(self, server: ScriptedServer) -> None:
        server.on("POST", QUERY, Reply(body={"results": []}))
        with with_key(server) as client:
            client.tokens.get(7)
            client.tokens.query(np.array([0.5, -1], np.float32))
        assert server.arrived[-1].json == {"query_vector": [0.5, -1.0], "top_k": 10}

    def test_batches_keep_their_vectors(self, server: ScriptedServer) -> None:
        def create(seen: Arrived) -> Reply:
            if seen.headers["content-type"] != "application/json":
                return error_reply(415)
            return Reply(201, {"tokens": [token_body(n, **row) for n, row in enumerate(seen.json["tokens"])]})

        server.on("POST", f"{TOKENS}/batch", create)
        with with_key(server) as client:
            created = client.tokens.create_many(
                [{"text": "a", "embedding": array("f", [0.5, 2])}, "b", {"text": "c", "embedding": [0.1]}]
            )
        assert [seen.headers["content-type"] for seen in server.arrived] == ["application/json"]  # a list among them
        assert [token.embedding for token in created] == [[0.5, 2.0], [0.5, -1.0], [0.1]]

    def test_other_failures_are_told_at_once(self, server: ScriptedServer) -> None:
        server.on("PUT", TOKEN, error_reply(404))
        with with_key(server) as client:
            with pytest.raises(NotFoundError):
                client.tokens.update(7, embedding=np.array([1], np.float32))
        assert server.count("PUT", TOKEN) == 1


class TestTokens:
    """A token whose embedding came packed is the same as one whose embedding came as JSON."""

    @pytest.fixture
    def pair(self, house: RunningServer) -> tuple[Token, Token]:
        with house.neurograph() as client:
            token = client.tokens.create("same", metadata={"a": 1}, embedding=vectors(1)[0])
            packed = client.tokens.get(token.id)
            listed = Token.model_validate_json(token.model_dump_json())
        return packed, listed

    @pytest.mark.parametrize(
        "look",
        [
            lambda token: token.embedding,
            lambda token: (token.embedding[:5], len(token.embedding), sum(token.embedding)),
            lambda token: json.dumps(token.embedding),
            lambda token: token.model_dump(),
            lambda token: token.model_dump_json(),
            lambda token: list(token.model_dump()),
            dict,
            repr,
            lambda token: token.vector.tolist(),
            lambda token: pickle.loads(pickle.dumps(token)).embedding,  # noqa: S301 - our own
            lambda token: copy.copy(token).embedding,
            lambda token: copy.deepcopy(token).embedding,
            lambda token: token.model_copy(update={"text": "other"}).embedding,
        ],
    )
    def test_they_look_alike(self, pair: tuple[Token, Token], look: Callable[[Token], Any]) -> None:
        packed, listed = pair
        assert look(packed) == look(listed)

    def test_it_is_a_list(self, pair: tuple[Token, Token]) -> None:
        packed, listed = pair
        assert packed == listed
        assert type(packed.embedding) is list
        assert packed.embedding is packed.embedding
        packed.embedding[0] = 7.0
        assert packed.vector[0] == 7.0
        packed.embedding = [1.0]
        assert packed.vector.tolist() == [1.0]

    def test_what_was_not_asked_for_is_empty(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            client.tokens.create("bare")
            [token] = client.tokens.list(limit=1, include=["text"])
        assert token.embedding == []
        assert token.vector.shape == (0,)


def test_embeddings_as_lists_and_as_an_array_agree(house: RunningServer) -> None:
    with house.neurograph() as client:
        lists = client.embeddings.create(["a", "b", "c"])
        assert (client.embeddings.create(["a", "b", "c"], as_array=True)).tolist() == lists
        assert (client.embeddings.create([], as_array=True)).shape == (0, 0)
        assert client.embeddings.create([]) == []


def test_the_mock_speaks_json_with_arrays() -> None:
    from neurograph.testing import MockNeuroGraphClient

    with MockNeuroGraphClient(dimension=2) as client:
        token = client.tokens.create("a", embedding=np.array([0.5, -1], np.float32))
        assert token.embedding == [0.5, -1.0]
        assert isinstance(client, NeuroGraphClient)
