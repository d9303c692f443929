"""Every import contract fails when it is violated.

Violations are planted in a copy of the packages, and the linter must name each under its contract.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = "packages/vectrograph/src/vectrograph"

VIOLATIONS = (
    (
        "Server layers: app, settings, transports, services, engines and control, domain",
        f"{SERVER}/services/planted.py",
        "import vectrograph.http_app\n",
    ),
    (
        "Server layers: app, settings, transports, services, engines and control, domain",
        f"{SERVER}/vectron/planted.py",
        "import vectrograph.rpc.errors\n",
    ),
    (
        "Server layers: app, settings, transports, services, engines and control, domain",
        f"{SERVER}/live/planted.py",
        "import vectrograph.rest.errors\n",
    ),
    (
        "Settings are read without the parts that they configure",
        f"{SERVER}/settings.py",
        "import vectrograph.services.call\n",
    ),
    (
        "Rooms of Vectron's operations",
        f"{SERVER}/vectron/_messages/planted.py",
        "import vectrograph.vectron.points\n",
    ),
    ("Rooms of HTTP", f"{SERVER}/http/errors.py", "import vectrograph.http.endpoint\n"),
    ("Rooms of the services", f"{SERVER}/services/limits/planted.py", "import vectrograph.services.points.search\n"),
    ("Rooms of gRPC", f"{SERVER}/rpc/codec/planted.py", "import vectrograph.rpc.exchange\n"),
    ("Rooms of the gateway", f"{SERVER}/gateway/hits.py", "import vectrograph.gateway.routes\n"),
    (
        "Rooms of the embedded engine",
        f"{SERVER}/engines/embedded/rows/planted.py",
        "import vectrograph.engines.embedded.truth.store\n",
    ),
    (
        "Rooms of the PostgreSQL engine",
        f"{SERVER}/engines/postgres/codec.py",
        "import vectrograph.engines.postgres.engine\n",
    ),
    (
        "Engines do not know each other",
        f"{SERVER}/engines/postgres/planted.py",
        "import vectrograph.engines.embedded\n",
    ),
    (
        "Engines do not know each other",
        f"{SERVER}/engines/embedded/disk/planted.py",
        "import vectrograph.engines.reference\n",
    ),
    (
        "Services receive an engine and never construct one",
        f"{SERVER}/services/planted.py",
        "import vectrograph.engines.reference\n",
    ),
    ("The domain knows no framework", f"{SERVER}/domain/planted.py", "import msgspec\n"),
    ("Services and Vectron's operations know no transport", f"{SERVER}/services/planted.py", "import starlette\n"),
    ("Services and Vectron's operations know no transport", f"{SERVER}/vectron/planted.py", "import grpc\n"),
    (
        "Clients and server meet on the wire",
        "packages/neurograph-python/src/neurograph/planted.py",
        "import vectrograph.domain\n",
    ),
    (
        "The server imports no client (only in-process running hands them out)",
        f"{SERVER}/services/planted.py",
        "import neurograph\n",
    ),
    (
        "Clients do not know each other",
        "packages/neurograph-python/src/neurograph/planted.py",
        "import vectron_client\n",
    ),
    (
        "Rooms of the REST client",
        "packages/neurograph-python/src/neurograph/_protocol/planted.py",
        "import neurograph._execution.executor\n",
    ),
    (
        "Rooms of the gRPC client",
        "packages/vectron-client/src/vectron_client/_execution/planted.py",
        "import vectron_client._transport.channel\n",
    ),
    (
        "wirekit is standard library only",
        "packages/neurograph-python/src/neurograph/_wirekit/planted.py",
        "import pydantic\n",
    ),
    (
        "Only neurograph._transport.http imports httpx2",
        "packages/neurograph-python/src/neurograph/planted.py",
        "import httpx2\n",
    ),
    (
        "Only vectron_client._transport.channel imports grpc",
        "packages/vectron-client/src/vectron_client/planted.py",
        "import grpc\n",
    ),
)


def _lint(workspace: Path) -> subprocess.CompletedProcess[str]:
    paths = ":".join(str(source) for source in sorted(workspace.glob("packages/*/src")))
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=workspace,
        env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("workspace")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for source in ROOT.glob("packages/*/src"):
        shutil.copytree(source, copy / source.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_the_tree_as_it_is_keeps_every_contract(workspace: Path) -> None:
    result = _lint(workspace)
    assert result.returncode == 0, result.stdout + result.stderr
    contracts = re.findall(r"^(.+) KEPT", result.stdout, re.MULTILINE)
    assert {contract.strip() for contract in contracts} == {contract for contract, _, _ in VIOLATIONS}


@pytest.fixture(scope="module")
def reports(workspace: Path) -> dict[str, str]:
    """Plant all violations, lint once, and return the report on each contract."""
    for number, (_, path, text) in enumerate(VIOLATIONS):
        planted = workspace / _planted(path, number)
        with planted.open("a", encoding="utf-8") as file:
            file.write(text)
    result = _lint(workspace)
    assert result.returncode != 0
    parts = re.split(r"^(.+)\n-{3,}\n", result.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return {name.strip(): report for name, report in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("number", range(len(VIOLATIONS)), ids=[f"{name}: {path}" for name, path, _ in VIOLATIONS])
def test_a_planted_violation_breaks_its_contract(reports: dict[str, str], number: int) -> None:
    contract, path, text = VIOLATIONS[number]
    module = _planted(path, number).partition("/src/")[2].removesuffix(".py").replace("/", ".")
    assert f"{module} -> {text.removeprefix('import ').strip()}" in reports[contract]


def _planted(path: str, number: int) -> str:
    """Return the file of a violation: new ones differ, so that each is reported by itself."""
    return path.replace("planted.py", f"planted_{number}.py")
