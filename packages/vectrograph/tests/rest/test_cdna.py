"""CDNA over the wire, and the counts of requests that a quarantine is judged by."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import Served, Start

from vectrograph.domain.cancellation import current
from vectrograph.domain.errors import DeadlineExceeded, InternalError, OutOfSpace, RateLimited, Unavailable
from vectrograph.services.call import Call
from vectrograph.services.points.tokens import NewToken
from vectrograph.services.traffic import Counts

URL = "/api/v1/cdna"
EXPLORER = [1.0, 1.5, 1.2, 2.0, 3.0, 2.5, 2.0, 5.0]


@pytest.fixture
def alone(start: Start) -> Iterator[tuple[Served, httpx2.Client]]:
    """Provide a server of its own with a developer's client."""
    served = start()
    with served.client(served.login("developer")) as client:
        yield served, client


@pytest.fixture
def client(alone: tuple[Served, httpx2.Client]) -> httpx2.Client:
    return alone[1]


def good(response: httpx2.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_the_state_of_the_beginning(client: httpx2.Client) -> None:
    status = good(client.get(f"{URL}/status"))
    assert status.keys() == {"cdna", "quarantine", "history_count"}
    cdna = status["cdna"]
    assert (cdna["version"], cdna["profile"], cdna["dimension_scales"]) == ("2.1.0", "explorer", EXPLORER)
    assert (cdna["changed_at"], cdna["modified"]) == (None, False)
    assert [cdna[f"{name}_scale"] for name in ("curiosity", "novelty", "affinity")] == [1.0, 1.0, 1.0]
    assert cdna["timestamp"].endswith("Z")
    nothing = {"active": False, "time_left": 0, "metrics": None, "started_at": None, "ends_at": None}
    assert status["quarantine"] == good(client.get(f"{URL}/quarantine/status")) == nothing
    assert status["history_count"] == 0


def test_profiles(client: httpx2.Client) -> None:
    listed = good(client.get(f"{URL}/profiles"))
    assert list(listed["profiles"]) == ["explorer", "analyzer", "creative", "quarantine"]
    assert listed["current"] == "explorer"
    one = good(client.get(f"{URL}/profiles/quarantine"))
    assert one == listed["profiles"]["quarantine"]
    assert (one["restricted"], one["max_change"], one["plasticity"], one["evolution_rate"]) == (True, 0.5, 0.1, 0.0)
    error_of(client.get(f"{URL}/profiles/conservative"), 404, "RESOURCE_NOT_FOUND")
    error_of(client.post(f"{URL}/profiles/conservative/switch"), 404, "RESOURCE_NOT_FOUND")
    switched = good(client.post(f"{URL}/profiles/creative/switch"))
    assert switched == {
        "success": True,
        "old_profile": "explorer",
        "new_profile": "creative",
        "scales": [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0],
    }
    assert good(client.get(f"{URL}/profiles"))["current"] == "creative"


def test_configuring(client: httpx2.Client) -> None:
    made = good(client.put(f"{URL}/config", json={"profile": "creative"}))
    assert made["dimension_scales"][7] == 34.0
    assert made["warnings"] == [
        "L6 is 13, above 50 % of its bound 20: caution",
        "L7 is 21, above 50 % of its bound 30: caution",
        "L8 is 34, above 50 % of its bound 50: caution",
    ]
    assert good(client.put(f"{URL}/config", json={"profile": "creative", "should_validate": False}))["warnings"] == []
    made = good(client.put(f"{URL}/config", json={"profile": "explorer", "curiosity_scale": 2}))
    assert made["dimension_scales"] == [1.0, 3.0, 1.2, 2.0, 6.0, 2.5, 2.0, 5.0]
    assert (made["curiosity_scale"], made["novelty_scale"], made["modified"]) == (2.0, 1.0, True)
    made = good(client.put(f"{URL}/config", json={"dimension_scales": [1, 2, 3, 4, 5, 6, 7, 8]}))
    assert made["dimension_scales"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert made["curiosity_scale"] is None
    assert good(client.get(f"{URL}/status"))["cdna"]["dimension_scales"] == made["dimension_scales"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"dimension_scales": [1.0] * 7}, "dimension_scales"),
        ({"dimension_scales": [1, 1, 1, 1, 1, 1, 30.5, 1]}, "dimension_scales.6"),
        ({"dimension_scales": [0, 1, 1, 1, 1, 1, 1, 1]}, "dimension_scales.0"),
        ({"dimension_scales": [0, 1, 1, 1, 1, 1, 1, 1], "should_validate": False}, "dimension_scales.0"),
        ({"dimension_scales": ["1"] * 8}, "dimension_scales.0"),
        ({"dimension_scales": [True] * 8}, "dimension_scales.0"),
        ({"curiosity_scale": -1}, "curiosity_scale"),
        ({"novelty_scale": 1e300}, "novelty_scale"),
        ({"affinity_scale": 1, "dimension_scales": EXPLORER}, "dimension_scales"),
        ({"profile": 7}, "profile"),
        ({"scales": EXPLORER}, "scales"),
    ],
)
def test_what_cannot_be_configured(client: httpx2.Client, body: dict[str, Any], field: str) -> None:
    field_error(client.put(f"{URL}/config", json=body), field)
    assert good(client.get(f"{URL}/status"))["history_count"] == 0


