"""Streams of events over restarts: of a server that is killed or stopped, and of a program that saves its position."""

import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from neurograph import EventStream, NeuroGraphClient
from tests.e2e.processes import ServerProcess, serve

LOGIN: dict[str, Any] = {"username": "developer", "password": "developer123"}


@pytest.fixture
def port() -> int:
    """Return a port that is free, and that a server can be given again when it restarts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        found: int = server.getsockname()[1]
    return found


def taken(events: EventStream, count: int) -> list[object]:
    return [next(events).point_id for _ in range(count)]


def created(server: ServerProcess, count: int) -> list[object]:
    """Create tokens; returns their ids."""
    with NeuroGraphClient(server.serving()["http"], **LOGIN) as client:
        return [token.id for token in client.tokens.create_many([f"text {n}" for n in range(count)])]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_stream_outlives_its_server(
    tmp_path: Path, port: int, how: str, transport: Literal["sse", "websocket"]
) -> None:
    options = (tmp_path / "data", "--http-port", str(port))
    heard: list[str] = []
    with NeuroGraphClient(
        f"http://127.0.0.1:{port}", on_retry=lambda retry: heard.append(str(retry.error)), **LOGIN
    ) as client:
        with serve(*options) as server:
            first = created(server, 5)
            events = client.events.subscribe("tokens", since="oldest", transport=transport)
            assert taken(events, 3) == first[:3]
            if how == "kill":
                server.kill()
            else:
                assert server.terminate() == 0, "an open stream keeps the server from stopping"
        with serve(*options) as server:
            second = created(server, 4)
            assert taken(events, 6) == [*first[3:], *second]
            assert events.position is not None
            # A position is the same over both.
            with client.events.subscribe("tokens", since=events.position) as others:
                third = [client.tokens.create("one more").id]
                assert taken(events, 1) == taken(others, 1) == third
        events.close()
    assert heard
    if how == "terminate":
        assert "SERVER_STOPPING" in heard[0]


_PROGRAM = """
    import sys
    from pathlib import Path
    from neurograph import NeuroGraphClient

    journal = Path(sys.argv[1])
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    whole = [line.split() for line in lines if line.endswith("\\n")]
    journal.write_text("".join(f"{number} {position}\\n" for number, position in whole))
    since = whole[-1][1] if whole else "oldest"
    with NeuroGraphClient(sys.argv[2], username="developer", password="developer123") as client:
        with journal.open("a") as file, client.events.subscribe("tokens", since=since) as events:
            for event in events:
                file.write(f"{event.point_id} {event.id}\\n")  # what was done, and the position after it: one line
                file.flush()
                print(event.point_id, flush=True)
"""


@contextmanager
def listening(journal: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the program; it is killed at the end of the block."""
    command = [sys.executable, "-c", textwrap.dedent(_PROGRAM), str(journal), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


@pytest.mark.slow
def test_a_program_that_saves_its_position_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with serve(tmp_path / "data") as server:
        url = server.serving()["http"]
        expected: list[int] = []
        with NeuroGraphClient(url, **LOGIN) as client:
            for restart in range(4):
                expected += [token.id for token in client.tokens.create_many(["before"] * 50)]
                with listening(journal, url) as program:
                    assert program.stdout is not None
                    expected += [client.tokens.create(f"meanwhile {n}").id for n in range(5)]
                    # It is killed in the middle of what it has to read, or after that when it is quick.
                    for _ in range(7 + 11 * restart):
                        program.stdout.readline()
            with listening(journal, url) as program:
                assert program.stdout is not None
                expected += [client.tokens.create("last").id]
                last = f"{expected[-1]}\n"
                while (line := program.stdout.readline()) != last:
                    assert line, "the program ended"
    numbers = [int(line.split()[0]) for line in journal.read_text().splitlines()]
    assert numbers == expected
