"""System routes of a server, well and unwell."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of
from rest.serving import DIMENSION, LIMITS, VERSION, Start

from vectrograph.domain.collections import CollectionOutline
from vectrograph.domain.errors import Unavailable
from vectrograph.services.health import DAMAGE


def test_health_is_flat_and_public(anonymous: httpx2.Client) -> None:
    health = anonymous.get("/api/v1/health").json()
    assert health.keys() == {"status", "version", "uptime_seconds", "timestamp", "quarantined"}
    assert (health["status"], health["version"], health["quarantined"]) == ("healthy", VERSION, 0)
    assert health["timestamp"].endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(health["timestamp"])) < timedelta(minutes=1)
    later = anonymous.get("/api/v1/health").json()
    assert later["uptime_seconds"] >= health["uptime_seconds"] > 0


def test_status_has_what_official_clients_read(developer: httpx2.Client) -> None:
    before = developer.get("/api/v1/status").json()
    developer.post("/api/v1/tokens", json={"text": "one more"})
    status = developer.get("/api/v1/status").json()
    assert isinstance(status["api_version"], str)
    assert isinstance(status["runtime_version"], str)
    assert status["tokens_count"] == before["tokens_count"] + 1
    assert status["requests_total"] == before["requests_total"] + 2
    assert status["uptime_seconds"] > 0
    assert status["memory_usage_mb"] > 1
    assert (status["status"], status["engine"], status["quarantined"]) == ("healthy", "reference", {})


def test_limits_are_those_in_force(anonymous: httpx2.Client) -> None:
    limits = anonymous.get("/api/v1/limits").json()
    assert limits.pop("embedding_model") == "letters-8"
    assert limits.pop("embedding_dimension") == DIMENSION
    assert limits.pop("vector_media_type") == "application/vnd.neurograph.vectors"
    assert limits == dataclasses.asdict(LIMITS)


def test_the_root_shows_the_way(anonymous: httpx2.Client) -> None:
    index = anonymous.get("/").json()
    assert (index["name"], index["version"]) == ("vectrograph", VERSION)
    for link in ("docs", "openapi", "health"):
        assert anonymous.get(index[link]).status_code == 200


def test_probes_answer(anonymous: httpx2.Client) -> None:
    assert anonymous.get("/livez").json() == {"status": "alive"}
    assert anonymous.get("/readyz").json() == {"status": "ready", "quarantined": 0}


def test_a_damaged_collection_degrades_health_and_is_named_to_those_who_may_know(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()
    listed = served.engine.outline

    def damaged(tenant: str) -> list[CollectionOutline]:
        return [dataclasses.replace(outline, problem="page 3 is torn") for outline in listed(tenant)]

    monkeypatch.setattr(served.engine, "outline", damaged)
    with served.client(served.login("viewer")) as client:
        health = client.get("/api/v1/health")
        assert (health.status_code, health.json()["status"], health.json()["quarantined"]) == (200, "degraded", 1)
        assert client.get("/api/v1/status").json()["quarantined"] == {"tokens": DAMAGE}
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "quarantined": 1})


def test_without_storage_the_server_lives_but_is_not_ready(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    served = start()

    def gone(_: str) -> Any:
        raise Unavailable("closed")

    monkeypatch.setattr(served.engine, "list", gone)
    with served.client() as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/api/v1/health").json()["status"] == "unhealthy"
        response = client.get("/readyz")
        error_of(response, 503, "SERVICE_UNAVAILABLE")
        assert response.headers["retry-after"] == "1"
