"""The number of files and sockets that this process may have open."""

import resource
from typing import Final

_ENOUGH: Final = 1 << 20
"""Descriptors: more than any server of this kind needs. Where the hard limit is a billion, tables of that size hurt."""


def raise_open_files_limit() -> str:
    """Raise the soft limit to the hard one; returns a line for the log.

    Many systems start processes with a soft limit of 1,024 that is meant for programs which use `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return f"the limit on open files is {soft}"
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        return f"the limit on open files stays at {soft}, it could not be raised: {error}"
    return f"the limit on open files was raised from {soft} to {wanted}"
