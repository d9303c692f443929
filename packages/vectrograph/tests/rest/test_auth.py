"""Sessions over the wire: login, refresh, logout, me, change-password, and which credentials are accepted where."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import Served, Start

from vectrograph.domain.access import ROLE_SCOPES, Role

URL = "/api/v1/auth"
USER_FIELDS = {"user_id", "username", "email", "full_name", "role", "scopes", "disabled", "tenant", "created_at"}


@pytest.fixture
def alone(start: Start) -> Iterator[httpx2.Client]:
    """Provide an anonymous client of a server of its own, whose accounts may be changed."""
    with start().client() as client:
        yield client


def login(client: httpx2.Client, username: str = "developer", password: str | None = None) -> dict[str, Any]:
    response = client.post(f"{URL}/login", json={"username": username, "password": password or f"{username}123"})
    assert response.status_code == 200, response.text
    session: dict[str, Any] = response.json()
    return session


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


@pytest.mark.parametrize("username", ["admin", "developer", "viewer"])
def test_a_login_is_flat_as_official_clients_read_it(anonymous: httpx2.Client, username: str) -> None:
    session = login(anonymous, username)
    assert session.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (session["token_type"], session["expires_in"]) == ("bearer", 900)
    user = session["user"]
    assert user.keys() == USER_FIELDS
    assert (user["username"], user["role"], user["disabled"]) == (username, username, False)
    assert set(user["scopes"]) == ROLE_SCOPES[Role(username)]
    assert datetime.fromisoformat(user["created_at"]) < datetime.now(UTC)
    assert anonymous.get(f"{URL}/me", headers=bearer(session["access_token"])).json() == user


@pytest.mark.parametrize(
    ("username", "password"),
    [("developer", "wrong"), ("nobody", "developer123"), ("DEVELOPER'--", "x"), ("developer", "developer123 ")],
)
def test_wrong_credentials_are_401_and_do_not_tell_which(
    anonymous: httpx2.Client, username: str, password: str
) -> None:
    response = anonymous.post(f"{URL}/login", json={"username": username, "password": password})
    error = error_of(response, 401, "INVALID_CREDENTIALS")
    assert error["message"] == "Incorrect username or password."
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({"username": "developer"}, "password"),
        ({"username": 1, "password": "x"}, "username"),
        ({"username": "", "password": "x"}, "username"),
        ({"username": "developer", "password": ""}, "password"),
        ({"username": "developer", "password": None}, "password"),
        ({"username": "developer", "password": "x" * 5000}, "password"),
    ],
)
def test_logins_that_are_not_acceptable_are_422(anonymous: httpx2.Client, body: Any, field: str) -> None:
    assert "x" * 100 not in field_error(anonymous.post(f"{URL}/login", json=body), field)


def test_fields_that_other_clients_add_to_a_login_are_ignored(anonymous: httpx2.Client) -> None:
    body = {"username": "developer", "password": "developer123", "grant_type": "password"}
    assert anonymous.post(f"{URL}/login", json=body).status_code == 200


def test_a_refresh_gives_a_new_pair_and_works_once(alone: httpx2.Client) -> None:
    session = login(alone)
    response = alone.post(f"{URL}/refresh", json={"refresh_token": session["refresh_token"]})
    assert response.status_code == 200
    pair = response.json()
    assert pair.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert pair["refresh_token"] != session["refresh_token"]
    assert alone.get(f"{URL}/me", headers=bearer(pair["access_token"])).status_code == 200
    again = alone.post(f"{URL}/refresh", json={"refresh_token": session["refresh_token"]})
    error_of(again, 401, "INVALID_TOKEN")


def test_the_kinds_of_tokens_are_not_interchangeable(alone: httpx2.Client) -> None:
    session = login(alone)
    error_of(alone.get(f"{URL}/me", headers=bearer(session["refresh_token"])), 401, "INVALID_TOKEN")
    error_of(alone.post(f"{URL}/refresh", json={"refresh_token": session["access_token"]}), 401, "INVALID_TOKEN")


@pytest.mark.parametrize("body", [None, {}, {"access_token": "x"}, {"token": "x"}, {"access_token": None, "more": 1}])
def test_a_logout_ends_the_session_whatever_body_it_has(alone: httpx2.Client, body: Any) -> None:
    session = login(alone)
    other = login(alone)
    headers = bearer(session["access_token"])
    response = alone.post(f"{URL}/logout", headers=headers, **({} if body is None else {"json": body}))
    assert response.status_code == 200
    assert response.json()["success"] is True
    error_of(alone.get(f"{URL}/me", headers=headers), 401, "INVALID_TOKEN")
    error_of(alone.post(f"{URL}/refresh", json={"refresh_token": session["refresh_token"]}), 401, "INVALID_TOKEN")
    assert alone.get(f"{URL}/me", headers=bearer(other["access_token"])).status_code == 200


def test_a_logout_with_a_wrong_body_ends_nothing(alone: httpx2.Client) -> None:
    headers = bearer(login(alone)["access_token"])
    field_error(alone.post(f"{URL}/logout", json={"access_token": 5}, headers=headers), "access_token")
    field_error(alone.post(f"{URL}/logout", json=[], headers=headers), "body")
    assert alone.get(f"{URL}/me", headers=headers).status_code == 200


def test_a_changed_password_replaces_the_old_one(alone: httpx2.Client) -> None:
    headers = bearer(login(alone)["access_token"])
    body = {"old_password": "developer123", "new_password": "a much longer one"}
    response = alone.post(f"{URL}/change-password", json=body, headers=headers)
    assert response.status_code == 200
    assert response.json()["success"] is True
    error_of(alone.get(f"{URL}/me", headers=headers), 401, "INVALID_TOKEN")
    wrong = alone.post(f"{URL}/login", json={"username": "developer", "password": "developer123"})
    error_of(wrong, 401, "INVALID_CREDENTIALS")
    login(alone, password="a much longer one")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("wrong", "a much longer one", "old_password"),
        ("developer123", "short", "new_password"),
        ("developer123", "", "new_password"),
        ("developer123", "developer123", "new_password"),
    ],
)
def test_a_password_that_is_not_acceptable_changes_nothing(
    alone: httpx2.Client, old: str, new: str, field: str
) -> None:
    headers = bearer(login(alone)["access_token"])
    body = {"old_password": old, "new_password": new}
    field_error(alone.post(f"{URL}/change-password", json=body, headers=headers), field)
    login(alone)


def test_an_api_key_has_no_session_to_end_and_no_password_to_change(alone: httpx2.Client) -> None:
    created = alone.post("/api/v1/api-keys", json={"name": "k"}, headers=bearer(login(alone)["access_token"])).json()
    headers = bearer(created["api_key"])
    error_of(alone.post(f"{URL}/logout", headers=headers), 403, "PERMISSION_DENIED")
    body = {"old_password": "developer123", "new_password": "a much longer one"}
    error_of(alone.post(f"{URL}/change-password", json=body, headers=headers), 403, "PERMISSION_DENIED")


# ---------------------------------------------------------------- which credentials are accepted


@pytest.fixture(scope="module")
def key(developer: httpx2.Client) -> str:
    return str(developer.post("/api/v1/api-keys", json={"name": "credentials"}).json()["api_key"])


def test_a_key_is_accepted_in_both_headers(anonymous: httpx2.Client, key: str) -> None:
    for headers in (bearer(key), {"Authorization": f"bearer   {key}"}, {"X-API-Key": key}):
        response = anonymous.get(f"{URL}/me", headers=headers)
        assert response.status_code == 200
        assert response.json()["username"] == "developer"
        assert "tokens:write" in response.json()["scopes"]
        assert "api_keys:write" not in response.json()["scopes"]


def test_the_key_header_counts_when_the_other_is_of_another_scheme(anonymous: httpx2.Client, key: str) -> None:
    basic = "Basic " + base64.b64encode(b"proxy:secret").decode()
    assert anonymous.get(f"{URL}/me", headers={"Authorization": basic, "X-API-Key": key}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": ""}, *({"Authorization": text} for text in ("", "Bearer", "Basic YTpi", "ng_live_x"))],
)
def test_no_credentials_are_401(anonymous: httpx2.Client, headers: dict[str, str]) -> None:
    response = anonymous.get(f"{URL}/me", headers=headers)
    error_of(response, 401, "AUTHENTICATION_REQUIRED")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ("ng_live_" + "x" * 43, "INVALID_API_KEY"),
        ("vkey-nonsense", "INVALID_API_KEY"),
        ("nonsense", "INVALID_TOKEN"),
        ("a.b.c", "INVALID_TOKEN"),
        ("é", "INVALID_TOKEN"),
        ("x" * 20_000, "INVALID_TOKEN"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "INVALID_TOKEN"),
    ],
)
def test_wrong_credentials_are_401(anonymous: httpx2.Client, credential: str, code: str) -> None:
    response = anonymous.get(f"{URL}/me", headers={b"Authorization": f"Bearer {credential}".encode("latin-1")})
    assert credential not in str(error_of(response, 401, code))
    assert response.headers["www-authenticate"] == "Bearer"


def test_credentials_are_judged_before_the_body(anonymous: httpx2.Client) -> None:
    error_of(anonymous.post("/api/v1/tokens", json={"wrong": 1}), 401, "AUTHENTICATION_REQUIRED")
    error_of(anonymous.post("/api/v1/tokens", json={"wrong": 1}, headers=bearer("ng_x")), 401, "INVALID_API_KEY")


def test_one_account_is_not_taken_for_another(served: Served, anonymous: httpx2.Client) -> None:
    tokens = {name: served.login(name) for name in ("admin", "developer", "viewer")}
    for _ in range(2):
        for name, credential in tokens.items():
            assert anonymous.get(f"{URL}/me", headers=bearer(credential)).json()["username"] == name
    forged = tokens["admin"][:-4] + ("AAAA" if tokens["admin"][-4:] != "AAAA" else "BBBB")
    error_of(anonymous.get(f"{URL}/me", headers=bearer(forged)), 401, "INVALID_TOKEN")
