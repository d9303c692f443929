"""Requests that leave a line of level info: the same on both transports."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx2
import pytest

from vectrograph import RunningServer, running
from vectrograph.services import access_log


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as started:
        # The key is made by requests of its own, before lines are looked at.
        assert started.api_key
        yield started


def call(server: RunningServer, transport: str, *, well: bool) -> None:
    key = server.api_key if well else "ng_nothing"
    if transport == "rpc":
        with grpc.insecure_channel(server.grpc_address) as opened:
            channel: Any = opened
            ask = channel.unary_unary("/vectron.v1.VectronService/ListCollections")
            if well:
                ask(b"", metadata=(("x-api-key", key),), timeout=10)
                return
            with pytest.raises(grpc.RpcError):
                ask(b"", metadata=(("x-api-key", key),), timeout=10)
        return
    answer = httpx2.get(f"{server.http_url}/api/v1/tokens", headers={"X-API-Key": key}, timeout=10)
    assert (answer.status_code == 200) is well


@pytest.mark.parametrize("transport", ["request", "rpc"])
@pytest.mark.parametrize(
    ("well", "slow", "level"), [(True, False, "debug"), (True, True, "info"), (False, False, "info")]
)
def test_what_failed_or_took_a_second_is_info_and_the_rest_debug(
    server: RunningServer,
    log_lines: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    transport: str,
    well: bool,
    slow: bool,
    level: str,
) -> None:
    monkeypatch.setattr(access_log, "SLOW_MILLISECONDS", 0.0 if slow else 60_000.0)
    call(server, transport, well=well)
    # Over HTTP the line follows the answer.
    for _ in range(200):
        if any(line["event"] == transport for line in log_lines):
            break
        time.sleep(0.02)
    (line,) = [line for line in log_lines if line["event"] == transport]
    assert line["log_level"] == level
