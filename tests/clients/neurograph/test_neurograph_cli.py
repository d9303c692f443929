"""`neurograph-cli` with pipes, as scripts use it, against the real server: in this process, or in one of its own."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import COMMAND, CommandLine, InProcess
from scripted_server import LOGIN, Reply, ScriptedServer, Stall

from neurograph.cli._exits import MEANINGS, ExitCode
from vectrograph import RunningServer

NOBODY: dict[str, str] = {}
PACKAGE = Path(__file__).resolve().parents[3] / "packages" / "neurograph-python"


@pytest.fixture
def cli(vectrograph_server: RunningServer, tmp_path: Path) -> CommandLine:
    return InProcess(vectrograph_server.http_url, tmp_path)


@pytest.fixture
def process(vectrograph_server: RunningServer, tmp_path: Path) -> CommandLine:
    return CommandLine(vectrograph_server.http_url, tmp_path)


class TestTokens:
    def test_create_get_update_delete(self, process: CommandLine) -> None:
        created = process("token", "create", "grüße 🌍", "--metadata", '{"lang": "de"}').json
        assert (created["id"], created["text"], created["metadata"]) == (1, "grüße 🌍", {"lang": "de"})
        assert "embedding" not in created
        shown = process("token", "get", "1", "--show-embedding").json
        assert len(shown["embedding"]) > 100
        vector = json.dumps(shown["embedding"])
        again = process(
            "token", "create", "-", "--embedding", f"@{process.write('v.json', vector)}", stdin="from a pipe\n"
        )
        assert (again.json["text"], again.code) == ("from a pipe", 0)
        updated = process("token", "update", "1", "--text", "tschüss", "--clear-metadata").json
        assert (updated["text"], updated["metadata"]) == ("tschüss", {})
        assert process("token", "update", "2", "--clear-text").json["text"] is None
        assert process("token", "delete", "2").json == {"deleted": 1, "missing": []}
        assert process("token", "get", "2").code == ExitCode.NOT_FOUND

    def test_list_and_query(self, cli: CommandLine) -> None:
        cli("token", "import", "-", "--format", "text", stdin="red apple\nblue sky\n\ngreen apple\n")
        assert [row["text"] for row in cli("token", "list", "--limit", "2", "--offset", "1").lines] == [
            "blue sky",
            "green apple",
        ]
        assert len(cli("token", "list", "--all").lines) == 3
        hits = cli("token", "query", "red apple", "-k", "2").lines
        assert [hit["token"]["text"] for hit in hits] == ["red apple", "green apple"]
        assert hits[0]["similarity"] == pytest.approx(1, abs=1e-6)
        assert "embedding" not in hits[0]["token"]
        assert cli("token", "query", "--text", "red apple", "--threshold", "0.99").lines[0]["token"]["id"] == 1
        assert 1 not in [hit["token"]["id"] for hit in cli("token", "query", "--id", "1").lines]
        vector = json.dumps(cli("token", "get", "2", "--show-embedding").json["embedding"])
        assert cli("token", "query", "--vector", "-", stdin=vector).lines[0]["token"]["id"] == 2
        assert [row["id"] for row in cli("token", "list", "--all").lines] == [1, 2, 3]  # a question leaves no token
        assert cli("token", "create", "next").json["id"] == 4  # nor did it make one that is gone

    def test_grids(self, cli: CommandLine) -> None:
        for n in range(3):
            place = json.dumps({"L4Emotional": [3 * n, 0, 0]})
            cli("token", "create", f"at {3 * n}", "--coordinates", place)
        shown = cli("token", "get", "2", "--show-coordinates").json
        assert shown["coordinates"]["L4Emotional"] == {"position": [3.0, 0.0, 0.0], "derived": False}
        assert cli("grid", "create", "--bucket-size", "2").json["grid_id"] == 1
        assert cli("grid", "add", "1", "1", "2", "3").json["added"] == 3
        missing = cli("grid", "add", "1", "1", "9")
        assert missing.code == ExitCode.NOT_FOUND
        assert cli("grid", "get", "1").json["token_count"] == 3
        assert cli("grid", "status").json["grid_ids"] == [1]
        near = cli("grid", "neighbors", "1", "1", "--space", "3").lines
        assert [(row["token_id"], row["distance"]) for row in near] == [(2, 3.0), (3, 6.0)]
        found = cli("grid", "range", "1", "--center", "3,0,0", "--space", "3", "--radius", "1").lines
        assert [(row["token_id"], row["position"]) for row in found] == [(2, [3.0, 0.0, 0.0])]
        assert len(cli("grid", "range", "1", "--space", "all", "--radius", "1e6").lines) == 3
        assert cli("grid", "influence", "1", "--center", "3,0,0", "--space", "3").json == {"influence": 1.0}
        assert cli("grid", "density", "1", "--space", "3").json["tokens_in_range"] == 3
        cells = cli("grid", "cells", "1", "--space", "3").lines
        assert [(cell["x"], cell["token_ids"]) for cell in cells] == [(0, [1]), (1, [2]), (3, [3])]
        moved = cli("token", "update", "2", "--coordinates", '{"L4Emotional": [50, 0, 0]}')
        assert moved.code == 0
        assert [row["token_id"] for row in cli("grid", "neighbors", "1", "1", "--space", "3").lines] == [3]
        assert cli("grid", "remove", "1", "3").json["removed"] is True
        assert cli("grid", "range", "1", "--center", "here").code == ExitCode.USAGE
        assert cli("grid", "neighbors", "1", "1", "--space", "every").code == ExitCode.USAGE
        assert cli("grid", "delete", "1").json == {"grid_id": 1, "deleted": True}
        assert cli("grid", "get", "1").code == ExitCode.NOT_FOUND

    def test_filters(self, cli: CommandLine) -> None:
        rows = "".join(json.dumps({"text": f"t{n}", "metadata": {"n": n}}) + "\n" for n in range(6))
        cli("token", "import", "-", stdin=rows)
        three = '{"path": "n", "gte": 3}'
        assert [row["metadata"]["n"] for row in cli("token", "list", "--filter", three).lines] == [3, 4, 5]
        refused = cli("token", "delete", "--filter", three)
        assert (refused.code, "--yes" in refused.err) == (ExitCode.USAGE, True)
        assert cli("token", "delete", "--filter", three, "--yes").json == {"deleted": 3, "missing": []}
        gone = cli("token", "delete", "1", "5", "2")
        assert (gone.code, gone.json) == (ExitCode.NOT_FOUND, {"deleted": 2, "missing": [5]})


class TestKeysAndHealth:
    def test_the_life_of_a_key(self, cli: CommandLine) -> None:
        made = cli("apikey", "create", "--name", "reader", "--scopes", "tokens:read,health:read", "--expires", "3").json
        assert sorted(made["scopes"]) == ["health:read", "tokens:read"]
        key_file = cli.write("key", f"{made['api_key']}\n")
        reading = cli("token", "list", environ={"NEUROGRAPH_API_KEY_FILE": str(key_file)})
        assert (reading.code, reading.out) == (0, "")
        writing = cli("token", "create", "x", "--api-key-file", str(key_file))
        assert (writing.code, "tokens:write" in writing.err) == (ExitCode.NOT_ALLOWED, True)
        key_id = made["key_id"]
        assert [key["name"] for key in cli("apikey", "list").lines] == ["reader"]
        rotated = cli("apikey", "rotate", key_id, "--overlap", "60").json
        assert rotated["api_key"] != made["api_key"]
        assert cli("apikey", "revoke", rotated["key_id"]).json["revoked"] is True
        assert cli("apikey", "get", rotated["key_id"]).json["is_active"] is False
        revoked = cli("token", "list", environ={"NEUROGRAPH_API_KEY": rotated["api_key"]})
        assert revoked.code == ExitCode.NOT_AUTHENTICATED
        assert made["api_key"] not in revoked.err
        assert cli("apikey", "delete", rotated["key_id"]).code == 0
        assert cli("apikey", "get", rotated["key_id"]).code == ExitCode.NOT_FOUND

    def test_health_needs_nobody_and_status_does(self, cli: CommandLine) -> None:
        assert cli("health", environ=NOBODY).json["status"] == "healthy"
        refused = cli("status", environ=NOBODY)
        assert refused.code == ExitCode.NOT_AUTHENTICATED
        assert "--username" in refused.err
        assert cli("status").json["tokens_count"] == 0


class TestOptions:
    def test_they_may_stand_before_and_after_the_subcommand(self, cli: CommandLine) -> None:
        password = str(cli.write("password", "developer123\r\n"))
        nowhere = {"NEUROGRAPH_BASE_URL": "http://127.0.0.1:9"}
        options = ["--base-url", cli.url, "--username", "developer", "--password-file", password]
        assert cli(*options, "token", "list", environ=nowhere).code == 0
        assert cli("token", "list", *options, environ=nowhere).code == 0
        assert cli(*options[:2], "token", "list", *options[2:], environ=nowhere).code == 0
        # nearer to the command wins
        assert cli("--base-url", "http://127.0.0.1:9", "token", "list", *options, environ=nowhere).code == 0
        assert cli("--timeout", "nonsense", "health").code == ExitCode.USAGE

    def test_a_password_can_come_from_standard_input(self, process: CommandLine) -> None:
        words = ("token", "list", "-u", "developer", "--password-file", "-")
        assert process(*words, stdin="developer123\n", environ=NOBODY).code == 0
        wrong = process(*words, stdin="wrong-password\n", environ=NOBODY)
        assert (wrong.code, "wrong-password" in wrong.err) == (ExitCode.NOT_AUTHENTICATED, False)
        assert process(*words, stdin="", environ=NOBODY).code == ExitCode.USAGE

    def test_without_a_terminal_nobody_is_asked(self, process: CommandLine) -> None:
        refused = process("token", "list", "-u", "developer", environ=NOBODY)
        assert (refused.code, "--password-file" in refused.err) == (ExitCode.USAGE, True)

    def test_a_wrong_variable_is_named(self, cli: CommandLine) -> None:
        for variable, value in (("NEUROGRAPH_TIMEOUT", "soon"), ("NEUROGRAPH_OUTPUT", "xml")):
            refused = cli("health", environ={variable: value})
            assert (refused.code, variable in refused.err) == (ExitCode.USAGE, True)

    def test_tables_on_request_and_errors_as_json(self, cli: CommandLine) -> None:
        table = cli("--output", "table", "health", environ=NOBODY)
        assert re.search(r"^status +healthy *$", table.out, re.MULTILINE)
        assert cli("health", environ={"NEUROGRAPH_OUTPUT": "table"}).out.startswith("status")
        error = json.loads(cli("--json", "token", "get", "77").err)["error"]
        assert (error["exit_code"], error["status"], error["code"]) == (5, 404, "POINT_NOT_FOUND")
        assert error["request_id"]

    def test_debug_shows_the_wire_and_no_secret(self, process: CommandLine) -> None:
        told = process("--debug", "token", "list").err
        assert "GET /api/v1/tokens answered 200" in told
        assert "developer123" not in told

    def test_a_wrong_command_line_sends_nothing(self, tmp_path: Path) -> None:
        wrong = [
            ["token", "query"],
            ["token", "query", "a", "--id", "1"],
            ["token", "update", "1"],
            ["token", "update", "1", "--text", "a", "--clear-text"],
            ["token", "delete"],
            ["token", "create", "a", "--metadata", "[1]"],
            ["token", "create", "a", "--metadata", "{"],
            ["token", "create", "a", "--metadata", "@missing.json"],
            ["token", "create", "-", "--metadata", "-"],
            ["token", "import", "names.dat"],
            ["token", "import", "missing.csv"],
            ["token", "export", "x.tsv"],
            ["token", "get", "seven"],
            ["nonsense"],
            ["health", "--base-url", "ftp://x"],
        ]
        with ScriptedServer() as server:
            line = InProcess(server.url, tmp_path)
            for words in wrong:
                done = line(*words, environ={"NEUROGRAPH_API_KEY": "ng_key"})
                assert (done.code, "Traceback" in done.err) == (ExitCode.USAGE, False), (words, done)
                assert done.err.strip(), words
            assert server.arrived == []


class TestExitCodes:
    def test_by_status(self, tmp_path: Path) -> None:
        codes = {400: 1, 401: 3, 403: 4, 404: 5, 409: 7, 413: 6, 422: 6, 429: 8, 500: 9}
        error = {"code": "SCRIPTED", "message": "told by a script\x1b[2J", "details": {}}
        with ScriptedServer() as server:
            line = InProcess(server.url, tmp_path)
            for status, code in codes.items():
                reply = Reply(status, {"success": False, "error": error})
                server.on("GET", f"/api/v1/tokens/{status}", reply)
                done = line("token", "get", str(status), "--retries", "0", environ={"NEUROGRAPH_API_KEY": "k"})
                assert done.code == code, status
                assert r"told by a script\x1b[2J" in done.err

    def test_by_failure(self, tmp_path: Path) -> None:
        with ScriptedServer() as server:
            line = InProcess(server.url, tmp_path)
            server.on("GET", "/api/v1/health", Stall())
            assert line("health", "--timeout", "0.3").code == ExitCode.TIMED_OUT
            server.on("GET", "/api/v1/health", Reply(raw=b"<html>hello</html>"))
            assert line("health").code == ExitCode.SERVER_FAILED
            server.on("GET", "/api/v1/health", Reply(body={"status": "degraded", "version": "1"}))
            degraded = line("health")
            assert (degraded.code, degraded.json["status"]) == (ExitCode.SERVER_FAILED, "degraded")
            server.on("POST", LOGIN, Reply(503))
            assert line("status", "--retries", "0").code == ExitCode.SERVER_FAILED
        unreachable = line("health", "--retries", "0")
        assert (unreachable.code, "vectrograph serve" in unreachable.err) == (ExitCode.NO_CONNECTION, True)

    def test_the_readme_lists_them_all(self) -> None:
        readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
        rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", readme, re.MULTILINE))
        assert rows == {str(int(code)): meaning for code, meaning in MEANINGS.items()}
        assert set(MEANINGS) == set(ExitCode)

    def test_a_reader_that_leaves(self, cli: CommandLine) -> None:
        cli("token", "import", "-", "--format", "text", stdin="\n".join(f"text {n}" for n in range(3000)))
        for words in (("token", "list", "--all"), ("token", "export")):
            process = subprocess.Popen(
                [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cli.environment()
            )
            assert process.stdout is not None
            assert process.stderr is not None
            with process.stdout, process.stderr:
                process.stdout.read(1)
                process.stdout.close()
                assert process.wait(60) == ExitCode.BROKEN_PIPE
                assert process.stderr.read() == b""


class TestStart:
    def test_help_imports_no_client(self) -> None:
        program = """
import sys
from neurograph.cli._app import run
sys.argv = ["neurograph-cli", "token", "import", "--help"]
assert run() == 0
heavy = {"httpx2", "asyncio", "ssl", "numpy", "neurograph.client", "neurograph.models"} & set(sys.modules)
sys.stderr.write(" ".join(sorted(heavy)))
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert "--password-file" in done.stdout

    def test_without_typer_it_says_what_to_install(self) -> None:
        program = "import sys; sys.modules['typer'] = None; from neurograph.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "neurograph-python[cli]" in done.stderr

    def test_the_console_script_is_declared(self) -> None:
        text = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
        [(name, module, function)] = re.findall(r'^(neurograph-cli) = "([\w.]+):(\w+)"$', text, re.MULTILINE)
        assert callable(getattr(importlib.import_module(module), function))
        done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{name} 0.60.0.dev0\n"
