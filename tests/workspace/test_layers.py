"""Every import contract fails when it is violated: a violation is planted in a copy of the packages and the linter
must name it.
"""

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
        "Rooms of Vectron's operations",
        f"{SERVER}/vectron/_messages/planted.py",
        "import vectrograph.vectron.points\n",
    ),
    ("Rooms of gRPC", f"{SERVER}/rpc/codec/planted.py", "import vectrograph.rpc.exchange\n"),
    ("Rooms of the gateway", f"{SERVER}/gateway/hits.py", "import vectrograph.gateway.routes\n"),
    (
        "Rooms of the embedded engine",
        f"{SERVER}/engines/embedded/rows/planted.py",
        "import vectrograph.engines.embedded.truth.store\n",
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
    for contract, _, _ in VIOLATIONS:
        assert f"{contract} KEPT" in result.stdout


@pytest.mark.parametrize(("contract", "path", "text"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(workspace: Path, contract: str, path: str, text: str) -> None:
    planted = workspace / path
    before = planted.read_text() if planted.exists() else None
    planted.write_text((before or "") + text)
    try:
        result = _lint(workspace)
    finally:
        if before is None:
            planted.unlink()
        else:
            planted.write_text(before)
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout, result.stdout + result.stderr
