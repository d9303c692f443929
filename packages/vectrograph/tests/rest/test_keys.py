"""API keys over the wire."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import Served, Start

URL = "/api/v1/api-keys"
FIELDS = {"key_id", "name", "key_prefix", "scopes", "created_at", "expires_at", "last_used_at", "is_active"} | {
    "collections",
    "rate_limit",
}


@pytest.fixture
def alone(start: Start) -> Iterator[tuple[Served, httpx2.Client]]:
    """Provide a server of its own with a developer's client."""
    served = start()
    with served.client(served.login("developer")) as client:
        yield served, client


def create(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    response = client.post(URL, json=body)
    assert response.status_code == 201, response.text
    key: dict[str, Any] = response.json()
    return key


def test_a_created_key_is_flat_and_shows_its_secret_once(alone: tuple[Served, httpx2.Client]) -> None:
    _, client = alone
    key = create(client, name="integration", scopes=["tokens:read", "tokens:write"], expires_in_days=30)
    assert key.keys() == FIELDS | {"api_key"}
    assert key["api_key"].startswith("ng_live_")
    assert key["key_prefix"] == key["api_key"][:16]
    assert key["scopes"] == ["tokens:read", "tokens:write"]
    assert (key["name"], key["is_active"], key["last_used_at"]) == ("integration", True, None)
    lasting = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    assert abs(lasting - timedelta(days=30)) < timedelta(seconds=1)
    shown = client.get(f"{URL}/{key['key_id']}").json()
    assert shown == {name: value for name, value in key.items() if name != "api_key"}
    assert client.get(URL).json() == {"api_keys": [shown], "total": 1}


def test_nulls_are_accepted_as_official_clients_send_them(alone: tuple[Served, httpx2.Client]) -> None:
    _, client = alone
    key = create(client, name="bare", scopes=None, expires_in_days=None)
    assert key["expires_at"] is None
    assert "tokens:write" in key["scopes"]
    assert not [scope for scope in key["scopes"] if scope.startswith("api_keys:") or scope.endswith(":admin")]
    assert create(client, name="no scopes at all", scopes=[])["scopes"] == []


def test_a_key_works_until_it_is_revoked_and_its_record_stays(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    key = create(client, name="k", scopes=["tokens:read"])
    with served.client(key["api_key"]) as bot:
        assert bot.get("/api/v1/tokens").status_code == 200
        error = error_of(bot.post("/api/v1/tokens", json={"text": "a"}), 403, "PERMISSION_DENIED")
        assert error["details"]["required_scope"] == "tokens:write"
        used = datetime.fromisoformat(client.get(f"{URL}/{key['key_id']}").json()["last_used_at"])
        assert abs(datetime.now(UTC) - used) < timedelta(minutes=1)
        revoked = client.post(f"{URL}/{key['key_id']}/revoke")
        assert (revoked.status_code, revoked.json()) == (200, {"key_id": key["key_id"], "status": "revoked"})
        error_of(bot.get("/api/v1/tokens"), 401, "INVALID_API_KEY")
    assert client.get(f"{URL}/{key['key_id']}").json()["is_active"] is False


def test_a_deleted_key_is_gone(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    key = create(client, name="k")
    response = client.delete(f"{URL}/{key['key_id']}")
    assert (response.status_code, response.content) == (204, b"")
    for again in (client.delete(f"{URL}/{key['key_id']}"), client.get(f"{URL}/{key['key_id']}")):
        error_of(again, 404, "API_KEY_NOT_FOUND")
    with served.client(key["api_key"]) as bot:
        error_of(bot.get("/api/v1/tokens"), 401, "INVALID_API_KEY")


@pytest.mark.parametrize("key_id", ["unknown", "0" * 16, "%27%20or%201=1", "%00", "é"])
@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("DELETE", ""), ("POST", "/revoke")])
def test_unknown_keys_are_404(developer: httpx2.Client, method: str, end: str, key_id: str) -> None:
    error_of(developer.request(method, f"{URL}/{key_id}{end}"), 404, "API_KEY_NOT_FOUND")


def test_keys_of_others_are_404(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    with served.client(served.login("admin")) as admin:
        key = create(admin, name="the admin's")
    for response in (client.get(f"{URL}/{key['key_id']}"), client.delete(f"{URL}/{key['key_id']}")):
        error_of(response, 404, "API_KEY_NOT_FOUND")
    assert client.get(URL).json()["api_keys"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "k", "scopes": "tokens:read"}, "scopes"),
        ({"name": "k", "scopes": [5]}, "scopes.0"),
        ({"name": "k", "scopes": ["tokens:fly"]}, "scopes"),
        ({"name": "k", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "k", "expires_in_days": -1}, "expires_in_days"),
        ({"name": "k", "expires_in_days": 10**9}, "expires_in_days"),
        ({"name": "k", "expires_in_days": "30"}, "expires_in_days"),
        ({"name": "k", "expires_in_days": 1.5}, "expires_in_days"),
        ({"name": "k", "expire_in_days": 1}, "expire_in_days"),
    ],
)
def test_keys_that_are_not_acceptable_are_refused(developer: httpx2.Client, body: Any, field: str) -> None:
    total = developer.get(URL).json()["total"]
    field_error(developer.post(URL, json=body), field)
    assert developer.get(URL).json()["total"] == total


def test_a_key_is_never_wider_than_its_creator(developer: httpx2.Client) -> None:
    response = developer.post(URL, json={"name": "k", "scopes": ["config:admin"]})
    assert error_of(response, 403, "PERMISSION_DENIED")["details"]["required_scope"] == "config:admin"
