"""FINDINGS B7: a viewer fills no disk: a real server refuses feedback beyond its quota, and everyone else goes on."""

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest

from tests.e2e.processes import serve
from vectrograph import running
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import PositionExpired
from vectrograph.domain.points import NOW, Put
from vectrograph.engines.contract.retention import held_from
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.rpc._pb import vectron_pb as pb
from vectron_client import Point

QUOTAS = {"max_feedback_bytes": 300_000, "max_api_keys": 3, "max_sessions": 4, "max_accounts": 6}
SUBMIT = "/vectron.v1.VectronService/SubmitFeedback"


def login(client: httpx2.Client, username: str) -> dict[str, str]:
    answer = client.post("/api/v1/auth/login", json={"username": username, "password": f"{username}123"})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_what_callers_can_make_the_server_store_is_bounded_while_others_are_answered(tmp_path: Path) -> None:
    options = [text for name, value in QUOTAS.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    with serve(tmp_path, *options) as server:
        addresses = server.serving()
        with httpx2.Client(base_url=addresses["http"], timeout=60, verify=False) as client:
            developer, viewer = login(client, "developer"), login(client, "viewer")
            body = {"name": "docs", "dimension": 2}
            assert client.post("/v1/collections", json=body, headers=developer).status_code == 200
            over = threading.Event()
            codes: list[int] = []

            def probe() -> None:
                with httpx2.Client(base_url=addresses["http"], timeout=60, verify=False) as other:
                    while not over.is_set():
                        codes.append(other.get("/api/v1/tokens", headers=developer).status_code)

            prober = threading.Thread(target=probe)
            prober.start()
            try:
                feed(client, addresses["grpc"], viewer)
                crowd(client, developer, login(client, "admin"))
            finally:
                over.set()
                prober.join(60)
            assert codes
            assert set(codes) == {200}
        size = sum(file.stat().st_size for file in tmp_path.glob("control.sqlite*"))
        assert size < 4 * QUOTAS["max_feedback_bytes"] + 2_000_000
        assert server.terminate() == 0


def test_the_log_of_changes_keeps_so_many_and_tells_readers_that_come_too_late() -> None:
    with running(max_log_changes=5) as server, server.vectron() as client:
        client.create_collection("docs", 2)
        engine, docs = server.server.engine, CollectionRef("default", "docs")
        start = engine.changes(docs, NOW).position
        client.upsert("docs", [Point(f"{n}", [n, n]) for n in range(20)])
        assert held_from(engine, docs, 16) == [16, 17, 18, 19, 20]
        with pytest.raises(PositionExpired) as told:
            engine.changes(docs, start)
        assert len(engine.changes(docs, told.value.details["oldest"]).changes) == 5
        assert client.count("docs") == 20


def test_changes_older_than_the_setting_leave_the_log_of_a_collection_that_nobody_uses(tmp_path: Path) -> None:
    now, days = time.time_ns() // 1000, 24 * 3600 * 1_000_000
    written = [(name, now - age * days) for name, age in (("a", 90), ("b", 31), ("c", 29), ("d", 1))]
    docs = CollectionRef("default", "docs")
    at = iter([now, *(when for _, when in written)])
    engine = EmbeddedEngine.open(tmp_path, clock=lambda: next(at), ballast_bytes=0)
    engine.create(CollectionSpec.dense(docs, 2, Distance.EUCLIDEAN))
    for name, _ in written:
        engine.write(docs, [Put(id=name, vector=np.ones(2, np.float32))])
    engine.close()
    with running(tmp_path) as server:
        assert held_from(server.server.engine, docs, 3) == [3, 4]
        assert [change.id for change in server.server.engine.changes(docs).changes] == ["c", "d"]


def feed(client: httpx2.Client, grpc_address: str, viewer: dict[str, str]) -> None:
    """Submit feedback as a viewer over both wires until it is refused, and go on."""
    items = [{"resultId": "a", "relevanceScore": 3, "comment": "x" * 30_000}]
    sent = {"collection": "docs", "query": "q", "feedbackItems": items}
    answers = [client.post("/v1/feedback", json=sent, headers=viewer) for _ in range(30)]
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert 5 <= len(accepted) <= 10
    assert {answer.status_code for answer in answers[len(accepted) :]} == {400}
    assert "max_feedback_bytes" in answers[-1].json()["message"]
    missing = client.post("/v1/feedback", json={**sent, "collection": "gone"}, headers=viewer)
    assert missing.status_code == 404
    metadata = [("authorization", viewer["Authorization"])]
    with grpc.insecure_channel(grpc_address) as opened:
        channel: Any = opened
        for collection, status, code in (
            ("docs", grpc.StatusCode.FAILED_PRECONDITION, "QUOTA_EXCEEDED"),
            ("gone", grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"),
        ):
            item = pb.FeedbackItem(result_id="a", relevance_score=3, comment="x" * 30_000)
            request = pb.SubmitFeedbackRequest(collection=collection, feedback_items=[item])
            call = channel.unary_unary(SUBMIT).future(request.SerializeToString(), metadata=metadata, timeout=60)
            assert call.code() is status
            assert dict(call.trailing_metadata())["x-error-code"] == code


def crowd(client: httpx2.Client, developer: dict[str, str], admin: dict[str, str]) -> None:
    """Keys, logins and accounts without end."""
    made = [client.post("/api/v1/api-keys", json={"name": "k"}, headers=developer) for _ in range(6)]
    assert [answer.status_code for answer in made] == [201] * 3 + [409] * 3
    assert made[-1].json()["error"]["code"] == "QUOTA_EXCEEDED"
    tokens = [login(client, "viewer") for _ in range(6)]
    alive = [client.get("/api/v1/auth/me", headers=token).status_code for token in tokens]
    assert alive == [401] * 2 + [200] * 4
    registered = [
        client.post("/v1/users/register", json={"email": f"u{number}@example.org", "password": "Correct-horse-7"})
        for number in range(6)
    ]
    assert [answer.status_code for answer in registered] == [200] * 3 + [400] * 3
    audit = client.get("/api/v1/audit", headers=admin).json()["entries"]
    assert {entry["outcome"] for entry in audit if entry["action"] == "user.create"} == {"ok", "QUOTA_EXCEEDED"}
