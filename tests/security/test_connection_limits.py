"""One address can neither hold all connections nor keep handshakes open, over HTTP and gRPC."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import httpx2
import pytest

from benchmarks.attack.authorities import Authority
from tests.e2e import processes
from tests.e2e.processes import serve

LIMIT: Final = 20
# Seconds; a busy machine is much later than the setting says.
HANDSHAKE_SECONDS: Final = 0.5
PATIENCE: Final = 45
# Silent connections are to be closed because they are too many, not because they are silent.
LONG_HANDSHAKE: Final = ("--handshake-seconds", "120")
# Another address of this machine, which the server tells apart from 127.0.0.1.
ELSEWHERE: Final = "127.0.0.2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("limits") / "authority")


@pytest.fixture(scope="module")
def served(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    chain, key = authority.issue("server")
    options = ("--tls-cert", str(chain), "--tls-key", str(key), "--handshake-seconds", str(HANDSHAKE_SECONDS))
    limit = ("--max-connections-per-address", str(LIMIT))
    with serve(tmp_path_factory.mktemp("limits") / "data", *options, *limit) as process:
        yield process.serving()
        assert process.terminate(60) == 0


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _open(port: int, count: int, source: str) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port), 20, source_address=(source, 0)) for _ in range(count)]


def _left(connections: list[socket.socket]) -> list[socket.socket]:
    """Return those that the server has not closed yet."""
    left = []
    for connection in connections:
        connection.settimeout(0)
        try:
            if connection.recv(65_536):
                left.append(connection)
        except BlockingIOError:
            left.append(connection)
        except OSError:
            continue
    return left


def _wait_until_at_most(connections: list[socket.socket], count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(connections := _left(connections)) > count:
        assert time.monotonic() < deadline, f"{len(connections)} connections are still open"
        select.select(connections, [], [], 0.1)


def test_a_tls_handshake_that_does_not_come_is_not_waited_for(served: dict[str, Any]) -> None:
    """FINDINGS B9: it took 75 s over gRPC and 59 s over HTTP."""
    began = time.monotonic()
    for address in (served["grpc"], served["http"], served["vectron_http"]):
        with ExitStack() as stack:
            silent = [stack.enter_context(one) for one in _open(_port(address), 3, "127.0.0.1")]
            _wait_until_at_most(silent, 0)
    assert time.monotonic() - began < PATIENCE


def test_hundreds_of_handshakes_that_end_at_once_do_not_end_the_server(authority: Authority, tmp_path: Path) -> None:
    """FINDINGS B9, a sibling: grpc's core aborted, because each connection swapped the certificates of all others."""
    chain, key = authority.issue("crowd")
    options = ("--tls-cert", str(chain), "--tls-key", str(key), "--handshake-seconds", "1")
    with serve(tmp_path / "data", *options, "--max-connections-per-address", "0") as process:
        served = process.serving()
        for _ in range(3):
            with ExitStack() as stack:
                crowd = [stack.enter_context(one) for one in _open(_port(served["grpc"]), 800, ELSEWHERE)]
                _wait_until_at_most(crowd, 0)
        assert process.terminate(60) == 0


def test_one_address_holds_so_many_connections_and_others_are_served(tmp_path: Path) -> None:
    """FINDINGS B9."""
    with serve(tmp_path / "data", "--max-connections-per-address", str(LIMIT), *LONG_HANDSHAKE) as process:
        served = process.serving()
        with ExitStack() as stack:
            port = _port(served["grpc"])
            first = [stack.enter_context(one) for one in _open(port, LIMIT, ELSEWHERE)]
            crowd = [stack.enter_context(one) for one in _open(port, 3 * LIMIT, ELSEWHERE)]
            crowd += [stack.enter_context(one) for one in _open(_port(served["http"]), LIMIT, ELSEWHERE)]
            _wait_until_at_most([*first, *crowd], LIMIT)
            process.read_until("closed connections of addresses with too many connections")
            with grpc.insecure_channel(served["grpc"]) as opened:
                channel: Any = opened
                assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20) == b"\x08\x01"
            assert httpx2.get(f"{served['http']}/livez", timeout=20).status_code == 200
        assert process.terminate(60) == 0


def test_one_address_cannot_take_all_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS B9: whatever the setting says, half of the descriptors is the most."""
    command = tmp_path / "vectrograph"
    command.write_text(f'#!/bin/sh\nulimit -n 256\nexec "{processes.VECTROGRAPH}" "$@"\n')
    command.chmod(0o755)
    monkeypatch.setattr(processes, "VECTROGRAPH", str(command))
    with serve(tmp_path / "data", *LONG_HANDSHAKE) as process:
        served = process.serving()
        with ExitStack() as stack:
            crowd = [stack.enter_context(one) for one in _open(_port(served["grpc"]), 400, ELSEWHERE)]
            _wait_until_at_most(crowd, 128)
            login = {"username": "developer", "password": "developer123"}
            assert httpx2.post(f"{served['http']}/api/v1/auth/login", json=login, timeout=60).status_code == 200
            with grpc.insecure_channel(served["grpc"]) as opened:
                channel: Any = opened
                assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60) == b"\x08\x01"
            assert httpx2.get(f"{served['http']}/livez", timeout=60).status_code == 200
        assert process.terminate(60) == 0
