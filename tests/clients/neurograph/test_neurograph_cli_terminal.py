"""`neurograph-cli` on a terminal, as a person uses it."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine, Terminal
from scripted_server import Reply, ScriptedServer

from neurograph.cli._exits import ExitCode
from vectrograph import RunningServer

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def cli(vectrograph_server: RunningServer, tmp_path: Path) -> CommandLine:
    return CommandLine(vectrograph_server.http_url, tmp_path)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def plain(terminal: Terminal) -> str:
    return _ESCAPES.sub("", terminal.seen)


def test_a_list_is_a_table_and_stored_text_plays_no_tricks(cli: CommandLine) -> None:
    cli("token", "create", "red \x1b[31m [bold]alert", "--metadata", '{"lang": "ü"}')
    with Terminal(cli, ["token", "list"]) as terminal:
        assert terminal.end() == 0
        assert "\x1b[31m" not in terminal.seen
        seen = plain(terminal)
    assert re.search(r"id +text +metadata +created_at", seen)
    assert r"1   red \x1b[31m [bold]alert   {\"lang\": \"ü\"}".replace('\\"', '"') in seen
    with Terminal(cli, ["token", "list", "--json"]) as terminal:
        assert terminal.end() == 0
        assert terminal.seen.startswith('{"id": 1')


def test_the_password_is_asked_for_and_not_shown(cli: CommandLine) -> None:
    with Terminal(cli, ["token", "query", "nothing", "-u", "developer"], environ={}) as terminal:
        terminal.read_until("Password for developer: ")
        terminal.press("developer123\r")
        assert terminal.end() == 0
        assert "No hits." in terminal.seen
        assert "developer123" not in terminal.seen
    with Terminal(cli, ["token", "list", "-u", "developer"], environ={}) as terminal:
        terminal.read_until("Password")
        terminal.press("\x03")
        assert terminal.end() == ExitCode.INTERRUPTED
        assert "Traceback" not in terminal.seen


def test_deleting_by_filter_asks_first(cli: CommandLine) -> None:
    cli("token", "import", "-", stdin='{"text": "a", "metadata": {"n": 1}}\n{"text": "b"}\n')
    words = ["token", "delete", "--filter", '{"path": "n", "eq": 1}']
    for answer, left, code in (("n\r", 2, ExitCode.FAILED), ("y\r", 1, ExitCode.DONE)):
        with Terminal(cli, words) as terminal:
            terminal.read_until("Delete 1 tokens? [y/N]")
            terminal.press(answer)
            assert terminal.end() == code
        assert len(cli("token", "list").lines) == left


def test_an_import_draws_a_bar_and_ctrl_c_says_how_to_go_on(cli: CommandLine, pipe: tuple[int, int]) -> None:
    cli.write("a.txt", "\n".join(f"text {n}" for n in range(1200)))
    with Terminal(cli, ["token", "import", "a.txt"]) as terminal:
        assert terminal.end() == 0
        seen = plain(terminal)
    assert re.search(r"importing ━+ +100% 1,200 rows", seen)
    assert "created 1200 tokens" in seen

    reading, writing = pipe
    with Terminal(cli, ["token", "import", "-", "--format", "text"], stdin=reading) as terminal:
        os.write(writing, "".join(f"piped {n}\n" for n in range(1500)).encode())
        terminal.read_until("1,000 rows")  # the other five hundred wait for more
        terminal.press("\x03")
        assert terminal.end() == ExitCode.INTERRUPTED
        assert "Stopped after 1000 rows; continue with --skip 1000" in terminal.seen
    assert cli("status").json["tokens_count"] == 2200


def test_ctrl_c_lets_the_rows_under_way_finish(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        line = CommandLine(server.url, tmp_path)
        line.write("a.txt", "\n".join(f"text {n}" for n in range(3000)))
        server.on("GET", "/api/v1/limits", Reply(404))

        def answer(_: object) -> Reply:
            os.kill(terminal.process.pid, signal.SIGINT)
            terminal.read_until("press Ctrl-C again to stop at once")
            return Reply(201, {"tokens": [{"id": n, "text": "t", "embedding": []} for n in range(1, 1001)]})

        server.on("POST", "/api/v1/tokens/batch", answer)
        with Terminal(line, ["token", "import", "a.txt"], environ={"NEUROGRAPH_API_KEY": "k"}) as terminal:
            assert server.wait_for("POST", "/api/v1/tokens/batch", 1, timeout=20)
            assert terminal.process.wait(30) == ExitCode.INTERRUPTED
            terminal.end()
            assert "continue with --skip 1000" in terminal.seen
        assert server.count("POST", "/api/v1/tokens/batch") == 1
