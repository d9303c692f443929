"""FINDINGS B3: published passwords and open registration work for people at this machine only, and end for good."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from tests.e2e.processes import FREE_PORTS, VECTROGRAPH, ServerProcess, serve
from vectrograph import RunningServer, running
from vectrograph.rpc._pb import auth_pb as auth

PUBLISHED = (("admin", "admin123"), ("developer", "developer123"), ("viewer", "viewer123"))
EMAILS = {"admin": "admin@neurograph.dev", "developer": "dev@neurograph.dev", "viewer": "viewer@neurograph.dev"}
PHRASE = "Correct-horse-7"
PROXIED = [
    {"X-Forwarded-For": "203.0.113.9"},
    {"Forwarded": "for=127.0.0.1"},
]


class Caller:
    """Somebody who knows what is published, on all three wires."""

    def __init__(self, http: str, grpc_address: str, headers: dict[str, str] | None = None) -> None:
        self.http = httpx2.Client(base_url=http, headers=headers, timeout=30, verify=False)
        self._channel = grpc.insecure_channel(grpc_address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._metadata = [(name.lower(), value) for name, value in (headers or {}).items()]

    def login(self, username: str, password: str) -> int:
        return self.http.post("/api/v1/auth/login", json={"username": username, "password": password}).status_code

    def gateway_login(self, username: str, password: str) -> int:
        body = {"email": EMAILS[username], "password": password}
        return self.http.post("/v1/users/login", json=body).status_code

    def grpc_code(self, method: str, request: Any) -> str:
        channel: Any = self._channel
        call = channel.unary_unary(f"/vectron.auth.v1.AuthService/{method}")
        try:
            call(request.SerializeToString(), metadata=self._metadata, timeout=30)
        except grpc.RpcError as error:
            code: str = error.code().name
            return code
        return "OK"

    def grpc_login(self, username: str, password: str) -> str:
        return self.grpc_code("Login", auth.LoginRequest(email=EMAILS[username], password=password))

    def registers(self, name: str) -> tuple[int, str]:
        """Return status of the gateway and of gRPC when an anonymous caller registers."""
        body = {"email": f"{name}-1@example.org", "password": PHRASE}
        status = self.http.post("/v1/users/register", json=body).status_code
        return status, self.grpc_code(
            "RegisterUser", auth.RegisterUserRequest(email=f"{name}-2@x.org", password=PHRASE)
        )

    def close(self) -> None:
        self.http.close()
        self._channel.close()


@contextmanager
def calling(server: ServerProcess | RunningServer, headers: dict[str, str] | None = None) -> Iterator[Caller]:
    if isinstance(server, RunningServer):
        caller = Caller(server.http_url, server.grpc_address, headers)
    else:
        line = next(line for line in server.lines if '"serving"' in line)
        addresses = httpx2.Response(200, content=line).json()
        caller = Caller(addresses["http"], addresses["grpc"], headers)
    try:
        yield caller
    finally:
        caller.close()


def assert_closed(caller: Caller, name: str) -> None:
    """No published password and no registration works, on any wire."""
    for username, password in PUBLISHED:
        assert caller.login(username, password) == 401, username
        assert caller.gateway_login(username, password) == 401, username
        assert caller.grpc_login(username, password) == "UNAUTHENTICATED", username
    assert caller.registers(name) == (403, "PERMISSION_DENIED")


def assert_open(caller: Caller, name: str) -> None:
    for username, password in PUBLISHED:
        assert caller.login(username, password) == 200, username
    assert caller.grpc_login("viewer", "viewer123") == "OK"
    assert caller.registers(name) == (200, "OK")


def command(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [VECTROGRAPH, *arguments], capture_output=True, text=True, timeout=60, env=environment or None
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fresh_directory_behind_a_proxy_has_no_published_account_from_anywhere(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serve(data, "--trusted-proxy", "127.0.0.1") as server:
        server.serving()
        assert "vectrograph init" in server.read_until("no account yet")
        for headers in ({}, {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "127.0.0.1"}):
            with calling(server, headers) as caller:
                assert_closed(caller, "eve")
        made = command("init", "--data", str(data))
        with calling(server, {"X-Forwarded-For": "203.0.113.9"}) as caller:
            assert caller.login("admin", made.partition("password: ")[2].strip()) == 200
        assert server.terminate() == 0
    # Without the proxy the directory is what it was: one real account and no others.
    with serve(data) as server:
        server.serving()
        with calling(server) as caller:
            assert_closed(caller, "mallory")


def test_a_directory_of_development_mode_is_closed_for_good_by_a_start_behind_a_proxy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serve(data) as server:
        server.serving()
        server.read_until("development mode")
        with calling(server) as caller:
            assert_open(caller, "ada")
            token = caller.http.post(
                "/api/v1/auth/login", json=dict(zip(("username", "password"), PUBLISHED[0], strict=True))
            )
        assert server.terminate() == 0
    with serve(data, "--trusted-proxy", "10.0.0.1") as server:
        server.serving()
        advice = server.read_until("development mode is over")
        assert "trusted_proxy" in advice
        assert "vectrograph users set-password" in advice
        with calling(server) as caller:
            assert_closed(caller, "eve")
            assert "trusted_proxy" in server.read_until("published password refused")
            headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
            assert caller.http.get("/api/v1/auth/me", headers=headers).status_code == 401
            refresh = {"refresh_token": token.json()["refresh_token"]}
            assert caller.http.post("/api/v1/auth/refresh", json=refresh).status_code == 401
            assert (
                caller.http.post("/v1/users/login", json={"email": "ada-1@example.org", "password": PHRASE}).status_code
                == 200
            )
        assert server.terminate() == 0
    with serve(data) as server:
        server.serving()
        with calling(server) as caller:
            assert_closed(caller, "eve")


@pytest.mark.parametrize("headers", PROXIED, ids=lambda headers: next(iter(headers)))
def test_a_request_through_a_proxy_ends_the_mode_before_it_is_answered(headers: dict[str, str], tmp_path: Path) -> None:
    with running(tmp_path) as server, calling(server, headers) as proxied, calling(server) as local:
        assert local.login("developer", "developer123") == 200
        kept = server.api_key
        # The first request that shows the proxy is the login itself.
        assert proxied.login("admin", "admin123") == 401
        assert_closed(local, "eve")
        assert local.http.get("/api/v1/auth/me", headers={"X-API-Key": kept}).status_code == 200
    with running(tmp_path) as server, calling(server) as local:
        assert_closed(local, "eve")


def test_a_call_through_a_proxy_ends_the_mode_on_grpc_too(tmp_path: Path) -> None:
    with running(tmp_path) as server, calling(server, {"x-forwarded-for": "127.0.0.1"}) as proxied:
        assert proxied.grpc_code("RegisterUser", auth.RegisterUserRequest(email="e@x.org", password=PHRASE)) == (
            "PERMISSION_DENIED"
        )
        with calling(server) as local:
            assert_closed(local, "eve")
        with server.neurograph() as client:
            assert client.tokens.list().total == 0


def test_the_end_is_on_disk_when_the_request_is_answered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serve(data) as server:
        server.serving()
        with calling(server, {"X-Forwarded-For": "203.0.113.9"}) as proxied:
            assert proxied.http.get("/livez").status_code == 200
        server.kill()
    with serve(data) as server:
        server.serving()
        assert "x-forwarded-for" in server.read_until("development mode is over")
        with calling(server) as caller:
            assert_closed(caller, "eve")


def test_the_first_real_account_ends_the_mode_and_sessions_are_not_prolonged(tmp_path: Path) -> None:
    with running(tmp_path) as server, calling(server) as caller:
        body = {"username": "admin", "password": "admin123"}
        pair = caller.http.post("/api/v1/auth/login", json=body).json()
        assert caller.registers("ada") == (200, "OK")
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        made = {"username": "boss", "password": "a phrase of our own", "role": "admin"}
        assert caller.http.post("/api/v1/users", json=made, headers=headers).status_code == 201
        assert_closed(caller, "eve")
        assert caller.login("boss", "a phrase of our own") == 200
        # The administrator who is at it may finish, and set a password; nobody begins or prolongs a session.
        assert caller.http.get("/api/v1/users", headers=headers).status_code == 200
        refresh = {"refresh_token": pair["refresh_token"]}
        assert caller.http.post("/api/v1/auth/refresh", json=refresh).status_code == 401
    with running(tmp_path) as server, calling(server) as caller:
        assert_closed(caller, "eve")


def test_accounts_that_register_themselves_are_developers_and_do_not_end_the_mode(tmp_path: Path) -> None:
    """FINDINGS A6: on the gateway and on gRPC; elsewhere, where an administrator registers them, viewers."""
    with running(tmp_path) as server, calling(server) as caller:
        for name in ("ada", "bob"):
            assert caller.registers(name) == (200, "OK")
        for email in ("ada-1@example.org", "bob-2@x.org"):
            token = caller.http.post("/v1/users/login", json={"email": email, "password": PHRASE}).json()["jwtToken"]
            headers = {"Authorization": f"Bearer {token}"}
            assert caller.http.get("/api/v1/auth/me", headers=headers).json()["role"] == "developer"
            body = {"name": email.partition("@")[0], "dimension": 2}
            assert caller.http.post("/v1/collections", json=body, headers=headers).status_code == 200
        assert caller.login("viewer", "viewer123") == 200
    with running(tmp_path) as server, calling(server) as caller:
        assert_open(caller, "eve")
        body = {"username": "admin", "password": "admin123"}
        admin = {"Authorization": f"Bearer {caller.http.post('/api/v1/auth/login', json=body).json()['access_token']}"}
        made = {"username": "boss", "password": "a phrase of our own", "role": "admin"}
        assert caller.http.post("/api/v1/users", json=made, headers=admin).status_code == 201
        body = {"email": "invited@example.org", "password": PHRASE}
        assert caller.http.post("/v1/users/register", json=body, headers=admin).status_code == 200
        token = caller.http.post("/v1/users/login", json=body).json()["jwtToken"]
        me = caller.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}).json()
        assert me["role"] == "viewer"


def test_names_of_others_keep_the_mode_off(tmp_path: Path) -> None:
    with serve(tmp_path / "data", "--allowed-hosts", "db.example") as server:
        server.serving()
        with calling(server, {"Host": "db.example"}) as caller:
            assert caller.login("admin", "admin123") == 401
    refused = subprocess.run(
        [VECTROGRAPH, "serve", "--data", str(tmp_path / "other"), "--host", "0.0.0.0", *FREE_PORTS],  # noqa: S104
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "vectrograph init" in refused.stderr
    # A start that was refused decided nothing.
    with running(tmp_path / "other") as started, calling(started) as caller:
        assert_open(caller, "ada")