def test_an_unknown_profile_is_404(client: httpx2.Client) -> None:
    error_of(client.put(f"{URL}/config", json={"profile": "x" * 10_000}), 404, "RESOURCE_NOT_FOUND")


def test_validating_stores_nothing(client: httpx2.Client) -> None:
    def check(scales: list[float]) -> dict[str, Any]:
        return good(client.post(f"{URL}/validate", json={"scales": scales}))

    assert check(EXPLORER) == {"valid": True, "warnings": [], "errors": []}
    assert check([25.0] + [1.0] * 7) == {"valid": False, "warnings": [], "errors": ["L1 is 25 and must be at most 20"]}
    assert check([])["errors"] == ["0 scales were given and there are 8 levels"]
    assert check([0.05] + [1.0] * 7)["warnings"] == ["L1 is 0.05, below 0.1: it hardly counts"]
    field_error(client.post(f"{URL}/validate", content=b'{"scales": [NaN]}', headers=JSON), "body", "json_invalid")
    field_error(client.post(f"{URL}/validate", content=b'{"scales": [1e400]}', headers=JSON), "scales.0", "value_error")


JSON = {"Content-Type": "application/json"}


def test_a_quarantine_from_start_to_stop(client: httpx2.Client) -> None:
    started = good(client.post(f"{URL}/quarantine/start"))
    assert started.keys() == {"success", "message", "duration", "ends_at"}
    assert started["duration"] == 300
    status = good(client.get(f"{URL}/quarantine/status"))
    assert status["active"]
    assert 290 <= status["time_left"] <= 300
    assert status["metrics"].keys() == {
        "memory_growth", "memory_growth_mb", "connection_breaks", "error_rate", "token_churn", "requests"
    }  # fmt: skip
    error_of(client.post(f"{URL}/quarantine/start"), 409, "CONFLICT")
    error_of(client.post(f"{URL}/profiles/creative/switch"), 409, "CONFLICT")
    field_error(client.put(f"{URL}/config", json={"dimension_scales": [2.0, *EXPLORER[1:]]}), "dimension_scales.0")
    good(client.put(f"{URL}/config", json={"dimension_scales": [1.5, *EXPLORER[1:]]}))
    stopped = good(client.post(f"{URL}/quarantine/stop?apply=true"))
    assert (stopped["success"], stopped["applied"]) == (True, True)
    error_of(client.post(f"{URL}/quarantine/stop"), 409, "CONFLICT")
    good(client.post(f"{URL}/quarantine/start?duration=30"))
    good(client.put(f"{URL}/config", json={"dimension_scales": [2.0, *EXPLORER[1:]]}))
    assert good(client.post(f"{URL}/quarantine/stop"))["applied"] is False
    assert good(client.get(f"{URL}/status"))["cdna"]["dimension_scales"] == [1.5, *EXPLORER[1:]]
    found = good(client.get(f"{URL}/history?limit=4"))
    assert found["total"] == 7
    assert [entry["action"] for entry in found["history"]] == [
        "quarantine_stop", "config_update", "quarantine_start", "quarantine_applied"
    ]  # fmt: skip
    assert found["history"][1]["changes"] == {"L1": {"from": 1.5, "to": 2.0}}
    assert found["history"][2]["duration"] == 30
    assert found["history"][3]["metrics"]["requests"] > 0


