"""The wheel of the server carries the index kernel, compiled without a compiler on the machine, for any platform."""

import ctypes
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = ROOT / "packages" / "vectrograph"
UV = Path(sys.executable).with_name("uv")
LIBRARY = "vectrograph/engines/embedded/kernel/_kernel.native.so"


def _hook() -> Any:
    spec = importlib.util.spec_from_file_location("hatch_build", DISTRIBUTION / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(folder: Path, **variables: str) -> Path:
    """Build a wheel as a machine without any command would, and with an empty home directory."""
    home = folder / "home"
    home.mkdir(parents=True)
    cache = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    kept = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if index:
        kept.setdefault("UV_DEFAULT_INDEX", index)
    command: list[str | Path] = [
        UV,
        "build",
        "--wheel",
        "--build-constraints",
        ROOT / "requirements" / "build.lock",
        "--out-dir",
        folder,
    ]
    done = subprocess.run(
        [*command, "--python", sys.executable, DISTRIBUTION],
        env={**kept, "PATH": "", "HOME": str(home), "UV_CACHE_DIR": cache, "TMPDIR": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow(seconds=10)
def test_a_wheel_has_the_library_and_the_tag_of_its_platform(tmp_path: Path) -> None:
    wheel = _build(tmp_path)
    hook = _hook()
    target = hook.TARGETS[hook.native_target()]
    assert wheel.name.endswith(f"-py3-none-{target.tag}.whl")
    with zipfile.ZipFile(wheel) as archive:
        natives = [name for name in archive.namelist() if "_kernel" in name]
        assert natives == [LIBRARY.replace("_kernel.native.so", target.library)]
        assert not [name for name in archive.namelist() if name.endswith((".c", ".h", "hatch_build.py"))]
        (about,) = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
        assert b"Root-Is-Purelib: false" in archive.read(about)
        library = Path(archive.extract(natives[0], tmp_path))
    assert ctypes.CDLL(str(library)).vgk_format() == 1
    assert library.stat().st_size < 100_000


def test_a_wheel_can_be_built_for_another_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`make kernel-check` compiles for each of them."""
    hook = _hook()
    compiled: list[tuple[str, Path]] = []
    monkeypatch.setattr(hook, "compile_kernel", lambda name, library: compiled.append((name, library)))
    for name, target in hook.TARGETS.items():
        monkeypatch.setenv("VECTROGRAPH_KERNEL_TARGET", name)
        build: Any = hook.KernelBuildHook(str(DISTRIBUTION), {}, None, None, str(tmp_path), "wheel")
        data: dict[str, Any] = {"force_include": {}}
        build.initialize("standard", data)
        assert (data["tag"], data["pure_python"]) == (f"py3-none-{target.tag}", False)
        ((library, place),) = data["force_include"].items()
        assert compiled[-1] == (name, Path(library))
        assert Path(place).name == target.library


def test_an_unknown_platform_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VECTROGRAPH_KERNEL_TARGET", "z80-cpm")
    hook = _hook()
    build: Any = hook.KernelBuildHook(str(DISTRIBUTION), {}, None, None, str(tmp_path), "wheel")
    with pytest.raises(RuntimeError, match=r"no index kernel for z80-cpm; .* x86_64-linux, aarch64-linux"):
        build.initialize("standard", {})


def test_a_changed_source_of_the_kernel_is_compiled_by_make_setup() -> None:
    for source in ("packages/vectrograph/kernel/walk.c", "packages/vectrograph/kernel/internal.h"):
        planned = subprocess.run(
            ["make", "--dry-run", f"--what-if={source}", "setup"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "tools/setup.py dev" in planned.stdout


def test_the_library_is_not_part_of_the_repository() -> None:
    library = f"packages/vectrograph/src/{LIBRARY}"
    ignored = subprocess.run(["git", "check-ignore", library], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout.strip() == library
