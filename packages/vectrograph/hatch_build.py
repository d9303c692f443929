"""Compile the index kernel when the distribution is built.

The compiler is a build requirement, the `ziglang` wheel, so no compiler is needed on the machine. It can compile for
every platform on any of them: VECTROGRAPH_KERNEL_TARGET names another one, such as aarch64-linux.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "kernel"
PACKAGE = "vectrograph/engines/embedded/kernel"
VARIABLE = "VECTROGRAPH_KERNEL_TARGET"

# Without contraction every path rounds alike. Symbols are hidden but for those that the header exports.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
# The libraries of zig's that are left out are not used, and would take two thirds of the time.
_ZIG_FLAGS = ("-OReleaseFast", "-fno-compiler-rt", "-fno-ubsan-rt", "-fstrip", "-lc")


class Target(NamedTuple):
    """A platform to compile for.

    Attributes:
        zig: its name for the compiler. Always given: otherwise code would be for the processor of the builder.
        tag: platform tag of the wheel.
        library: file name of the library.
    """

    zig: str
    tag: str
    library: str


# glibc 2.17, macOS 11 and musl 1.1 are the oldest that wheels of numpy and grpcio were made for when this was chosen.
TARGETS = {
    "x86_64-linux": Target("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64", "_kernel.native.so"),
    "aarch64-linux": Target("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64", "_kernel.native.so"),
    "x86_64-musl": Target("x86_64-linux-musl", "musllinux_1_1_x86_64", "_kernel.native.so"),
    "aarch64-musl": Target("aarch64-linux-musl", "musllinux_1_1_aarch64", "_kernel.native.so"),
    "x86_64-macos": Target("x86_64-macos.11.0", "macosx_11_0_x86_64", "_kernel.native.dylib"),
    "aarch64-macos": Target("aarch64-macos.11.0", "macosx_11_0_arm64", "_kernel.native.dylib"),
    "x86_64-windows": Target("x86_64-windows-gnu", "win_amd64", "_kernel.native.dll"),
    "aarch64-windows": Target("aarch64-windows-gnu", "win_arm64", "_kernel.native.dll"),
}

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}


def native_target() -> str:
    """Return the name of the target that is this machine."""
    machine = platform.machine().lower()
    system = _SYSTEMS.get(sys.platform, sys.platform)
    if system == "linux" and not platform.libc_ver()[0]:
        system = "musl"
    return f"{_MACHINES.get(machine, machine)}-{system}"


def compile_kernel(name: str, output: Path) -> None:
    """Compile the library of a target.

    Args:
        name: key of `TARGETS`.
        output: where the library is put.

    Raises:
        RuntimeError: the compiler refuses; it said why.
    """
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        # zig keeps what it compiles in the home directory, unless it is told otherwise.
        cache = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
        built = Path(folder) / target.library
        command = [sys.executable, "-m", "ziglang", "build-lib", "-dynamic", "-target", target.zig, *_ZIG_FLAGS]
        command += [] if "windows" in name else ["-fPIC", "-lm"]
        command += ["-cflags", *FLAGS, "--", *(str(source) for source in sorted(SOURCES.glob("*.c")))]
        done = subprocess.run(
            [*command, "--name", "_kernel", f"-femit-bin={built}"],
            env={**os.environ, **cache},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the index kernel cannot be compiled for {name}:\n{done.stderr}")
        output.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: processes that have the old one loaded keep it.
        fresh = output.with_name(output.name + ".new")
        fresh.write_bytes(built.read_bytes())
        fresh.replace(output)


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Add the library to a wheel, or, for an editable install, to the folder of sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and give the wheel the tag of its platform: the library is for any Python 3."""
        name = os.environ.get(VARIABLE) or native_target()
        if name not in TARGETS:
            raise RuntimeError(f"there is no index kernel for {name}; {VARIABLE} can be one of {', '.join(TARGETS)}")
        target = TARGETS[name]
        if version == "editable":
            compile_kernel(name, ROOT / "src" / PACKAGE / target.library)
            return
        library = Path(self.directory) / f"kernel-{name}" / target.library
        compile_kernel(name, library)
        build_data["force_include"][str(library)] = f"{PACKAGE}/{target.library}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{target.tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: it is in the wheel."""
        for library in build_data["force_include"]:
            path = Path(library)
            path.unlink(missing_ok=True)
            path.parent.rmdir()
