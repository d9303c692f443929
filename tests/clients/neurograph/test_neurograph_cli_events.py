"""`neurograph-cli events` as a real process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, CommandLine, InProcess, Terminal

from neurograph.cli._exits import ExitCode
from vectrograph import RunningServer


@pytest.fixture
def cli(vectrograph_server: RunningServer, tmp_path: Path) -> CommandLine:
    return CommandLine(vectrograph_server.http_url, tmp_path)


@contextmanager
def tail(cli: CommandLine, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    # Tests that a shell runs in the background ignore Ctrl-C, and so would what they start.
    take = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", take, *COMMAND, "events", "tail", *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=cli.environment(),
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: "subprocess.Popen[bytes]", count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_events_are_lines_and_ctrl_c_tells_how_to_go_on(cli: CommandLine) -> None:
    cli("token", "create", "one", "--metadata", '{"n": 1}')
    cli("token", "create", "two")
    with tail(cli, "tokens,metrics", "--include", "payload,text", "--since", "oldest", "--json") as process:
        first, second = lines(process, 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED
    assert out == b""
    assert (first["channel"], first["type"], first["data"]["id"]) == ("tokens", "created", 1)
    assert first["data"]["point"] == {"version": 1, "payload": {"n": 1}, "text": "one"}
    told = json.loads(err.splitlines()[0])
    # Ctrl-C may come between the writing of a line and the note that it was written: then the event comes again.
    rest = {first["id"]: [2, 3], second["id"]: [3]}[told["position"]]
    cli("token", "create", "three")
    with tail(cli, "--since", told["position"]) as process:
        assert [line["data"]["id"] for line in lines(process, len(rest))] == rest


def test_a_filter(cli: CommandLine) -> None:
    cli("token", "create", "one", "--metadata", '{"n": 1}')
    cli("token", "create", "two", "--metadata", '{"n": 2}')
    path = cli.write("filter.json", '{"path": "n", "eq": 2}')
    with tail(cli, "tokens", "--filter", f"@{path}", "--since", "oldest") as process:
        [found] = lines(process, 1)
    assert (found["data"]["id"], found["data"]["matches"]) == (2, True)


def test_a_closed_pipe_ends_it(cli: CommandLine) -> None:
    cli("token", "create", "one")
    with tail(cli, "--since", "oldest") as process:
        lines(process, 1)
        assert process.stdout is not None
        process.stdout.close()
        cli("token", "create", "two")
        assert process.wait(60) == ExitCode.BROKEN_PIPE
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"go on with: --since ")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_people_see_lines(cli: CommandLine) -> None:
    cli("token", "create", "red \x1b[31m\nalert")
    with Terminal(cli, ["events", "tail", "tokens", "--since", "oldest", "--include", "text"]) as terminal:
        terminal.read_until("tokens  created  1  v1  ")
        terminal.read_until("alert")
        assert "\x1b[31m" not in terminal.seen
        terminal.press("\x03")
        assert terminal.end() == ExitCode.INTERRUPTED
        assert "go on with: --since " in terminal.seen
        assert "interrupted" in terminal.seen


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["collection:nowhere"], ExitCode.NOT_FOUND, "nowhere"),
        (["pigeons"], ExitCode.REFUSED, "pigeons"),
        (["tokens", "--since", "AAAA"], ExitCode.REFUSED, "since"),
        (["tokens", "--include", "vector"], ExitCode.REFUSED, "include"),
        (["tokens", "--filter", "[1]"], ExitCode.USAGE, "--filter"),
        (["connections"], ExitCode.NOT_ALLOWED, "connections"),
    ],
)
def test_refusals(vectrograph_server: RunningServer, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    done = InProcess(vectrograph_server.http_url, tmp_path)("events", "tail", *words)
    assert done.code == code
    assert said in done.err


def test_an_end_from_the_server_tells_how_to_go_on(cli: CommandLine, vectrograph_server: RunningServer) -> None:
    with vectrograph_server.neurograph() as client:
        key = client.api_keys.create("reader", scopes=["tokens:read"])
        keyed = CommandLine(cli.url, cli.folder)
        file = cli.write("key", key.api_key)
        with tail(keyed, "--since", "oldest", "--api-key-file", str(file), "--json") as process:
            client.tokens.create("one")
            [found] = lines(process, 1)
            client.api_keys.revoke(key.key_id)
            assert process.wait(60) == ExitCode.NOT_AUTHENTICATED
            assert process.stderr is not None
            assert json.loads(process.stderr.readline()) == {"position": found["id"]}
            assert json.loads(process.stderr.readline())["error"]["code"] == "INVALID_API_KEY"
