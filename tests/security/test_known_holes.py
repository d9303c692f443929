"""The holes of the official NeuroGraph server, each by its number in the list of facts: this server has none."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from vectrograph import VERSION, RunningServer, running


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as started:
        yield started


def log_in(server: RunningServer, name: str = "developer") -> dict[str, str]:
    body = {"username": name, "password": f"{name}123"}
    pair: dict[str, str] = httpx2.post(f"{server.http_url}/api/v1/auth/login", json=body).json()
    return pair


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_s1_a_token_with_a_known_beginning_is_not_someone_else(server: RunningServer) -> None:
    token = log_in(server)["access_token"]
    me = f"{server.http_url}/api/v1/auth/me"
    assert httpx2.get(me, headers=bearer(token)).status_code == 200
    head, body, signature = token.split(".")
    for forged in (f"{head}.{body}.{signature[:-2]}", f"{head}.{body}.", token[:-6] + "AAAAAA", token[:40]):
        assert httpx2.get(me, headers=bearer(forged)).status_code == 401


def test_s2_logout_and_refresh_mean_it(server: RunningServer) -> None:
    pair = log_in(server)
    refresh = f"{server.http_url}/api/v1/auth/refresh"
    renewed = httpx2.post(refresh, json={"refresh_token": pair["refresh_token"]}).json()
    assert httpx2.post(refresh, json={"refresh_token": pair["refresh_token"]}).status_code == 401
    assert httpx2.get(f"{server.http_url}/api/v1/auth/me", headers=bearer(renewed["access_token"])).status_code == 401
    pair = log_in(server)
    assert httpx2.post(f"{server.http_url}/api/v1/auth/logout", headers=bearer(pair["access_token"])).status_code == 200
    assert httpx2.get(f"{server.http_url}/api/v1/auth/me", headers=bearer(pair["access_token"])).status_code == 401


def test_s3_secrets_are_random_and_passwords_slowly_hashed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with running(tmp_path / name):
            pass
    assert (tmp_path / "a" / "signing.key").read_bytes() != (tmp_path / "b" / "signing.key").read_bytes()
    stored = (tmp_path / "a" / "control.sqlite").read_bytes()
    assert b"$argon2id$" in stored
    assert b"admin123" not in stored


def test_s5_a_header_buys_no_attempts(server: RunningServer) -> None:
    login = f"{server.http_url}/api/v1/auth/login"
    codes = []
    for number in range(8):
        headers = {"X-Forwarded-For": f"10.0.0.{number}", "X-Real-IP": f"10.0.0.{number}", "X-API-Key": f"k{number}"}
        body = {"username": "viewer", "password": "wrong"}
        codes.append(httpx2.post(login, json=body, headers=headers).status_code)
    assert codes[:5] == [401] * 5
    assert 429 in codes[5:]


def test_s6_a_chunked_body_passes_no_limit() -> None:
    with running(max_body_bytes=2048) as small:
        token = log_in(small)["access_token"]
        chunks = iter([b'{"text": "', *[b"x" * 512] * 8, b'"}'])
        headers = {**bearer(token), "Content-Type": "application/json"}
        assert httpx2.post(f"{small.http_url}/api/v1/tokens", content=chunks, headers=headers).status_code == 413


def test_s8_a_key_works_and_belongs_to_someone(server: RunningServer) -> None:
    headers = bearer(log_in(server)["access_token"])
    url = f"{server.http_url}/api/v1/api-keys"
    made = httpx2.post(url, json={"name": "k"}, headers=headers).json()
    assert httpx2.get(f"{server.http_url}/api/v1/tokens", headers={"X-API-Key": made["api_key"]}).status_code == 200
    assert httpx2.post(url, json={"name": "k", "scopes": ["everything"]}, headers=headers).status_code == 422
    rotated = httpx2.post(f"{url}/{made['key_id']}/rotate", json={"overlap_hours": 0}, headers=headers)
    assert rotated.status_code == 201
    assert httpx2.get(f"{server.http_url}/api/v1/tokens", headers={"X-API-Key": made["api_key"]}).status_code == 401


def test_s9_every_error_has_one_shape(server: RunningServer) -> None:
    url = server.http_url
    for answer in (
        httpx2.get(f"{url}/nowhere"),
        httpx2.delete(f"{url}/api/v1/health"),
        httpx2.get(f"{url}/api/v1/tokens"),
        httpx2.post(f"{url}/api/v1/auth/login", json={}),
        httpx2.post(f"{url}/api/v1/auth/login", content=b"a=b"),
        httpx2.get(f"{url}/livez", headers={"Host": "evil.example"}),
    ):
        body = answer.json()
        assert body["success"] is False
        assert body["error"].keys() == {"code", "message", "details", "request_id"}
        assert "Traceback" not in answer.text


def test_s10_accounts_and_tokens_outlive_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as first, first.neurograph() as client:
        key = client.api_keys.create(name="k").api_key
        client.tokens.create(text="kept")
    with running(tmp_path) as second, second.neurograph(api_key=key) as client:
        assert [token.text for token in client.tokens.list()] == ["kept"]


def test_s13_numbers_are_never_given_again_and_vectors_stay_exact(server: RunningServer) -> None:
    with server.neurograph() as client:
        first = client.tokens.create(text="a", embedding=[1000.5, *[-0.25] * 255])
        assert client.tokens.get(first.id).embedding == [1000.5, *[-0.25] * 255]
        client.tokens.delete(first.id)
        assert client.tokens.create(text="b").id > first.id


def test_s14_there_is_one_version(server: RunningServer) -> None:
    url = server.http_url
    said = {
        httpx2.get(f"{url}/").json()["version"],
        httpx2.get(f"{url}/openapi.json").json()["info"]["version"],
        httpx2.get(f"{url}/api/v1/health").json()["version"],
    }
    assert said == {VERSION}
