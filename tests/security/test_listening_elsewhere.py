"""TLS, mutual TLS, certificates replaced while serving, proxies, and what a server refuses to listen on."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from typer.testing import CliRunner, Result

from benchmarks.attack.authorities import Authority
from tests.e2e.processes import FREE_PORTS, VECTROGRAPH, serve
from vectrograph import running
from vectrograph.cli import app
from vectrograph.domain.access import ALL_SCOPES, Role
from vectrograph.http.timeouts import TimedHttpProtocol
from vectrograph.services.call import Call, Principal

HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def trusting(authority: Authority, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if client is not None:
        context.load_cert_chain(*client)
    return context


def ask_grpc(address: str, authority: Authority, client: tuple[Path, Path] | None = None) -> bytes:
    key, chain = (None, None) if client is None else (client[1].read_bytes(), client[0].read_bytes())
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, chain)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options=options) as opened:
        channel: Any = opened
        answer: bytes = channel.unary_unary(HEALTH)(b"", timeout=10)
        return answer


def test_both_transports_speak_tls_and_nothing_else(tmp_path: Path, authority: Authority) -> None:
    chain, key = authority.issue("server")
    with running(tls_cert=chain, tls_key=key) as server:
        assert server.http_url.startswith("https://")
        assert httpx2.get(f"{server.http_url}/livez", verify=trusting(authority)).status_code == 200
        assert ask_grpc(server.grpc_address, authority) == b"\x08\x01"
        with pytest.raises(httpx2.TransportError):
            httpx2.get(server.http_url.replace("https", "http") + "/livez")
        channel: Any = grpc.insecure_channel(server.grpc_address)
        with channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(HEALTH)(b"", timeout=5)


def test_who_takes_nothing_of_an_event_stream_over_tls_is_closed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimedHttpProtocol, "look_seconds", 0.05)
    monkeypatch.setattr(TimedHttpProtocol, "stall_seconds", 0.3)
    chain, key = authority.issue("server")
    with running(tls_cert=chain, tls_key=key) as server, server.neurograph(verify_ssl=authority.certificate) as client:
        live = server.server.services.live
        plain = socket.create_connection(("localhost", int(server.http_url.rpartition(":")[2])))
        with trusting(authority).wrap_socket(plain, server_hostname="localhost") as reader:
            head = "GET /api/v1/events?channels=tokens&include=payload HTTP/1.1\r\nHost: localhost\r\n"
            reader.sendall(f"{head}X-API-Key: {server.api_key}\r\n\r\n".encode())
            assert reader.recv(15) == b"HTTP/1.1 200 OK"
            assert live.count == 1
            # More than all buffers on the way hold.
            for _ in range(200):
                client.tokens.create_many([{"text": "t", "metadata": {"filling": "x" * 50_000}} for _ in range(10)])
                if live.count == 0:
                    break
            deadline = time.monotonic() + 60
            while live.count and time.monotonic() < deadline:
                time.sleep(0.01)
    assert live.count == 0


def test_mutual_tls_lets_only_known_clients_in(tmp_path: Path, authority: Authority) -> None:
    chain, key = authority.issue("server")
    known = authority.issue("client")
    foreign = Authority(tmp_path / "other").issue("client")
    with running(tls_cert=chain, tls_key=key, tls_client_ca=authority.certificate) as server:
        assert httpx2.get(f"{server.http_url}/livez", verify=trusting(authority, known)).status_code == 200
        assert ask_grpc(server.grpc_address, authority, known) == b"\x08\x01"
        for nobody in (None, foreign):
            with pytest.raises(httpx2.TransportError):
                httpx2.get(f"{server.http_url}/livez", verify=trusting(authority, nobody))
            with pytest.raises(grpc.RpcError):
                ask_grpc(server.grpc_address, authority, nobody)


def test_a_replaced_certificate_is_presented_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    first, second = authority.issue("first"), Authority(tmp_path / "next")
    shutil.copy(first[0], chain)
    shutil.copy(first[1], key)
    with running(tls_cert=chain, tls_key=key) as server:
        url = f"{server.http_url}/livez"
        assert httpx2.get(url, verify=trusting(authority)).status_code == 200
        chain.write_text("half a certificate")
        assert httpx2.get(url, verify=trusting(authority)).status_code == 200
        replacement = second.issue("second")
        shutil.copy(replacement[1], key)
        shutil.copy(replacement[0], chain)
        assert httpx2.get(url, verify=trusting(second)).status_code == 200
        assert ask_grpc(server.grpc_address, second) == b"\x08\x01"
        with pytest.raises(httpx2.TransportError):
            httpx2.get(url, verify=trusting(authority))


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VECTROGRAPH, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


def within(*arguments: str, **environment: str) -> Result:
    """Run a command in this process, which takes a tenth of the time."""
    return CliRunner().invoke(app, arguments, env=environment)


def test_elsewhere_needs_an_administrator_and_encryption(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    elsewhere = ("serve", "--data", data, "--host", "0.0.0.0", *FREE_PORTS)  # noqa: S104
    refused = run(*elsewhere)
    assert refused.returncode == 1
    assert "vectrograph init" in refused.stderr
    made = run("init", "--data", data)
    assert made.returncode == 0, made.stderr
    password = made.stdout.partition("password: ")[2].strip()
    assert len(password) > 20
    refused = run(*elsewhere)
    assert refused.returncode == 1
    for way in ("--tls-cert", "--trusted-proxy", "--insecure"):
        assert way in refused.stderr
    for knob in (("--insecure",), ("--trusted-proxy", "10.0.0.1")):
        with serve(tmp_path / "data", "--host", "0.0.0.0", *knob) as server:  # noqa: S104
            url = server.serving()["http"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
            answer = httpx2.post(f"{url}/api/v1/auth/login", json={"username": "admin", "password": password})
            assert answer.status_code == 200
            published = httpx2.post(f"{url}/api/v1/auth/login", json={"username": "viewer", "password": "viewer123"})
            assert published.status_code == 401


def test_a_default_password_keeps_the_server_on_loopback_whatever_is_said(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        server.serving()
    refused = run("serve", "--data", str(tmp_path / "data"), "--host", "0.0.0.0", "--insecure", *FREE_PORTS)  # noqa: S104
    assert refused.returncode == 1
    assert "documented password of admin, developer, viewer" in refused.stderr


def test_the_command_line_manages_accounts_of_a_server_that_runs(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    secret = tmp_path / "password"
    secret.write_text("correct horse battery\n")
    assert run("init", *data, "--password-file", str(secret)).returncode == 0
    assert run("init", *data).returncode == 1
    with serve(tmp_path / "data") as server:
        url = server.serving()["http"]
        made = run("users", "create", "ada", "--role", "developer", *data, VECTROGRAPH_PASSWORD="ada's own phrase 7")
        assert made.returncode == 0, made.stderr
        assert "password:" not in made.stdout
        body = {"username": "ada", "password": "ada's own phrase 7"}
        token = httpx2.post(f"{url}/api/v1/auth/login", json=body).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx2.get(f"{url}/api/v1/auth/me", headers=headers).json()["role"] == "developer"
        assert within("users", "set-role", "ada", "viewer", *data).exit_code == 0
        assert httpx2.get(f"{url}/api/v1/auth/me", headers=headers).json()["role"] == "viewer"
        assert within("users", "disable", "ada", *data).exit_code == 0
        assert httpx2.get(f"{url}/api/v1/auth/me", headers=headers).status_code == 401
        assert "ada\tviewer\tdefault\tdisabled" in within("users", "list", *data).stdout
        assert within("users", "enable", "ada", *data).exit_code == 0
        assert within("users", "set-password", "ada", *data, "--password-file", str(secret)).exit_code == 0
        assert within("users", "delete", "ada", *data).exit_code == 0
        weak = within("users", "create", "eve", *data, VECTROGRAPH_PASSWORD="12345678")
        assert weak.exit_code == 1
        assert "12345678" not in weak.stderr
        assert within("users", "delete", "admin", *data).exit_code == 1
        record = within("audit", *data).stdout
        for action in ("user.create", "user.role", "user.disable", "user.delete", "session.login"):
            assert action in record
        assert "horse" not in record


def test_forwarded_addresses_are_believed_from_the_proxy_only(tmp_path: Path) -> None:
    wrong = {"username": "viewer", "password": "wrong"}
    for proxy, seen in (("127.0.0.1", "203.0.113.9"), ("10.0.0.1", "127.0.0.1")):
        with running(trusted_proxy=(proxy,)) as server:
            login = f"{server.http_url}/api/v1/auth/login"
            httpx2.post(login, json=wrong, headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"})
            admin = Principal("admin", "admin", Role.ADMIN, ALL_SCOPES)
            headers = {"X-API-Key": server.server.services.keys.create(Call(admin, "r"), "k", ["logs:admin"], 1).secret}
            entries = httpx2.get(f"{server.http_url}/api/v1/audit", headers=headers).json()["entries"]
            failed = [entry for entry in entries if entry["outcome"] == "INVALID_CREDENTIALS"]
            assert [entry["address"] for entry in failed] == [seen]
