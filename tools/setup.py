"""Build a virtual environment from a lock of `requirements/`: `python tools/setup.py run` for the demo, `dev` for all.

The locks `bench` and `bench-client` hold the peers of the benches.

Nothing here depends on what is newest today. pip, whichever version Python brought, installs one package from one
hashed line: uv. uv installs exactly the packages of the lock, without resolving anything, and builds the distributions
of this repository with the build requirements of `requirements/build.lock`. Standard library only.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
DISTRIBUTIONS = ("neurograph-python", "vectron-client", "vectrograph")
OLDEST = (3, 11)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build or update the environment. Return 0, or the exit status of the step that failed."""
    parser = argparse.ArgumentParser(prog="tools/setup.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "lock",
        choices=["run", "dev", "bench", "bench-client"],
        help="run: server and clients; dev: tools and tests too; bench, bench-client: the peers of the benches",
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment")
    options = parser.parse_args(arguments)
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        print(
            f"Python {wanted} or newer is needed, this is {sys.version.split()[0]}. "
            f"Name another with: make PYTHON=/path/to/python{wanted}",
            file=sys.stderr,
        )
        return 2
    venv: Path = options.venv.absolute()
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv = python.with_name("uv.exe" if os.name == "nt" else "uv")
    lock = LOCKS / f"{options.lock}.lock"
    installer, build = LOCKS / "installer.txt", LOCKS / "build.lock"
    editables = [part for name in DISTRIBUTIONS for part in ("--editable", str(ROOT / "packages" / name))]
    steps: list[tuple[str, list[str | Path]]] = []
    if not _made_by_this_python(venv):
        steps.append((f"create {_shown(venv)}", [sys.executable, "-m", "venv", "--clear", str(venv)]))
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps += [
        ("install uv", [*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", installer]),
        (f"install {_shown(lock)}", [uv, "pip", "sync", "--python", python, installer, lock]),
        (
            "build and link the distributions",
            [uv, "pip", "install", "--python", python, "--no-deps", "--build-constraints", build, *editables],
        ),
    ]
    environment = _environment(venv)
    started = time.monotonic()
    for number, (title, command) in enumerate(steps, start=1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if status:
            print(f"Setting up stopped at step {number}, {title}: exit status {status}.", file=sys.stderr)
            return status
    print(f"Ready: {_shown(venv)} in {time.monotonic() - started:.0f} s", flush=True)
    return 0


def _made_by_this_python(venv: Path) -> bool:
    """Return whether the environment exists and belongs to the running Python, down to the patch release."""
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    facts = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    mine = ".".join(map(str, sys.version_info[:3]))
    home = facts.get("home", "")
    return facts.get("version", "") == mine and bool(home) and Path(home).resolve() == _home()


def _home() -> Path:
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve().parent


def _environment(venv: Path) -> dict[str, str]:
    """Return the environment of the steps: uv never downloads a Python, and uses the index that pip is told to use."""
    environment = {**os.environ, "VIRTUAL_ENV": str(venv), "UV_PYTHON_DOWNLOADS": "never"}
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = os.environ.get("PIP_INDEX_URL") or subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    if index.strip() and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environment.keys():
        environment["UV_DEFAULT_INDEX"] = index.strip()
    return environment


def _shown(path: Path) -> str:
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
