"""Amount of memory: of the machine, or of the control group that this process is held to."""

import os
from pathlib import Path
from typing import Final

_SHARE: Final = 2
"""One byte of so many is the engine's. The other half is for the interpreter, caches of SQLite, requests under way, and
pages of mapped files."""
_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def default_budget() -> int | None:
    """Bytes that an engine takes when it is not told; None where the memory of the machine is not known."""
    memory = available_memory()
    return None if memory is None else memory // _SHARE


def available_memory(groups: Path = _GROUPS, own_group: Path = _OWN_GROUP) -> int | None:
    """Bytes that this process can have: those of the machine, or fewer where a control group allows fewer.

    Args:
        groups: where control groups are mounted.
        own_group: the file that tells which one is this process's.
    """
    found = [limit for limit in (_machine(), *_group_limits(groups, own_group)) if limit is not None]
    return min(found, default=None)


def _machine() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _group_limits(groups: Path, own_group: Path) -> list[int | None]:
    """Limits of the group and of all groups around it, in version 2 and version 1 of the interface."""
    limits: list[int | None] = []
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return limits
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        # Within a container, the path of the host may lead nowhere: the mounted root is its own group then.
        limits += [_limit(root.joinpath(*parts[:depth]) / name) for depth in range(len(parts) + 1)]
    return limits


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        # No such group, or "max".
        return None
