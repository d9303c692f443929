"""Ports: bind them before anything else starts, and name who holds a taken one."""

import errno
import os
import re
import socket
from pathlib import Path

from vectrograph.domain.errors import PortInUse, StartupError

_LISTEN_STATE = "0A"
# Connections that the kernel keeps until they are accepted: uvicorn's default. Linux lowers it to net.core.somaxconn.
BACKLOG = 2048


def bind(host: str, port: int, option: str) -> socket.socket:
    """Return a listening TCP socket on `host:port`; port 0 takes a free one.

    Raises:
        PortInUse: something listens there; the message names it where the system tells.
        StartupError: the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _refusal(host, port, option, error) from error
    sock.setblocking(False)
    return sock


def port_in_use(host: str, port: int, option: str) -> PortInUse:
    """Return the error for a taken port, naming its holder and the option that changes it."""
    holder = _holder(port)
    by = f" by {holder}" if holder else ""
    return PortInUse(f"Port {port} on {host} is in use{by}; stop it or choose another port with --{option}.")


def _refusal(host: str, port: int, option: str, error: OSError) -> StartupError:
    if error.errno == errno.EADDRINUSE:
        return port_in_use(host, port, option)
    return StartupError(f"Cannot listen on {host}:{port}: {error.strerror}; change it with --host or --{option}.")


def _holder(port: int) -> str | None:
    """`name (pid N)` of the process that listens on a port; None when the system does not tell (another user's
    process, not Linux).
    """
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    targets = {f"socket:[{inode}]" for inode in inodes}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _holds(entry, targets):
            try:
                name = (entry / "comm").read_text().strip()
            except OSError:
                return None
            return f"{name} (pid {entry.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = re.split(r"\s+", line.strip())
            local_port = int(fields[1].rpartition(":")[2], 16)
            if local_port == port and fields[3] == _LISTEN_STATE:
                inodes.add(fields[9])
    return inodes


def _holds(process: Path, targets: set[str]) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(descriptor) in targets:
                return True
        except OSError:
            continue
    return False
