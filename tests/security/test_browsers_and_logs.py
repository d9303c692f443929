"""Rights of web pages, content of log lines, and the warning of a development server."""

import json
import re
import socket
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import VECTROGRAPH, serve
from vectrograph import running

ALLOWED, FOREIGN = "https://app.example", "https://evil.example"


def preflight(url: str, origin: str, method: str = "POST") -> httpx2.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return httpx2.options(f"{url}/api/v1/tokens", headers=headers)


def test_pages_of_named_origins_may_call_and_no_others() -> None:
    with running(cors_origins=(ALLOWED,)) as server:
        allowed = preflight(server.http_url, ALLOWED)
        assert allowed.status_code == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        answer = httpx2.get(f"{server.http_url}/livez", headers={"Origin": ALLOWED})
        assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert "x-ratelimit-remaining" in answer.headers["Access-Control-Expose-Headers"].lower()
        refused = preflight(server.http_url, FOREIGN)
        assert refused.status_code == 400
        assert "Access-Control-Allow-Origin" not in refused.headers
        assert preflight(server.http_url, ALLOWED, "PATCH").status_code == 400
        for origin in (FOREIGN, "null", f"{ALLOWED}.evil.example", ALLOWED.upper(), ALLOWED.replace("https", "http")):
            answer = httpx2.get(f"{server.http_url}/livez", headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in answer.headers, origin


def test_an_error_can_be_read_by_a_page_that_may_call() -> None:
    with running(cors_origins=(ALLOWED,)) as server:
        answer = httpx2.get(f"{server.http_url}/api/v1/tokens", headers={"Origin": ALLOWED})
        assert answer.status_code == 401
        assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED


def test_no_page_may_call_unless_one_is_named() -> None:
    with running() as server:
        assert preflight(server.http_url, ALLOWED).status_code == 405
        answer = httpx2.get(f"{server.http_url}/livez", headers={"Origin": ALLOWED})
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_form_post_and_a_forged_host_reach_nothing() -> None:
    with running() as server:
        url = f"{server.http_url}/api/v1/auth/login"
        form = b'{"username": "admin", "password": "admin123", "x": "="}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            headers = {"Content-Type": kind} if kind else {}
            assert httpx2.post(url, content=form, headers=headers).status_code == 415, kind
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80"):
            assert httpx2.get(f"{server.http_url}/livez", headers={"Host": host}).status_code == 400, host


HOSTILE = (
    b"GET /api/v1/tokens/%0a%1b[31mforged%20line HTTP/1.1\r\nX-Request-ID: a\x0bb\r\n",
    b"GET /v1/collections/%0d%0a%7b%22level%22%3a%22info%22%7d HTTP/1.1\r\nUser-Agent: \x1b[2J\r\n",
    b"GET /x HTTP/1.1\r\nX-Request-ID: forged\xe2\x80\xa8line\r\nX-Forwarded-For: \x1b[31m\r\n",
)


@pytest.mark.parametrize("form", ["json", "human"])
def test_nothing_that_is_sent_begins_a_log_line_or_colours_one(tmp_path: Path, form: str) -> None:
    with serve(tmp_path / "data", "--log-format", form, "--log-level", "debug") as server:
        found = re.search(r"\bhttp\W+(http://127\.0\.0\.1:(\d+))", server.read_until("serving"))
        assert found is not None
        for request in HOSTILE:
            with socket.create_connection(("127.0.0.1", int(found[2])), timeout=10) as connection:
                connection.sendall(request + b"Host: localhost\r\nConnection: close\r\n\r\n")
                assert connection.recv(12).startswith(b"HTTP/1.1 4")
        body = {"username": 'eve\n{"event": "forged"}\x1b[31m', "password": "hunter2\r\nforged"}
        assert httpx2.post(f"{found[1]}/api/v1/auth/login", json=body).status_code == 401
        server.process.terminate()
        server.read_until("stopped")
        lines = server.lines
    assert len(lines) > len(HOSTILE)
    for line in lines:
        assert "\x1b" not in line
        assert "forged" not in line
        assert "hunter2" not in line
        assert form == "human" or json.loads(line)["event"]


def test_development_mode_is_told_while_a_documented_password_is_in_force(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        server.serving()
        said = server.read_until("development mode")
        assert "admin, developer, viewer have their documented passwords" in said
        server.process.terminate()
        server.read_until("stopped")
    for name in ("admin", "developer", "viewer"):
        change = [VECTROGRAPH, "users", "set-password", name, "--data", str(tmp_path / "data")]
        subprocess.run(change, check=True, capture_output=True)
    with serve(tmp_path / "data") as server:
        server.serving()
        server.process.terminate()
        server.read_until("stopped")
        assert not any("development mode" in line for line in server.lines)
