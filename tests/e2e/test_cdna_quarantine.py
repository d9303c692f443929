"""Quarantines of a server that is stopped and killed."""

import json
import socket
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.processes import ServerProcess, serve

EXPLORER = [1.0, 1.5, 1.2, 2.0, 3.0, 2.5, 2.0, 5.0]
TRIED = [1.5, *EXPLORER[1:]]
PASSWORD = "a phrase of another tenant"


def address_of(server: ServerProcess) -> str:
    return str(server.serving()["http"])


def login(url: str, username: str, password: str) -> dict[str, str]:
    answer = httpx2.post(f"{url}/api/v1/auth/login", json={"username": username, "password": password}, timeout=60)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def key_of(url: str, login: dict[str, str]) -> dict[str, str]:
    """Return an API key, which outlives restarts and the end of development mode."""
    answer = httpx2.post(f"{url}/api/v1/api-keys", json={"name": "k"}, headers=login, timeout=60)
    return {"X-API-Key": answer.json()["api_key"]}


def client_of(url: str, key: dict[str, str]) -> httpx2.Client:
    return httpx2.Client(base_url=f"{url}/api/v1/cdna/", headers=key, timeout=60, verify=False)


def good(response: httpx2.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    body: dict[str, Any] = response.json()
    return body


def begin(client: httpx2.Client, duration: int) -> None:
    good(client.post(f"quarantine/start?duration={duration}"))
    good(client.put("config", json={"dimension_scales": TRIED}))


def actions(client: httpx2.Client) -> list[str]:
    return [entry["action"] for entry in good(client.get("history"))["history"]]


@pytest.mark.slow(seconds=10)
def test_a_quarantine_of_one_tenant_goes_on_after_kill_9_and_can_be_stopped(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        url = address_of(server)
        mine = key_of(url, login(url, "developer", "developer123"))
        account = {"username": "eve", "password": PASSWORD, "role": "developer", "tenant": "other"}
        admin = login(url, "admin", "admin123")
        good(httpx2.post(f"{url}/api/v1/users", json=account, headers=admin, timeout=60))
        hers = key_of(url, login(url, "eve", PASSWORD))
        with client_of(url, mine) as client, client_of(url, hers) as eve:
            begin(client, 3600)
            good(eve.post("profiles/creative/switch"))
            server.kill()
    with serve(tmp_path / "data") as server:
        url = address_of(server)
        with client_of(url, mine) as client, client_of(url, hers) as eve:
            status = good(client.get("status"))
            assert status["quarantine"]["active"]
            assert 3500 < status["quarantine"]["time_left"] <= 3600
            assert status["cdna"]["dimension_scales"] == TRIED
            assert client.post("profiles/creative/switch").status_code == 409
            assert good(eve.get("status"))["quarantine"]["active"] is False
            assert actions(eve) == ["profile_switch"]
            good(client.post("quarantine/stop"))
            assert good(client.get("status"))["cdna"]["dimension_scales"] == EXPLORER
        assert server.terminate() == 0
    with serve(tmp_path / "data") as server, client_of(address_of(server), mine) as client:
        assert good(client.get("status"))["cdna"]["dimension_scales"] == EXPLORER
        assert actions(client) == ["quarantine_stop", "config_update", "quarantine_start"]


@pytest.mark.slow(seconds=45)
def test_a_quarantine_expires_while_its_server_is_down_and_on_one_that_nobody_asks(tmp_path: Path) -> None:
    """The wall clock of another process cannot be moved: the shortest quarantine is waited for, on two servers."""
    with serve(tmp_path / "down") as killed, serve(tmp_path / "up") as server:
        keys = []
        for each in (killed, server):
            url = address_of(each)
            keys.append(key_of(url, login(url, "developer", "developer123")))
            with client_of(url, keys[-1]) as client:
                begin(client, 30)
        killed.kill()
        server.read_until("quarantine ended", 60)
        with client_of(url, keys[1]) as client:
            assert good(client.get("status"))["cdna"]["dimension_scales"] == EXPLORER
            assert actions(client)[0] == "quarantine_expired"
        assert server.terminate() == 0
    with serve(tmp_path / "down") as again:
        url = address_of(again)
        # Stored by the start itself, before anybody asks.
        with closing(sqlite3.connect(f"file:{tmp_path / 'down' / 'control.sqlite'}?mode=ro", uri=True)) as database:
            assert database.execute("SELECT quarantine_ends_at FROM cdna_states").fetchall() == [(None,)]
        with client_of(url, keys[0]) as client:
            assert good(client.get("status"))["cdna"]["dimension_scales"] == EXPLORER
            assert actions(client)[0] == "quarantine_expired"


def leave(url: str, key: str) -> None:
    """Begin a large request, and reset the connection in the middle of it."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as connection:
        head = f"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n"
        body = "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
        connection.sendall((head + body).encode())
        # The answer of another request shows that the server has taken up the first bytes of this one.
        httpx2.get(f"{url}/livez", timeout=60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def time_out(url: str, key: dict[str, str], milliseconds: int) -> None:
    """Send a request that takes longer than it may: 504 once its caller is known."""
    texts = [{"text": f"{n} words that take a while to embed"} for n in range(5_000)]
    headers = {**key, "X-Request-Timeout-Ms": str(milliseconds)}
    httpx2.post(f"{url}/api/v1/tokens/batch", json={"tokens": texts}, headers=headers, timeout=60)


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("reason", ["connection_breaks", "error_rate"])
def test_a_server_rolls_back_by_itself(tmp_path: Path, reason: str) -> None:
    with serve(tmp_path / "data") as server:
        url = address_of(server)
        key = key_of(url, login(url, "developer", "developer123"))
        with client_of(url, key) as client:
            begin(client, 3600)
            for attempt in range(100):
                if reason == "connection_breaks":
                    leave(url, key["X-API-Key"])
                else:
                    time_out(url, key, 5 * (1 + attempt % 10))
                if not good(client.get("quarantine/status"))["active"]:
                    break
            assert good(client.get("status"))["cdna"]["dimension_scales"] == EXPLORER
            entry = good(client.get("history"))["history"][0]
            assert (entry["action"], entry["reason"]) == ("quarantine_rollback", reason)
            assert entry["metrics"]["requests"] >= 20
        assert server.terminate() == 0


# For each SQL statement and commit of an action: a process that kills itself when it begins, and another one that looks
# at what is left. All are forks of one that has everything imported and nothing open.
KILLED = """
import json, os, signal, sys, traceback
from pathlib import Path
from sqlalchemy import event
from vectrograph.control.store import ControlStore, sqlite_url
from vectrograph.domain.cdna import Wish, configured, ended, reset, started, stopped, Ending
root, action = Path(sys.argv[1]), sys.argv[2]
acts = {
    "start": lambda s: started(s, 60, 1, 1.0),
    "configure": lambda s: configured(s, Wish(factors={"curiosity_scale": 1.1}), 1),
    "apply": lambda s: stopped(s, apply=True, metrics={}, now=1),
    "stop": lambda s: stopped(s, apply=False, metrics={}, now=1),
    "rollback": lambda s: ended(s, Ending.ERRORS, {}, 1),
    "reset": lambda s: reset(s, 1),
}
def opened(nth):
    directory = root / str(nth)
    directory.mkdir(exist_ok=True)
    return ControlStore.open(sqlite_url(directory / "control.sqlite"), directory, watched=True)
def state(store):
    return repr((store.cdna.get("default"), store.cdna.count("default")))
def act(nth, say):
    store = opened(nth)
    for before in {"start": [], "reset": ["configure"]}.get(action, ["start", "configure"]):
        store.cdna.change("default", acts[before])
    say(state(store))
    count = 0
    def step(*_):
        nonlocal count
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(store._database._engine, "before_cursor_execute", step)
    event.listen(store._database._engine, "commit", step)
    store.cdna.change("default", acts[action])
    say(count)
    say(state(store))
def look(nth, say):
    say(state(opened(nth)))
def forked(function, nth):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            function(nth, lambda said: os.write(writing, (json.dumps(said) + "\\n").encode()))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = [json.loads(line) for line in pipe]
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said
whole = forked(act, 0)
steps = range(1, whole[1][1] + 1)
print(json.dumps([whole, [(forked(act, nth), forked(look, nth)) for nth in steps]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("action", ["start", "configure", "apply", "stop", "rollback", "reset"])
def test_kill_9_between_the_steps_of_an_action_leaves_all_of_it_or_nothing(tmp_path: Path, action: str) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), action]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    whole, kills = json.loads(done.stdout)
    before, steps, after = whole[1]
    assert whole[0] == 0, done.stderr
    assert before != after
    assert steps >= 4
    assert len(kills) == steps
    for killed, seen in kills:
        assert killed == [-9, [before]], done.stderr
        assert seen == [0, [before]], done.stderr
