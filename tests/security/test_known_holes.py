"""The holes of the official NeuroGraph server, each by its number in the list of facts: this server has none."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx2
import pytest
from web_socket import WebSocket

import vectrograph
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


def test_s2_logout_and_a_new_password_outlive_a_restart(tmp_path: Path) -> None:
    new = "another phrase of mine"
    with running(tmp_path) as first:
        over, changed, kept = log_in(first), log_in(first, "viewer"), log_in(first)
        url = f"{first.http_url}/api/v1/auth"
        assert httpx2.post(f"{url}/logout", headers=bearer(over["access_token"])).status_code == 200
        passwords = {"old_password": "viewer123", "new_password": new}
        headers = bearer(changed["access_token"])
        assert httpx2.post(f"{url}/change-password", json=passwords, headers=headers).status_code == 200
    with running(tmp_path) as second:
        url = f"{second.http_url}/api/v1/auth"
        for pair, status in ((over, 401), (changed, 401), (kept, 200)):
            assert httpx2.get(f"{url}/me", headers=bearer(pair["access_token"])).status_code == status
            renewed = httpx2.post(f"{url}/refresh", json={"refresh_token": pair["refresh_token"]})
            assert renewed.status_code == status
        for password, status in (("viewer123", 401), (new, 200)):
            body = {"username": "viewer", "password": password}
            assert httpx2.post(f"{url}/login", json=body).status_code == status


def test_s3_secrets_are_random_and_passwords_slowly_hashed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with running(tmp_path / name):
            pass
    assert (tmp_path / "a" / "signing.key").read_bytes() != (tmp_path / "b" / "signing.key").read_bytes()
    stored = (tmp_path / "a" / "control.sqlite").read_bytes()
    assert b"$argon2id$" in stored
    assert b"admin123" not in stored


# What anyone may ask without credentials; login and refresh bring credentials of their own in the body.
OPEN = {
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "GET /api/v1/health",
    "GET /api/v1/limits",
    "GET /v1/limits",
    "GET /livez",
    "GET /readyz",
    "GET /openapi.json",
    "GET /docs",
    "GET /",
    "POST /v1/users/register",
    "POST /v1/users/login",
    "POST /v1/keys/validate",
}
OFFICIAL_AND_OPEN = (
    "GET /api/v1/status",
    "POST /api/v1/query",
    "GET /api/v1/modules",
    "POST /api/v1/modules/x/enable",
    "PUT /api/v1/modules/x/config",
    "POST /api/v1/websocket/broadcast",
    "GET /api/v1/websocket/status",
    "PUT /api/v1/cdna/config",
)


def test_s4_nothing_is_open_but_what_is_meant_to_be(server: RunningServer) -> None:
    document = httpx2.get(f"{server.http_url}/openapi.json").json()
    served = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    for method, path in served:
        if f"{method} {path}" in OPEN:
            continue
        answer = httpx2.request(method, f"{server.http_url}{re.sub('{[^}]+}', '1', path)}")
        assert answer.status_code == 401, (method, path)
    for line in OFFICIAL_AND_OPEN:
        method, _, path = line.partition(" ")
        assert httpx2.request(method, f"{server.http_url}{path}").status_code in (401, 404), line


def test_s5_a_header_buys_no_attempts() -> None:
    codes = []
    with running() as server, httpx2.Client(base_url=server.http_url) as client:
        for number in range(8):
            address = f"10.0.0.{number}"
            headers = {"X-Forwarded-For": address, "X-Real-IP": address, "X-API-Key": f"k{number}"}
            body = {"username": "viewer", "password": "wrong"}
            codes.append(client.post("/api/v1/auth/login", json=body, headers=headers).status_code)
    assert codes[:5] == [401] * 5
    assert 429 in codes[5:]


def test_s6_a_chunked_body_passes_no_limit() -> None:
    with running(max_body_bytes=2048) as small:
        token = log_in(small)["access_token"]
        chunks = iter([b'{"text": "', *[b"x" * 512] * 8, b'"}'])
        headers = {**bearer(token), "Content-Type": "application/json"}
        assert httpx2.post(f"{small.http_url}/api/v1/tokens", content=chunks, headers=headers).status_code == 413


def test_s7_no_route_swallows_another(server: RunningServer) -> None:
    """Every documented path, its parts filled in, is answered by the methods that are documented for it."""
    paths = httpx2.get(f"{server.http_url}/openapi.json").json()["paths"]
    fixed = {path for path in paths if "{" not in path}
    for path, methods in paths.items():
        concrete = re.sub("{[^}]+}", "1", path)
        assert concrete not in fixed - {path}
        answer = httpx2.request("TRACE", f"{server.http_url}{concrete}")
        if not path.startswith("/v1/"):
            assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == {method.upper() for method in methods}, path
    headers = bearer(log_in(server)["access_token"])
    assert httpx2.get(f"{server.http_url}/api/v1/tokens", headers=headers).json().keys() >= {"tokens", "total"}
    assert httpx2.get(f"{server.http_url}/api/v1/tokens/export", headers=headers).status_code == 200


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


def test_s11_every_import_is_declared_and_nothing_else_has_to_be_built() -> None:
    manifest = Path(__file__).parents[2] / "packages" / "vectrograph" / "pyproject.toml"
    project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"]
    declared = {re.split(r"[\s<>=;\[(]", line, maxsplit=1)[0].lower() for line in lines}
    optional = {"pytest", "hypothesis", "neurograph", "vectron_client"}
    # The engine of the extra `postgres` is imported only where it is chosen.
    (driver,) = project["optional-dependencies"]["postgres"]
    assert driver.startswith("psycopg[binary,pool]")
    optional |= {"psycopg", "psycopg_pool"}
    roots = {
        name.split(".")[0]
        for file in Path(vectrograph.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    brought_by = metadata.packages_distributions()
    for root in roots - set(sys.stdlib_module_names) - optional - {"vectrograph"}:
        assert {name.lower() for name in brought_by[root]} & declared, root


def test_s12_a_token_in_a_url_opens_a_websocket_only_and_is_read_as_any_other(server: RunningServer) -> None:
    """At the official server a good one was refused, or opened a WebSocket that was denied every channel."""
    token = log_in(server)["access_token"]
    for name in ("token", "access_token", "api_key", "jwt"):
        assert httpx2.get(f"{server.http_url}/api/v1/tokens?{name}={token}").status_code == 401
    port = server.server.addresses.http_port
    for path, status in (
        ("/ws?token=nonsense", 401),
        (f"/ws?token={token[:-4]}AAAA", 401),
        (f"/ws?access_token={token}", 101),
        ("/ws", 101),
        (f"/api/v1/tokens?token={token}", 404),
        (f"/ws?token={token}", 101),
    ):
        with WebSocket(port, path) as client:
            assert client.status == status, path
            if status != 101:
                continue
            is_known = path == f"/ws?token={token}"
            assert (client.next()["user_id"] is not None) == is_known
            answer = client.ask({"type": "subscribe", "channels": ["metrics", "tokens", "signals", "logs"]})
            # A developer; nobody gets the two channels that are for all in development mode.
            assert answer["channels"] == (["metrics", "tokens", "signals"] if is_known else ["metrics"])
            assert answer["denied"] == (["logs"] if is_known else ["tokens", "signals", "logs"])


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
