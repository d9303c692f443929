r"""Check the index kernel beyond what its tests in Python can see. `make test` needs none of what this needs (Debian):

    apt-get install clang libclang-rt-14-dev llvm-14 libsimde-dev qemu-user-static gcc-aarch64-linux-gnu \
        libc6-dev-arm64-cross

1. AddressSanitizer and UndefinedBehaviorSanitizer: the kernel's tests in C, on every path of this processor, and on the
   AVX-512 path with its instructions emulated.
2. ThreadSanitizer: two threads link while a third writes and searches.
3. A fuzz target: indexes of random shape whose arrays are overwritten.
4. The same tests for 64-bit ARM, in an emulator: NEON, and NEON with dot products.
5. The library for every platform that has a wheel. For Windows the sources are compiled and not linked: that would
   compile the C library of MinGW too, which takes minutes.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTION = ROOT / "packages" / "vectrograph"
KERNEL = DISTRIBUTION / "kernel"
SOURCES = sorted(str(path) for path in KERNEL.glob("*.c"))
TEST = str(KERNEL / "tests" / "test_kernel.c")
FUZZ = str(KERNEL / "tests" / "fuzz_kernel.c")
FLAGS = ["-std=c11", "-g", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
EMULATOR = "qemu-aarch64-static"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks. Return 0 when all pass."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fuzz-seconds", type=int, default=30, help="how long the fuzz target runs")
    options = parser.parse_args(arguments)
    missing = [tool for tool in ("clang", "aarch64-linux-gnu-gcc", EMULATOR) if shutil.which(tool) is None]
    if missing:
        print(
            f"{' and '.join(missing)} missing: apt-get install clang llvm libsimde-dev qemu-user-static",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks: list[tuple[str, Callable[[], None]]] = [
            ("tests with AddressSanitizer and UBSan, AVX-512 emulated", lambda: _sanitized(folder)),
            ("tests with ThreadSanitizer", lambda: _threads(folder)),
            (f"fuzzing for {options.fuzz_seconds} s", lambda: _fuzz(folder, options.fuzz_seconds)),
            ("tests for 64-bit ARM, emulated", lambda: _arm(folder)),
            ("fetch the compiler", lambda: _fetch_zig(folder)),
            ("the library for every platform", lambda: _platforms(folder)),
        ]
        for number, (title, check) in enumerate(checks, start=1):
            started = time.monotonic()
            print(f"[{number}/{len(checks)}] {title}", flush=True)
            try:
                check()
            except (subprocess.CalledProcessError, RuntimeError) as error:
                print(f"The check failed: {title}\n{error}", file=sys.stderr)
                return 1
            print(f"      {time.monotonic() - started:.0f} s", flush=True)
    return 0


def _run(*command: str | Path, **variables: str) -> None:
    subprocess.run(command, env={**os.environ, **variables}, cwd=DISTRIBUTION, check=True)


def _sanitized(folder: Path) -> None:
    program = folder / "sanitized"
    flags = [*FLAGS, "-fsanitize=address,undefined", "-DVGK_EMULATED", "-Wno-psabi"]
    _run("clang", *flags, *SOURCES, TEST, "-o", program, "-lm", "-lpthread")
    _run(program)


def _threads(folder: Path) -> None:
    program = folder / "threads"
    _run("clang", *FLAGS, "-fsanitize=thread", *SOURCES, TEST, "-o", program, "-lm", "-lpthread")
    _run(program, "threads")


def _fuzz(folder: Path, seconds: int) -> None:
    program, corpus = folder / "fuzz", folder / "corpus"
    corpus.mkdir()
    _run("clang", *FLAGS, "-fsanitize=fuzzer,address,undefined", *SOURCES, FUZZ, "-o", program, "-lm")
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-len_control=0", "-timeout=30", "-verbosity=0"]
    _run(program, *limits, "-print_final_stats=1", f"-artifact_prefix={folder}/", corpus)


def _fetch_zig(folder: Path) -> None:
    lock = ROOT / "requirements" / "build.lock"
    uv = Path(sys.executable).with_name("uv")
    _run(uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", folder / "zig", "-r", lock)


def _arm(folder: Path) -> None:
    program = folder / "arm"
    # clang 14 knows the dot products only when all code may use them; the library is compiled without that.
    flags = [*FLAGS[:-1], "--target=aarch64-linux-gnu", "-march=armv8.2-a+dotprod", "-static"]
    _run("clang", *flags, *SOURCES, TEST, "-o", program, "-lm", "-lpthread")
    _run(EMULATOR, program, "neon", "neondot")


def _platforms(folder: Path) -> None:
    build: Any = _build_hook()
    os.environ["PYTHONPATH"] = str(folder / "zig")
    for name, target in build.TARGETS.items():
        if "windows" in name:
            for source in SOURCES:
                _zig(folder, "cc", "-target", target.zig, *build.FLAGS, "-c", source, "-o", str(folder / "object"))
            print(f"      {name}: compiled", flush=True)
            continue
        library = folder / name / target.library
        build.compile_kernel(name, library)
        print(f"      {name}: {library.stat().st_size} bytes", flush=True)


def _zig(folder: Path, *command: str) -> None:
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(folder / "cache"), "ZIG_LOCAL_CACHE_DIR": str(folder / "cache")}
    _run(sys.executable, "-m", "ziglang", *command, PYTHONPATH=str(folder / "zig"), **caches)


def _build_hook() -> Any:
    spec = importlib.util.spec_from_file_location("hatch_build", DISTRIBUTION / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
