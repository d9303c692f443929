"""Users' programs under users' type checkers, from a folder outside of this repository."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

import neurograph

PROGRAMS = Path(__file__).with_name("programs")
SOURCES = [str(Path(str(package.__file__)).parents[1]) for package in (neurograph,)]
MISTAKES = "mistakes.py"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    for program in PROGRAMS.glob("*.py"):
        shutil.copy(program, folder)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    return folder


def marked(folder: Path) -> set[int]:
    lines = (folder / MISTAKES).read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def told(pattern: str, output: str) -> tuple[set[int], list[str]]:
    """Return lines of the program of mistakes that are complained of, and complaints about any other program."""
    found = re.findall(pattern, output, re.MULTILINE)
    lines = {int(line) for name, line in found if name == MISTAKES}
    return lines, [f"{name}:{line}" for name, line in found if name != MISTAKES]


Checked: TypeAlias = "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def checks(outside: Path) -> Iterator[dict[str, "Future[Checked]"]]:
    """Provide both checkers, started at once: neither keeps all processors busy."""
    python = [sys.executable, "-m"]
    mypy = [*python, "mypy", "--strict", "--python-version", "3.11", "--no-error-summary"]
    pyright = [*python, "basedpyright", "--pythonpath", sys.executable, "-p", "pyrightconfig.json"]

    def check(command: list[str], variable: str) -> Checked:
        return subprocess.run(
            command,
            cwd=outside,
            env={**os.environ, variable: os.pathsep.join(SOURCES)},
            capture_output=True,
            text=True,
            timeout=170,
        )

    with ThreadPoolExecutor(2) as threads:
        yield {
            "basedpyright": threads.submit(check, pyright, "PYTHONPATH"),
            "mypy": threads.submit(check, [*mypy, "--cache-dir", str(outside / "cache"), "."], "MYPYPATH"),
        }


@pytest.mark.slow
def test_mypy_strict(outside: Path, checks: dict[str, "Future[Checked]"]) -> None:
    checked = checks["mypy"].result()
    lines, others = told(r"^(\w+\.py):(\d+): error", checked.stdout)
    assert (others, lines) == ([], marked(outside)), checked.stdout + checked.stderr


@pytest.mark.slow
def test_basedpyright_strict(outside: Path, checks: dict[str, "Future[Checked]"]) -> None:
    checked = checks["basedpyright"].result()
    lines, others = told(r"/(\w+\.py):(\d+):\d+ - error", checked.stdout)
    assert (others, lines) == ([], marked(outside)), checked.stdout + checked.stderr
