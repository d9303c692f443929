"""Set-up installs what the locks say, whatever has been released since (FINDINGS A1)."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.workspace.interpreters import interpreter

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "requirements"
NEWER = "9999.0"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Other supported versions of Python.
OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14") if version != OWN]
EVERY_LOCK = ("installer.txt", "run.lock", "dev.lock", "build.lock")


def _requirements(name: str) -> Iterator[Requirement]:
    for line in (LOCKS / name).read_text().replace("\\\n", " ").splitlines():
        text = line.partition(" --hash=")[0].strip()
        if text and not text.startswith("#"):
            yield Requirement(text)


def _applying(name: str, python: str) -> dict[str, str]:
    """Return the versions that a lock pins for an interpreter of this machine, by canonical name."""
    script = "import platform; print(platform.python_version())"
    asked = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    environment = {"python_version": asked.rpartition(".")[0], "python_full_version": asked}
    return {
        canonicalize_name(requirement.name): next(iter(requirement.specifier)).version
        for requirement in _requirements(name)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


def _release(folder: Path, name: str, version: str, extras: tuple[str, ...] = ()) -> None:
    """Write the wheel of an empty package into a folder that serves as an index."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Provides-Extra: {x}" for x in extras)]
    files = {
        f"{stem}.dist-info/METADATA": "\n".join([*lines, ""]),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    files[f"{stem}.dist-info/RECORD"] = record + f"{stem}.dist-info/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


def _set_up(python: str, lock: str, venv: Path, **variables: str) -> None:
    command = [python, str(ROOT / "tools" / "setup.py"), lock, "--venv", str(venv)]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def _installed(venv: Path) -> dict[str, str]:
    command = [f"{venv}/bin/uv", "pip", "list", "--python", f"{venv}/bin/python", "--format", "json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {canonicalize_name(entry["name"]): entry["version"] for entry in listed}


def _require_commands(venv: Path) -> None:
    """Show that the commands of an environment start."""
    for command in ("vectrograph", "neurograph-cli"):
        done = subprocess.run([venv / "bin" / command, "--help"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout


@pytest.mark.parametrize("name", EVERY_LOCK)
def test_every_line_of_a_lock_is_pinned_and_hashed(name: str) -> None:
    text = (LOCKS / name).read_text()
    for forbidden in ("--index-url", "--extra-index-url", "--find-links", "://", "file:"):
        assert forbidden not in text
    entries = [
        line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert len(entries) > 0
    for entry in entries:
        assert "==" in entry, entry
        assert "--hash=sha256:" in entry, entry


def test_the_demo_and_the_tests_run_the_same_versions() -> None:
    everything = {(r.name, str(r.specifier), str(r.marker)) for r in _requirements("dev.lock")}
    names = {name for name, _, _ in everything}
    for requirement in _requirements("run.lock"):
        assert requirement.name in names
        pins = {pin for name, pin, _ in everything if name == requirement.name}
        assert str(requirement.specifier) in pins, requirement


@pytest.fixture(scope="module")
def newer_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an index in which every locked package has a newer release, with the extras that others ask of it."""
    folder = tmp_path_factory.mktemp("index")
    for name in {requirement.name for lock in EVERY_LOCK for requirement in _requirements(lock)}:
        _release(folder, name, NEWER, extras=("toml", "http2", "binary", "standard", "redis"))
    return folder


@pytest.mark.parametrize(("lock", "version"), [("dev", OWN), *(("run", version) for version in OTHERS)])
def test_what_is_locked_is_installed_when_newer_releases_exist(
    lock: str, version: str, newer_releases: Path, tmp_path: Path
) -> None:
    """FINDINGS A1: pip took a newer coverage for `coverage[toml]`, and refused it because it had no hash.

    The demo's environment is made with the pip that each supported Python brings.
    """
    venv = tmp_path / "venv"
    index = str(newer_releases)
    python = interpreter(version)
    _set_up(python, lock, venv, PIP_FIND_LINKS=index, UV_FIND_LINKS=index)
    installed = _installed(venv)
    wanted = _applying(f"{lock}.lock", python) | _applying("installer.txt", python)
    assert {name: installed.get(name) for name in wanted} == wanted
    ours = {"neurograph-python", "vectron-client", "vectrograph"}
    assert set(installed) - set(wanted) - ours <= {"pip", "setuptools"}
    # The newer releases were there to be taken: without a lock they are.
    dry = [f"{venv}/bin/uv", "pip", "install", "--python", f"{venv}/bin/python", "--dry-run", "-U", "msgspec"]
    seen = subprocess.run(dry, env={**os.environ, "UV_FIND_LINKS": index}, capture_output=True, text=True, timeout=120)
    assert f"msgspec=={NEWER}" in seen.stdout + seen.stderr
    _require_commands(venv)


def test_an_older_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    python = interpreter("3.10")
    command = [python, str(ROOT / "tools" / "setup.py"), "run", "--venv", str(tmp_path / "venv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "PYTHON=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_step_that_fails_ends_the_set_up_with_its_name(tmp_path: Path) -> None:
    """No tool downloads a Python, and a failure is not covered by the next step."""
    occupied = tmp_path / "venv"
    occupied.write_text("a file where the environment should be")
    command = [sys.executable, str(ROOT / "tools" / "setup.py"), "run", "--venv", str(occupied)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "Setting up stopped at step 1" in done.stderr
