# Generated from test_async_neurograph_surface.py by tools/unasync.py; do not edit.
"""Every call of the synchronous client against the real server: finding, paging, streaming, keys, the own account."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neurograph import (
    AuthenticationError,
    AuthorizationError,
    CDNAConfig,
    CDNAUpdate,
    ConflictError,
    ConnectionError,
    NeuroGraphClient,
    NotFoundError,
    ValidationError,
    each,
    field,
)
from vectrograph import RunningServer, running

ROWS = [
    {"text": "a red apple", "metadata": {"year": 1990, "tags": ["fruit", "red"]}},
    {"text": "a green apple", "metadata": {"year": 2000, "tags": ["fruit"]}},
    {"text": "a red car", "metadata": {"year": 2010, "tags": ["red"], "owner": {"name": "Ann"}}},
    {"text": "the night train", "metadata": {"year": 2020, "tags": []}},
]


@pytest.fixture(scope="module")
def house() -> Iterator[RunningServer]:
    with running() as server:
        with server.neurograph() as client:
            client.tokens.create_many(ROWS)
        yield server


class TestFinding:
    def test_by_vector_text_and_token(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            token = client.tokens.get(1)
            by_vector = client.tokens.query(token.embedding, top_k=2)
            by_text = client.tokens.query(text="a red apple", top_k=2)
            assert [hit.token.id for hit in by_vector] == [hit.token.id for hit in by_text] == [1, 2]
            assert [hit.token.id for hit in client.tokens.query(token_id=1, top_k=1)] == [2]
            with pytest.raises(NotFoundError):
                client.tokens.query(token_id=999)
            with pytest.raises(ValidationError, match="exactly one"):
                client.tokens.query()

    @pytest.mark.parametrize(
        ("condition", "ids"),
        [
            ({"path": "year", "range": {"gte": 2000}}, {2, 3, 4}),
            (field("year") >= 2000, {2, 3, 4}),
            ((field("year") < 2015) & field("tags").any(each() == "red"), {1, 3}),
            (~field("tags").any(each() == "fruit"), {3, 4}),
            (field("year").between(1990, 2000) | (field("owner", "name") == "Ann"), {1, 2, 3}),
            (field("year").is_in([1990, 2020]) & {"path": "tags", "any": {"eq": "fruit"}}, {1}),
            (field("owner").exists(), {3}),
            (field("owner", "name").starts_with("an", fold_case=True), {3}),
            (field("year") != 1990, {2, 3, 4}),
        ],
    )
    def test_filters_mean_the_same_everywhere(self, house: RunningServer, condition: object, ids: set[int]) -> None:
        with house.neurograph() as client:
            found = client.tokens.query(text="apple", filter=condition)  # type: ignore[arg-type]
            assert {hit.token.id for hit in found} == ids
            listed = client.tokens.list(filter=condition)  # type: ignore[arg-type]
            assert ({token.id for token in listed}, listed.total) == (ids, len(ids))
            streamed = {token.id for token in client.tokens.stream(filter=condition)}  # type: ignore[arg-type]
            assert streamed == ids

    def test_offset_and_include(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            whole = [hit.token.id for hit in client.tokens.query(text="apple")]
            [second] = client.tokens.query(text="apple", top_k=1, offset=1, include=["text"])
            assert second.token.id == whole[1]
            assert second.token.text is not None
            assert (second.token.embedding, second.token.metadata) == ([], {})

    def test_many_at_once(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            one, other = client.tokens.query_many(texts=["a red apple", "the night train"], top_k=1)
            assert (one[0].token.id, other[0].token.id) == (1, 4)
            matrix = np.array([(client.tokens.get(number)).embedding for number in (2, 3)], dtype="float32")
            found = client.tokens.query_many(matrix, top_k=1)
            assert [hits[0].token.id for hits in found] == [2, 3]
            with pytest.raises(ValidationError, match=r"query_vectors\.1\.0"):
                client.tokens.query_many([[1.0], [float("nan")]])

    def test_hits_as_a_stream(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            streamed = list(client.tokens.query_stream(text="a red apple", top_k=3))
            assert streamed == client.tokens.query(text="a red apple", top_k=3)


class TestWalking:
    def test_pages_lead_to_the_next(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            page = client.tokens.list(limit=3, filter=field("year") > 0)
            assert ([token.id for token in page], page.has_more) == ([1, 2, 3], True)
            page = page.next_page()
            assert ([token.id for token in page], page.has_more) == ([4], False)
            assert len(page.next_page()) == 0

    def test_a_walk_with_a_filter(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            walked = list(client.tokens.iterate(2, filter=field("year") >= 2000, include=["text"]))
            assert [(token.id, token.embedding) for token in walked] == [(2, []), (3, []), (4, [])]

    def test_a_stream_that_is_left_early_gives_its_connection_back(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            for token in client.tokens.stream():
                assert token.id == 1
                break
            assert (client.tokens.get(1)).id == 1

    def test_an_export_into_a_file(self, house: RunningServer, tmp_path: Path) -> None:
        with house.neurograph() as client:
            assert client.tokens.export(tmp_path / "all.ndjson", include=["text", "metadata"]) == len(ROWS)
            memory = io.BytesIO()
            assert client.tokens.export(memory, filter=field("year") < 2000) == 1
        rows = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
        assert [{"text": row["text"], "metadata": row["metadata"]} for row in rows] == ROWS
        assert len(json.loads(memory.getvalue())["embedding"]) == 256
        assert os.listdir(tmp_path) == ["all.ndjson"]


def test_many_are_deleted(house: RunningServer) -> None:
    with house.neurograph() as client:
        tokens = client.tokens.create_many([{"text": f"doomed {n}", "metadata": {"doom": n}} for n in range(4)])
        ids = [token.id for token in tokens]
        done = client.tokens.delete_many([*ids[:2], 10**9])
        assert (done.deleted, done.missing) == (2, [10**9])
        assert (client.tokens.delete_many(filter=field("doom").exists())).deleted == 2
        with pytest.raises(ValidationError, match="exactly one"):
            client.tokens.delete_many()


class TestKeys:
    def test_iterate_and_rotate(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            old = client.api_keys.create("rotating", scopes=["tokens:read"])
            new = client.api_keys.rotate(old.key_id, overlap_seconds=3600)
            assert {old.key_id, new.key_id} <= {key.key_id for key in client.api_keys.iterate()}
            for key in (old, new):
                with NeuroGraphClient(house.http_url, api_key=key.api_key) as reader:
                    assert (reader.tokens.get(1)).id == 1
            newest = client.api_keys.rotate(new.key_id)
            with NeuroGraphClient(house.http_url, api_key=new.api_key) as reader:
                with pytest.raises(AuthenticationError):
                    reader.tokens.get(1)
            assert newest.scopes == ["tokens:read"]


class TestAccount:
    def test_who_asks(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            user = client.auth.me()
            assert (user.username, user.role) == ("developer", "developer")

    def test_a_logout_ends_the_session_and_the_next_call_begins_one(self, house: RunningServer) -> None:
        with house.neurograph() as client:
            assert client.auth.logout() is False
            client.auth.me()
            bearer = client._executor.session.bearer()
            assert bearer is not None
            assert client.auth.logout() is True
            with NeuroGraphClient(house.http_url, api_key=bearer) as stolen:
                with pytest.raises(AuthenticationError):
                    stolen.auth.me()
            assert (client.auth.me()).username == "developer"

    def test_a_changed_password_is_used_from_then_on(self, house: RunningServer) -> None:
        options = {"username": "viewer", "password": "viewer123"}
        with house.neurograph(**options) as client:
            with pytest.raises((AuthorizationError, AuthenticationError, ValidationError)):
                client.auth.change_password("not the old one", "a much longer one")
            assert client.auth.change_password("viewer123", "a much longer one")
            assert (client.auth.me()).username == "viewer"
            client.auth.logout()
            assert (client.auth.me()).username == "viewer"


class TestCDNA:
    def test_from_the_beginning_to_a_reset(self) -> None:
        with running() as server:
            with server.neurograph() as client:
                status = client.cdna.status()
                assert (status.cdna.profile, status.cdna.modified, status.history_count) == ("explorer", False, 0)
                cdna = client.cdna.configure(CDNAConfig(profile="analyzer", affinity_scale=2))
                assert cdna.dimension_scales == [1, 1, 1, 3, 10, 10, 3, 20]
                assert (cdna.curiosity_scale, cdna.affinity_scale, cdna.modified) == (1.0, 2.0, True)
                assert (client.cdna.update(CDNAUpdate(novelty_scale=0.5))).affinity_scale == 2.0
                assert (client.cdna.set_scales(np.arange(1.0, 9.0).tolist())).novelty_scale is None
                with pytest.raises(ValidationError, match="L1 is 21 and must be at most 20"):
                    client.cdna.set_scales([21.0] + [1.0] * 7)
                with pytest.raises(NotFoundError, match="explorer, analyzer"):
                    client.cdna.switch("conservative")
                switched = client.cdna.switch("explorer")
                assert (switched.old_profile, switched.new_profile) == ("analyzer", "explorer")
                profiles = client.cdna.profiles()
                assert (profiles.current, profiles.profiles["quarantine"].max_change) == ("explorer", 0.5)
                assert (client.cdna.profile("creative")).scales[7] == 34.0
                history = client.cdna.history(2)
                assert ([entry.action for entry in history.history], history.total) == (
                    ["profile_switch", "config_update"],
                    4,
                )
                assert (client.cdna.export()).data["cdna"]["profile"] == "explorer"
                with pytest.raises(AuthorizationError):
                    client.cdna.reset()
            with server.neurograph(username="admin", password="admin123") as admin:
                assert (admin.cdna.reset()).dimension_scales[7] == 5.0
                assert [entry.action for entry in (admin.cdna.history()).history] == ["reset"]

    def test_a_quarantine(self) -> None:
        with running() as server:
            with server.neurograph() as client:
                begun = client.cdna.start_quarantine(30)
                assert (begun.active, begun.time_left) == (True, 30)
                assert begun.ends_at is not None
                with pytest.raises(ConflictError):
                    client.cdna.start_quarantine()
                with pytest.raises(ValidationError, match="may differ by at most"):
                    client.cdna.update(CDNAUpdate(curiosity_scale=2))
                client.cdna.update(CDNAUpdate(curiosity_scale=1.1))
                held = client.cdna.quarantine()
                assert held.metrics is not None
                assert held.metrics.requests >= 1
                assert client.cdna.stop_quarantine() is False
                assert (client.cdna.status()).cdna.curiosity_scale == 1.0
                with pytest.raises(ConflictError, match="no quarantine"):
                    client.cdna.stop_quarantine()


def test_readiness(house: RunningServer) -> None:
    with NeuroGraphClient(house.http_url) as client:
        assert client.health.ready() is True
    with NeuroGraphClient("http://127.0.0.1:9", max_retries=0) as client:
        with pytest.raises(ConnectionError):
            client.health.ready()