@pytest.mark.parametrize("query", ["duration=29", "duration=3601", "duration=x", "duration=1.5"])
def test_durations_out_of_range(client: httpx2.Client, query: str) -> None:
    field_error(client.post(f"{URL}/quarantine/start?{query}"), "duration")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x"])
def test_limits_out_of_range(client: httpx2.Client, query: str) -> None:
    field_error(client.get(f"{URL}/history?{query}"), "limit")


def test_a_reset_is_for_administrators_and_forgets(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    good(client.post(f"{URL}/profiles/creative/switch"))
    assert (
        error_of(client.post(f"{URL}/reset"), 403, "PERMISSION_DENIED")["details"]["required_scope"] == "config:admin"
    )
    with served.client(served.login("admin")) as admin:
        done = good(admin.post(f"{URL}/reset"))
    assert (done["success"], done["cdna"]["dimension_scales"]) == (True, EXPLORER)
    found = good(client.get(f"{URL}/history"))
    assert ([entry["action"] for entry in found["history"]], found["total"]) == (["reset"], 1)


def test_an_export(client: httpx2.Client) -> None:
    good(client.post(f"{URL}/profiles/creative/switch"))
    made = good(client.post(f"{URL}/export"))
    assert (made["success"], made["data"]["cdna"]["profile"]) == (True, "creative")
    assert [(each["from"], each["to"]) for each in made["data"]["history"]] == [("explorer", "creative")]
    assert made["filename"].startswith("cdna-20")


# ---------------------------------------------------------------- counts


def settled(served: Served, wanted: Callable[[Counts], bool]) -> Counts:
    """Return the counts of the tenant once they are as expected: over HTTP a request is counted after its answer."""
    deadline = time.monotonic() + 20
    while not wanted(counts := served.services.traffic.of("default")):
        assert time.monotonic() < deadline, counts
        time.sleep(0.005)
    return counts


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (RuntimeError("a defect"), True),
        (InternalError("of the engine"), True),
        (Unavailable("busy"), True),
        (OutOfSpace("full"), True),
        (DeadlineExceeded("late"), True),
        (RateLimited("too many"), False),
    ],
)
def test_an_answer_of_500_or_more_is_a_failure(
    alone: tuple[Served, httpx2.Client], monkeypatch: pytest.MonkeyPatch, error: Exception, failed: bool
) -> None:
    served, client = alone
    good(client.post(f"{URL}/quarantine/start"))

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(served.engine, "count", fail)
    before = settled(served, lambda counts: counts.requests == 1)
    assert before.failed == 0
    client.get("/api/v1/tokens")
    counts = settled(served, lambda counts: counts.requests == 2)
    assert (counts.failed, counts.broken) == (int(failed), 0)


