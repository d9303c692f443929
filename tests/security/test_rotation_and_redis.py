"""Two signing keys in force across restarts, and rate limits that several servers share through a real Redis."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import VECTROGRAPH
from tests.security.vectron_wire import Wire
from vectrograph import RunningServer, running
from vectrograph.app import SECRET_FILE
from vectrograph.control.signing import rotate_secret
from vectrograph.rpc._pb import auth_pb as auth


def log_in(server: RunningServer) -> dict[str, str]:
    body = {"username": "developer", "password": "developer123"}
    pair: dict[str, str] = httpx2.post(f"{server.http_url}/api/v1/auth/login", json=body).json()
    return pair


def me(server: RunningServer, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"{server.http_url}/api/v1/auth/me", headers=headers).status_code


def rotate(data: Path) -> None:
    subprocess.run([VECTROGRAPH, "rotate-signing-key", "--data", str(data)], check=True, capture_output=True)


def test_every_kind_of_token_survives_one_rotation_and_not_two(tmp_path: Path) -> None:
    with running(tmp_path) as server, Wire(server.grpc_address) as wire:
        pair = log_in(server)
        login = wire.call("Login", auth.LoginRequest(email="dev@neurograph.dev", password="developer123")).jwt_token
        made = wire.call("CreateAPIKey", auth.CreateAPIKeyRequest(name="k"), login)
        sdk = wire.call("CreateSDKJWT", auth.CreateSDKJWTRequest(api_key_id=made.key_info.key_prefix), login).sdk_jwt
    rotate(tmp_path)
    with running(tmp_path) as server:
        assert [me(server, token) for token in (pair["access_token"], login, sdk, made.full_key)] == [200] * 4
        refreshed = httpx2.post(
            f"{server.http_url}/api/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]}
        ).json()
    rotate_secret(tmp_path / SECRET_FILE)
    with running(tmp_path) as server:
        assert [me(server, token) for token in (pair["access_token"], login, sdk)] == [401] * 3
        assert [me(server, token) for token in (refreshed["access_token"], made.full_key)] == [200] * 2


def test_a_server_that_runs_takes_no_notice_until_its_next_start(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        before = log_in(server)["access_token"]
        rotate(tmp_path)
        after = log_in(server)["access_token"]
        assert (me(server, before), me(server, after)) == (200, 200)
    with running(tmp_path) as server:
        assert (me(server, before), me(server, after)) == (200, 200)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Provide a Redis of our own on a unix socket; `args[-1]` of the process is the socket's path."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("Redis is not installed; install Debian's package redis-server to run these tests.")
    path = str(tmp_path / "r.sock")
    quiet = ("--save", "", "--appendonly", "no", "--dir", str(tmp_path), "--port", "0")
    process = subprocess.Popen([binary, *quiet, "--unixsocket", path], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def socket_of(redis: subprocess.Popen[bytes]) -> str:
    assert isinstance(redis.args, list)
    return str(redis.args[-1])


def test_two_servers_count_together_in_redis_and_each_for_itself_without(
    tmp_path: Path, redis: subprocess.Popen[bytes]
) -> None:
    """An account has four requests a second; keys and accounts of both servers are in one PostgreSQL or file."""
    storage = f"redis+unix://{socket_of(redis)}"
    accounts = f"sqlite:///{tmp_path / 'accounts.sqlite'}"
    settings = {"rate_limit": 4, "rate_limit_storage": storage, "control_url": accounts}
    with ExitStack() as stack:
        first, second = (stack.enter_context(running(tmp_path / name, **settings)) for name in ("a", "b"))
        key = first.api_key
        shutil.copy(tmp_path / "a" / "signing.key", tmp_path / "b" / "signing.key")
        clients = [
            stack.enter_context(httpx2.Client(base_url=server.http_url, headers={"X-API-Key": key}))
            for server in (first, second)
        ]
        time.sleep(1.0 - time.time() % 1.0 + 0.01)
        codes = [clients[turn % 2].get("/api/v1/tokens").status_code for turn in range(8)]
        assert codes.count(200) == 4, codes
        assert codes[:2] == [200, 200]
        redis.kill()
        redis.wait()
        answers = [clients[0].get("/api/v1/tokens") for _ in range(12)]
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429}, codes
        assert clients[0].get("/readyz").status_code == 200
