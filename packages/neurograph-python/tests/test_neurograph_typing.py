"""Users' programs under users' type checkers, from a folder outside of this repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
    """Lines of the program of mistakes that are complained of, and complaints about any other program."""
    found = re.findall(pattern, output, re.MULTILINE)
    lines = {int(line) for name, line in found if name == MISTAKES}
    return lines, [f"{name}:{line}" for name, line in found if name != MISTAKES]


@pytest.mark.slow
def test_mypy_strict(outside: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--no-error-summary"]
    checked = subprocess.run(
        [*command, "--cache-dir", str(outside / "cache"), "."],
        cwd=outside,
        env={**os.environ, "MYPYPATH": os.pathsep.join(SOURCES)},
        capture_output=True,
        text=True,
        timeout=170,
    )
    lines, others = told(r"^(\w+\.py):(\d+): error", checked.stdout)
    assert (others, lines) == ([], marked(outside)), checked.stdout + checked.stderr


@pytest.mark.slow
def test_basedpyright_strict(outside: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "-p", "pyrightconfig.json"],
        cwd=outside,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)},
        capture_output=True,
        text=True,
        timeout=170,
    )
    lines, others = told(r"/(\w+\.py):(\d+):\d+ - error", checked.stdout)
    assert (others, lines) == ([], marked(outside)), checked.stdout + checked.stderr