def test_strangers_and_other_errors_are_no_failures(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    good(client.post(f"{URL}/quarantine/start"))
    client.get("/api/v1/tokens/77")
    client.get("/api/v1/users")
    client.get("/v1/collections/nothing/status")
    with served.client("ng_nothing") as stranger:
        stranger.get("/api/v1/tokens")
    good(client.get("/api/v1/health"))
    counts = settled(served, lambda counts: counts.requests == 4)
    assert (counts.failed, counts.broken) == (0, 0)


def test_errors_roll_back_at_the_next_look(
    alone: tuple[Served, httpx2.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, client = alone
    good(client.post(f"{URL}/quarantine/start"))
    good(client.put(f"{URL}/config", json={"affinity_scale": 1.1}))

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("busy")

    with monkeypatch.context() as patch:
        patch.setattr(served.engine, "count", fail)
        for _ in range(2):
            assert client.get("/api/v1/tokens").status_code == 503
    for _ in range(16):
        good(client.get("/api/v1/tokens"))
    settled(served, lambda counts: counts.requests in (0, 20))
    assert good(client.get(f"{URL}/quarantine/status"))["active"] is False
    assert good(client.get(f"{URL}/status"))["cdna"]["dimension_scales"] == EXPLORER
    entry = good(client.get(f"{URL}/history?limit=1"))["history"][0]
    assert (entry["action"], entry["reason"]) == ("quarantine_rollback", "error_rate")
    assert entry["metrics"]["error_rate"] == 0.1


def leave(served: Served, token: str, request: bytes, when: Callable[[socket.socket], object]) -> None:
    """Send a request, and reset the connection when it is time."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        # The shortest buffer, so that an answer of some megabytes cannot hide in it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head, _, body = request.partition(b"\r\n\r\n")
        credentials = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        connection.sendall(head + b"\r\n" + credentials + body)
        when(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_caller_that_leaves_before_its_answer_is_a_broken_connection(
    alone: tuple[Served, httpx2.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, client = alone
    token = served.login("developer")
    good(client.post(f"{URL}/quarantine/start"))
    settled(served, lambda counts: counts.requests == 1)
    reached = threading.Event()
    count = served.engine.count

    def slow(*arguments: Any, **named: Any) -> int:
        gone = current()
        assert gone is not None
        reached.set()
        deadline = time.monotonic() + 20
        while not gone():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return count(*arguments, **named)

    monkeypatch.setattr(served.engine, "count", slow)
    leave(served, token, b"GET /api/v1/tokens HTTP/1.1\r\n\r\n", lambda _: reached.wait(20))
    counts = settled(served, lambda counts: counts.requests == 2)
    assert (counts.failed, counts.broken) == (0, 1)


def test_a_stream_that_is_left_midway_is_a_broken_connection(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    token = served.login("developer")
    call = Call(served.services.sessions.authenticate(token), "r")
    for _ in range(100):
        served.services.tokens.create_many(call, [NewToken("x" * 200, {"n": "y" * 5_000})] * 20)
    good(client.post(f"{URL}/quarantine/start"))
    settled(served, lambda counts: counts.requests == 1)
    leave(served, token, b"GET /api/v1/tokens/export HTTP/1.1\r\n\r\n", lambda connection: connection.recv(100))
    counts = settled(served, lambda counts: counts.requests == 2)
    assert (counts.failed, counts.broken) == (0, 1)
    with client.stream("GET", "/api/v1/tokens/export") as whole:
        assert len(list(whole.iter_lines())) == 2_000
    counts = settled(served, lambda counts: counts.requests == 3)
    assert (counts.failed, counts.broken) == (0, 1)


def test_a_large_body_that_breaks_off_is_a_broken_connection(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    token = served.login("developer")
    good(client.post(f"{URL}/quarantine/start"))
    settled(served, lambda counts: counts.requests == 1)
    head = b"POST /api/v1/tokens HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
    leave(served, token, head, lambda _: good(client.get("/api/v1/limits")))
    counts = settled(served, lambda counts: counts.requests == 2)
    assert (counts.failed, counts.broken) == (0, 1)


def test_a_connection_that_closes_after_its_answer_is_none(alone: tuple[Served, httpx2.Client]) -> None:
    served, client = alone
    good(client.post(f"{URL}/quarantine/start"))
    for _ in range(3):
        good(client.get("/api/v1/tokens", headers={"Connection": "close"}))
    assert client.head("/api/v1/tokens").status_code == 200
    body = json.dumps({"text": "t"}).encode()
    assert client.post("/api/v1/tokens", content=body, headers=JSON).status_code == 201
    counts = settled(served, lambda counts: counts.requests == 6)
    assert (counts.failed, counts.broken) == (0, 0)
