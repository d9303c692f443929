"""Describe the machine that the numbers were measured on, without paths and host names."""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.engine.subjects import versions

_LIBRARIES: Final = ("numpy", "apsw", "scikit-image", "scikit-learn", "wordllama")
_SYNC_BYTES: Final = 256 * 1024
_SYNCS: Final = 20


def description(subjects: Sequence[str], storage: Path) -> dict[str, Any]:
    """Return processor, memory, system, storage, and versions of everything measured.

    Args:
        subjects: whose versions.
        storage: a directory on the file system that holds the collections.
    """
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_gb": round(_memory() / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "storage": {"type": _storage_type(storage), "sync_milliseconds": round(_sync_milliseconds(storage), 3)},
        "subjects": versions(subjects),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int:
    if sys.platform == "win32":
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _storage_type(folder: Path) -> str:
    """Return the file system of a folder, by the longest mount point above it; empty where the system does not tell."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    wanted, best, found = str(folder.resolve()), "", ""
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, point, kind = line.split()[:3]
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, found = point, kind
    return found


def _sync_milliseconds(folder: Path) -> float:
    """Return median of appending a batch's worth of bytes and waiting for the disk: the least that a durable
    batch costs.
    """
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            file.write(bytes(_SYNC_BYTES))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
