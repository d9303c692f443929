"""Each client installs alone, from folder, sdist, wheel and git subdirectory, and shares no file with the other.

FINDINGS A2: both needed a distribution `wirekit` that nobody can install. Other packages come in the versions of the
locks, so that a new release of one of them cannot fail these tests.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.workspace.interpreters import interpreter
from vectrograph import RunningServer

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sysconfig.get_path("scripts")) / "uv"
CLIENTS = {"neurograph-python": "neurograph", "vectron-client": "vectron_client"}
EXTRAS = {
    "neurograph-python": "numpy,prometheus,opentelemetry",
    "vectron-client": "numpy",
}  # those that the README shows
README_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command to its end and return what it printed; fail with all of it when the command failed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # Most modules of what is installed are never imported here.
    environment["PIP_NO_COMPILE"] = "1"
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fresh(folder: Path, python: str = sys.executable) -> Path:
    """Make an empty environment. Return its interpreter."""
    run(UV, "venv", "--quiet", "--python", python, folder)
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path, cwd: Path | None = None) -> None:
    """Install packages and check that nothing they require is missing."""
    run(UV, "pip", "install", "--quiet", "--python", python, *what, cwd=cwd)
    run(UV, "pip", "check", "--quiet", "--python", python)


@pytest.fixture(autouse=True)
def _locked_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold pip and uv to the versions of the locks, in their build environments too."""
    texts = [(ROOT / "requirements" / name).read_text() for name in ("dev.lock", "build.lock")]
    pins = {line.rstrip("\\ ") for text in texts for line in text.splitlines() if re.match(r"[a-z0-9].*==", line)}
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(sorted(pins)), encoding="utf-8")
    for variable in ("PIP_CONSTRAINT", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT"):
        monkeypatch.setenv(variable, str(constraints))


@dataclass(frozen=True)
class Built:
    """The artifacts of one distribution."""

    wheel: Path
    sdist: Path


@contextmanager
def made_once(factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """Provide a folder that all workers of this run share, and whether it is to be filled; the others wait for that."""
    parent = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        parent = parent.parent
    folder, done = parent / name, parent / f"{name}.done"
    with (parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not done.exists()
        if missing:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield folder, missing
        done.touch()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Built]:
    """Return wheel and sdist of each distribution, each built in isolation with the locked build requirements."""
    made = {}
    with made_once(tmp_path_factory, "built") as (folder, missing):
        for name in (*CLIENTS, "vectrograph"):
            out, constraints = folder / name, ROOT / "requirements" / "build.lock"
            if missing:
                run(
                    UV,
                    "build",
                    "--quiet",
                    "--build-constraints",
                    constraints,
                    "--out-dir",
                    out,
                    ROOT / "packages" / name,
                )
            [wheel], [sdist] = out.glob("*.whl"), out.glob("*.tar.gz")
            made[name] = Built(wheel, sdist)
    return made


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a git repository with this work tree in it, so that what is tested is what would be committed."""
    folder = tmp_path_factory.mktemp("repository")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if name.startswith("packages/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", *identity, "commit", "--quiet", "--message", "Everything", cwd=folder)
    return folder


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("source", ["folder", "sdist", "wheel", "git"])
def test_a_client_installs_alone(
    name: str, source: str, built: Mapping[str, Built], repository: Path, tmp_path: Path
) -> None:
    what = {
        "folder": str(repository / "packages" / name),
        "sdist": str(built[name].sdist),
        "wheel": str(built[name].wheel),
        "git": f"git+file://{repository}#subdirectory=packages/{name}",
    }[source]
    python = tmp_path / "venv" / "bin" / "python"
    if source == "git":  # as a newcomer does it, with the pip that Python brings
        run(sys.executable, "-m", "venv", tmp_path / "venv")
        run(python, "-m", "pip", "install", "--quiet", what)
        run(python, "-m", "pip", "check")
    else:
        install(fresh(tmp_path / "venv"), what)
    script = f"import {CLIENTS[name]} as client; print(client.__file__)"
    assert str(tmp_path / "venv") in run(python, "-I", "-c", script, cwd=tmp_path)
    other = next(package for package in CLIENTS.values() if package != CLIENTS[name])
    for absent in (other, "vectrograph", "wirekit"):
        found = run(python, "-I", "-c", f"import importlib.util as u; print(u.find_spec({absent!r}))", cwd=tmp_path)
        assert found == "None\n"


@pytest.mark.parametrize("name", CLIENTS)
def test_the_readme_runs_from_another_environment_against_a_server(
    name: str, built: Mapping[str, Built], vectrograph_server: RunningServer, tmp_path: Path
) -> None:
    python = fresh(tmp_path / "venv")
    install(python, f"{name}[{EXTRAS[name]}] @ {built[name].wheel.as_uri()}")
    blocks = README_BLOCK.findall((ROOT / "packages" / name / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 8
    placed = "\n".join(blocks).replace("http://localhost:8000", vectrograph_server.http_url)
    placed = placed.replace("localhost:8081", vectrograph_server.grpc_address)
    placed = placed.replace("YOUR_API_KEY", vectrograph_server.api_key)
    (tmp_path / "readme.py").write_text(placed, encoding="utf-8")
    printed = run(python, "-I", tmp_path / "readme.py", cwd=tmp_path)
    assert "failed" not in printed.lower()
    assert "error occurred" not in printed
    assert {"neurograph-python": "hello world: 1.00", "vectron-client": "['alien']"}[name] in printed


@pytest.mark.slow(seconds=100)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CLIENTS)
def test_the_tests_of_a_client_pass_in_its_folder(name: str, repository: Path, tmp_path: Path) -> None:
    """Run `pip install -e ".[dev]" && pytest` in the folder of a client; `make test` runs these tests only here.

    uv installs here, in a second where pip needs half a minute. That pip can is shown by the clients from git.
    """
    folder, python = repository / "packages" / name, fresh(tmp_path / "venv")
    install(python, "--editable", ".[dev]", cwd=folder)
    printed = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert re.search(r"^\d{3,} passed", printed.splitlines()[-1]), printed[-2000:]


def test_no_file_belongs_to_both_clients(built: Mapping[str, Built]) -> None:
    files = {name: set(zipfile.ZipFile(built[name].wheel).namelist()) for name in (*CLIENTS, "vectrograph")}
    first, second = (files[name] for name in CLIENTS)
    assert first & second == set()
    assert (first | second) & files["vectrograph"] == set()
    for name, package in CLIENTS.items():
        assert f"{package}/py.typed" in files[name]
        assert f"{package}/_wirekit/retry.py" in files[name]
        assert not [path for path in files[name] if path.startswith(("tests/", "wirekit/"))]


@pytest.mark.parametrize("removed", CLIENTS)
def test_one_client_works_when_the_other_is_removed(removed: str, built: Mapping[str, Built], tmp_path: Path) -> None:
    python = fresh(tmp_path / "venv")
    install(python, *(built[name].wheel for name in CLIENTS))
    run(UV, "pip", "uninstall", "--quiet", "--python", python, removed)
    [kept] = (package for name, package in CLIENTS.items() if name != removed)
    use = {
        "neurograph": "neurograph.NeuroGraphClient('http://localhost:1', api_key='ng_live_key').close()",
        "vectron_client": "vectron_client.VectronClient('localhost:1', api_key='key').close()",
    }[kept]
    script = (
        f"import importlib, pkgutil, {kept}, {kept}._wirekit as kit\n"
        "for module in pkgutil.iter_modules(kit.__path__): importlib.import_module(kit.__name__ + '.' + module.name)\n"
        f"{use}\nprint('used')\n"
    )
    assert run(python, "-I", "-c", script, cwd=tmp_path) == "used\n"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_runs_on_the_oldest_supported_python(
    name: str, built: Mapping[str, Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_CONSTRAINT")  # the locks hold for Python 3.11 and newer
    python = fresh(tmp_path / "venv", interpreter("3.10"))
    install(python, built[name].wheel)
    script = f"import sys, {CLIENTS[name]}; print(*sys.version_info[:2])"
    assert run(python, "-I", "-c", script, cwd=tmp_path) == "3 10\n"
