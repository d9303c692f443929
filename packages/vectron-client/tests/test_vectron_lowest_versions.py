"""The lowest grpcio and protobuf that pyproject.toml allows; everything else runs on the newest, which the lock has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
#: Tests of what the generated messages do, and of every call and stream through gRPC.
SUITES = (
    "test_vectron_codecs.py",
    *(f"scripted/test_vectron_{name}.py" for name in ("operations", "named_writes", "streams", "lifetimes", "watch")),
)


def lowest() -> dict[str, str]:
    """Return the lowest version of each package that is not ours."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.match(r"([\w-]+)>=([\d.]+)", requirement) for requirement in project["dependencies"])
    return {match[1]: match[2] for match in found if match}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a folder with the lowest versions; skips where none can be had, except in continuous integration."""
    folder = tmp_path_factory.mktemp("lowest")
    pins = [f"{name}=={version}.*" for name, version in lowest().items()]
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    command += ["--only-binary=:all:", "--target", str(folder), *pins]
    # Constraints of whoever runs the tests are about newer versions.
    environment = {name: value for name, value in os.environ.items() if name != "UV_CONSTRAINT"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode and "CI" not in os.environ:
        pytest.skip("the lowest grpcio and protobuf cannot be installed here; is there a package registry?")
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_codecs_and_calls_work_with_the_lowest_versions(installed: Path) -> None:
    script = "import grpc, google.protobuf as protobuf; print(grpc.__version__, protobuf.__version__)"
    versions = run(installed, "-c", script).split()
    floors = lowest()
    for version, floor in zip(versions, (floors["grpcio"], floors["protobuf"]), strict=True):
        assert version.split(".")[: floor.count(".") + 1] == floor.split(".")
    suites = [str(HERE / suite) for suite in SUITES]
    assert " passed" in run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *suites)
