"""README cannot rot: its Python runs against a real server, its commands exist and run, its links lead somewhere."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vectrograph import RunningServer

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[str]:
    return [code for tag, code in BLOCK.findall(README) if tag == language]


def test_the_python_blocks_run_in_their_order(
    vectrograph_server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for code in _blocks("python"):
        placed = code.replace("http://localhost:8000", vectrograph_server.http_url)
        placed = placed.replace("localhost:8081", vectrograph_server.grpc_address)
        exec(compile(placed, "README.md", "exec"), names)  # noqa: S102
    out = capsys.readouterr().out.splitlines()
    assert out == ["1 hello world 1.0", "a 0.005 {'title': 'first'}", "b 0.9005 {}", "True", "healthy"]


def test_the_commands_are_the_ones_that_ci_runs_or_that_run_here(tmp_path: Path) -> None:
    commands = [line.partition("#")[0].split() for code in _blocks("bash") for line in code.splitlines()]
    made = [words[1] for words in commands if words[0] == "make"]
    gate = (ROOT / ".ci" / "run").read_text()
    assert made == ["demo", "test"]
    assert all(f"make {target}" in gate for target in made)

    [serve] = [words for words in commands if words[0] != "make"]
    assert serve == [".venv/bin/vectrograph", "serve", "--data", "./data"]
    command = [str(Path(sys.executable).with_name("vectrograph")), *serve[1:]]
    ports = ["--http-port", "0", "--vectron-http-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen([*command, *ports], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert '"serving"' in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    process.stderr.close()
    assert (tmp_path / "data").is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert missing == []
