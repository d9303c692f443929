"""Failures behind a handler: defects stay private, storage errors have their statuses, deadlines are kept."""

import asyncio
import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import httpx2
import pytest
from rest.envelope import error_of, field_error
from rest.serving import Served, Start

from vectrograph.domain import errors as domain
from vectrograph.http.middleware.failures import Failures
from vectrograph.http_app import write_error
from vectrograph.services.limits.queueing import worker_threads
from vectrograph.services.limits.refusal_log import RefusalLog


@pytest.fixture
def breakable(
    served: Served, developer: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Exception], httpx2.Client]:
    """Provide a function that makes every listing of tokens raise, and returns a client to see it with."""

    def breaking(error: Exception) -> httpx2.Client:
        def fail(*_: object, **__: object) -> NoReturn:
            raise error

        monkeypatch.setattr(served.engine, "scroll", fail)
        return developer

    return breaking


@pytest.mark.parametrize(
    "error", [RuntimeError("swordfish"), domain.InternalError("swordfish"), TimeoutError("swordfish")]
)
def test_a_defect_is_500_without_its_text_and_logged_with_its_traceback(
    breakable: Callable[[Exception], httpx2.Client], log_lines: list[Any], error: Exception
) -> None:
    headers = {"X-Request-ID": "trace-me", "X-Request-Timeout-Ms": "60000"}
    response = breakable(error).get("/api/v1/tokens", headers=headers)
    told = error_of(response, 500, "INTERNAL_ERROR")
    assert told["details"] == {}
    assert told["request_id"] == "trace-me"
    assert "swordfish" not in response.text
    (line,) = [line for line in log_lines if line["log_level"] == "error"]
    assert line["exc_info"] is error
    assert error.__traceback__ is not None
    assert line["request_id"] == "trace-me"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (domain.Unavailable("later", retry_after=7.2), 503),
        (domain.OutOfSpace("The disk is full."), 507),
        (domain.StorageReadOnly("read only"), 503),
        (domain.CollectionQuarantined("damaged"), 503),
        (domain.DeadlineExceeded("too late"), 504),
        (domain.RateLimited("slow down", retry_after=0.3), 429),
        (domain.Conflict("no"), 409),
        (domain.TooLarge("big", details={"limit": 1, "unit": "bytes"}), 413),
    ],
)
def test_errors_of_the_domain_have_their_statuses(
    breakable: Callable[[Exception], httpx2.Client], log_lines: list[Any], error: domain.DomainError, status: int
) -> None:
    response = breakable(error).get("/api/v1/tokens")
    told = error_of(response, status, error.code)
    assert told["message"] == error.message
    assert told["details"] == error.details
    expected = {7.2: "8", 0.3: "1", None: None}[error.retry_after]
    assert response.headers.get("retry-after") == expected
    warned = [line for line in log_lines if line["log_level"] == "warning"]
    assert len(warned) == (1 if status >= 500 else 0)


# ---------------------------------------------------------------- deadlines

HEADER = "X-Request-Timeout-Ms"


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "1e3", "9" * 13, "٣"])
def test_a_timeout_that_is_no_positive_number_is_refused(developer: httpx2.Client, value: str) -> None:
    field_error(developer.get("/api/v1/tokens", headers={HEADER.encode(): value.encode()}), HEADER)


def test_the_deadline_reaches_the_services(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    scroll = served.engine.scroll
    deadlines: list[float | None] = []

    def watched(*args: Any, deadline: float | None = None) -> Any:
        deadlines.append(deadline)
        return scroll(*args, deadline=deadline)

    monkeypatch.setattr(served.engine, "scroll", watched)
    with served.client(served.login("developer")) as client:
        before = time.monotonic()
        assert client.get("/api/v1/tokens", headers={HEADER: "60000"}).status_code == 200
        assert client.get("/api/v1/tokens").status_code == 200
    given, absent = deadlines
    assert given is not None
    assert before + 60 <= given <= time.monotonic() + 60
    assert absent is None


def test_a_body_that_takes_too_long_is_not_worked_on(served: Served, developer: httpx2.Client) -> None:
    total = developer.get("/api/v1/tokens").json()["total"]
    gate = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b'{"text":'
        gate.wait(0.05)
        yield b'"late"}'

    headers = {HEADER: "20", "Content-Type": "application/json"}
    response = developer.post("/api/v1/tokens", content=slow(), headers=headers)
    error_of(response, 504, "DEADLINE_EXCEEDED")
    assert developer.get("/api/v1/tokens").json()["total"] == total


def test_waiting_for_a_thread_ends_at_the_deadline_and_probes_still_answer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()
    credential = served.login("developer")
    release, busy = threading.Event(), threading.Semaphore(0)

    def stuck(*_: object, **__: object) -> NoReturn:
        busy.release()
        release.wait(20)
        raise domain.Unavailable("released")

    monkeypatch.setattr(served.engine, "scroll", stuck)

    def occupy(_: int) -> int:
        with served.client(credential) as client:
            return client.get("/api/v1/tokens").status_code

    threads = worker_threads()
    with ThreadPoolExecutor(threads) as pool:
        occupied = [pool.submit(occupy, number) for number in range(threads)]
        for _ in occupied:
            assert busy.acquire(timeout=10)
        try:
            with served.client(credential) as client:
                late = client.get("/api/v1/tokens", headers={HEADER: "50"})
                error_of(late, 504, "DEADLINE_EXCEEDED")
                assert client.get("/livez").status_code == 200
                login = {"username": "viewer", "password": "viewer123"}
                assert client.post("/api/v1/auth/login", json=login).status_code == 200
        finally:
            release.set()
        assert {future.result() for future in occupied} == {503}


def test_a_client_that_goes_away_mid_body_leaves_nothing_behind(
    served: Served, developer: httpx2.Client, log_lines: list[Any]
) -> None:
    total = developer.get("/api/v1/tokens").json()["total"]
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        head = (
            "POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f'Authorization: Bearer {served.login("developer")}\r\nContent-Length: 40\r\n\r\n{{"text":"half"}}'
        )
        connection.sendall(head.encode())
    deadline = time.monotonic() + 10
    while not any(line["event"].startswith("client disconnected") for line in log_lines):
        assert time.monotonic() < deadline, "the server did not notice"
        time.sleep(0.005)
    assert developer.get("/api/v1/tokens").json()["total"] == total


def test_a_refused_body_is_let_go_of_at_once() -> None:
    """FINDINGS B6: refused bodies stayed in memory until the garbage collector came."""
    refused: list[weakref.ref[Exception]] = []

    async def app(*_: object) -> None:
        error = domain.TooLarge("send less")  # in a circle with its frame
        refused.append(weakref.ref(error))
        raise error from ValueError("what the parser said")

    async def answer() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/v1/tokens",
            "headers": [],
            "vectrograph.request_id": "r",
        }
        await Failures(app, RefusalLog("http"), write_error)(scope, receive, send)
        return sent

    gc.disable()
    try:
        assert asyncio.run(answer())[0]["status"] == 413
        assert [each() for each in refused] == [None]
    finally:
        gc.enable()
