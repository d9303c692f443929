"""A load that keeps no tokens asks for no more than their ids, and still stores what it was given."""

import numpy as np
import pytest
from scripted_server import Reply, ScriptedServer

from neurograph import InvalidResponseError, NeuroGraphClient, ValidationError
from vectrograph import RunningServer

BATCH = "/api/v1/tokens/batch"


def test_only_the_ids_come_back(vectrograph_server: RunningServer) -> None:
    vectors = np.random.default_rng(1).standard_normal((300, 256)).astype(np.float32)
    items = [{"text": f"t{n}", "embedding": vector} for n, vector in enumerate(vectors)]
    seen: list[int] = []
    with vectrograph_server.neurograph() as client:
        client.auth.me()
        before = client.metrics.snapshot().bytes_received
        result = client.tokens.create_many(
            items, keep_tokens=False, progress=lambda done, total: seen.append(done), on_error="collect"
        )
        received = client.metrics.snapshot().bytes_received - before
        assert (len(result), len(result.created_ids), seen[-1]) == (0, 300, 300)
        assert received < 300 * 256
        stored = list(client.tokens.iterate(page_size=300))
        assert [token.text for token in stored] == [f"t{n}" for n in range(300)]
        assert [token.id for token in stored] == result.created_ids
        expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found = np.stack([token.vector / np.linalg.norm(token.vector) for token in stored])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_parts_of_new_tokens_can_be_chosen(vectrograph_server: RunningServer) -> None:
    with vectrograph_server.neurograph() as client:
        client.auth.me()

        def ask(include: str) -> bytes:
            import httpx2

            token = client._executor.session.bearer()
            answer = httpx2.post(
                f"{vectrograph_server.http_url}{BATCH}",
                content=b'{"tokens": [{"text": "hello", "metadata": {"n": 1}}], "include": %b}' % include.encode(),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            return answer.content

        assert b'"text":"hello","embedding":[],"metadata":{}' in ask('["text"]')
        assert b'"text":null,"embedding":[],"metadata":{"n":1}' in ask('["metadata"]')
        assert b"VALIDATION_ERROR" in ask('["colour"]')


@pytest.mark.parametrize("tokens", [[{"text": "no id"}], ["no object"], [{"id": "7"}]])
def test_answers_without_ids_are_refused(tokens: list[object]) -> None:
    with ScriptedServer() as server:
        server.on("POST", BATCH, Reply(201, {"tokens": tokens}))
        with NeuroGraphClient(server.url, api_key="k") as client, pytest.raises(InvalidResponseError, match="id"):
            client.tokens.create_many(["a"], keep_tokens=False)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_component_that_is_no_number_is_named(wrong: float) -> None:
    vector = np.zeros(9, dtype=np.float32)
    vector[4] = wrong
    with NeuroGraphClient("http://127.0.0.1:1", api_key="k") as client:
        with pytest.raises(ValidationError) as caught:
            client.tokens.create_many([{"text": "a"}, {"text": "b", "embedding": vector}])
    assert caught.value.details["errors"][0]["field"] == "tokens.1.embedding.4"
