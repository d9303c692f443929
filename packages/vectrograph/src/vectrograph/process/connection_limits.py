"""Limits of connections over HTTP and gRPC: their number for each address, and the time until one is ready.

Neither grpc nor uvicorn counts connections by address, and with TLS both tell of one only after its handshake. The
kernel knows them all: its table of connections is read once a second, and those of an address that holds too many are
shut down, the newest first.
"""

import asyncio
import os
import socket
import struct
import sys
import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from vectrograph.domain.addresses import Network, address_group, is_one_of

if sys.platform != "win32":
    import resource

log = structlog.get_logger("vectrograph.connections")

_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_DESCRIPTORS: Final = "/proc/self/fd"
# Seconds between two looks at the table; sooner while an address goes on opening too many.
_LOOK_SECONDS: Final = 1.0
# Seconds until the next look after connections were closed. Chosen: ten times as often.
_BUSY_LOOK_SECONDS: Final = 0.1
# Of the descriptors of the process, the share that connections of one address may take.
_SHARE: Final = 2
# Descriptors among which connections are looked for: each takes a microsecond, and low numbers are given first.
_MAX_DESCRIPTORS: Final = 1 << 20


class ConnectionLimits:
    """Closes connections of addresses that hold too many, on a thread of its own. Linux only; elsewhere it says so.

    Proxies that are trusted are let alone: their connections are those of many callers.
    """

    def __init__(self, ports: Collection[int], per_address: int, trusted: Sequence[Network] = ()) -> None:
        """Prepare to look.

        Args:
            ports: on which this process listens.
            per_address: connections that one address (of IPv6 one /64 network) may hold over all of them; 0 is no
                limit. At most half of the descriptors that the process may have.
            trusted: proxies.
        """
        self._ports = {f":{port:04X}": port for port in ports}
        self._per_address = per_address
        self._trusted = trusted
        self._seen: dict[int, int] = {}
        self._looks = 0
        self._kernel: _Kernel | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vectrograph-connections", daemon=True)

    def start(self) -> None:
        """Begin to look, unless there is no limit or no table."""
        if not self._per_address:
            return
        if not _TABLES[0].exists():
            log.warning("connections per address cannot be counted on this system and are not limited")
            return
        self._kernel = _Kernel()
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()
        if self._kernel is not None:
            self._thread.join()
            self._kernel.close()
            self._kernel = None

    def _watch(self) -> None:
        pause = _LOOK_SECONDS
        while not self._closing.wait(pause):
            try:
                closed = self._look(self._kernel) if self._kernel is not None else 0
            except (OSError, ValueError, IndexError) as error:
                log.warning("connections could not be counted", reason=str(error))
                closed = 0
            pause = _BUSY_LOOK_SECONDS if closed else _LOOK_SECONDS

    def _look(self, kernel: "_Kernel") -> int:
        """Close what is too much; return how many connections that were."""
        allowed = min(self._per_address, _max_descriptors() // _SHARE)
        # Fewer descriptors than one address may hold connections: the usual case, and no table is read.
        if not _may_have(allowed):
            return 0
        surplus = self._surplus(kernel, allowed)
        closed = kernel.shut_down({inode for inodes in surplus.values() for inode in inodes})
        if closed:
            log.warning(
                "closed connections of addresses with too many connections", closed=closed, addresses=len(surplus)
            )
        return closed

    def _surplus(self, kernel: "_Kernel", allowed: int) -> Mapping[str, list[int]]:
        """Return the inodes of connections that are too many, by address: the newest of them."""
        self._looks += 1
        found: dict[str, list[int]] = defaultdict(list)
        known: dict[int, int] = {}
        for address, inode in kernel.connections(self._ports):
            found[address].append(inode)
            known[inode] = self._seen.get(inode, self._looks)
        self._seen = known
        return {
            address: sorted(inodes, key=lambda inode: (known[inode], inode))[allowed:]
            for address, inodes in found.items()
            if len(inodes) > allowed and not is_one_of(address.partition("/")[0], self._trusted)
        }


def _max_descriptors() -> int:
    if sys.platform == "win32":
        return sys.maxsize
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _may_have(connections: int) -> bool:
    """Tell whether this process has more descriptors than so many; also where it has none left to count them with."""
    try:
        return len(os.listdir(_DESCRIPTORS)) > connections
    except OSError:
        return True


class _Kernel:
    """The kernel's table of connections, and a way to end some of them.

    All descriptors that this takes are opened beforehand: it is needed most when callers have taken all others.
    """

    def __init__(self) -> None:
        self._tables = [os.open(path, os.O_RDONLY) for path in _TABLES if path.exists()]
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._reserved = os.open(os.devnull, os.O_RDONLY)

    def close(self) -> None:
        """Let the descriptors go."""
        for descriptor in (*self._tables, self._nothing, self._reserved):
            os.close(descriptor)

    def connections(self, ports: Collection[str]) -> list[tuple[str, int]]:
        """Return address group and inode of each connection to one of the ports, written as the table does."""
        found = []
        for table in self._tables:
            for line in _read_all(table).splitlines()[1:]:
                fields = line.split(maxsplit=10)
                # Listeners have no peer, and connections that nobody has accepted yet or that have ended no inode.
                if fields[1][-5:] in ports and fields[9] != "0" and not fields[2].endswith(":0000"):
                    found.append((address_group(_address(fields[2][:-5])), int(fields[9])))
        return found

    def shut_down(self, inodes: Collection[int]) -> int:
        """Shut down connections of this process; their owners find them closed by the peer. Return their number."""
        closed, rest = 0, set(inodes)
        for descriptor in range(min(_max_descriptors(), _MAX_DESCRIPTORS)):
            if not rest:
                break
            inode = _inode(descriptor)
            if inode is not None and inode in rest:
                rest.discard(inode)
                closed += self._shut_down_one(descriptor, inode)
        return closed

    def _shut_down_one(self, descriptor: int, inode: int) -> bool:
        """Shut down one connection through the reserved descriptor: its own may belong to another one any moment."""
        try:
            os.dup2(descriptor, self._reserved, inheritable=False)
            if _inode(self._reserved) != inode:
                return False
            connection = socket.socket(fileno=self._reserved)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()
        except OSError:
            # It has ended by itself.
            return False
        finally:
            os.dup2(self._nothing, self._reserved, inheritable=False)
        return True


def _read_all(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(descriptor, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces).decode("ascii")


def _inode(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


def _address(written: str) -> str:
    """Return an address of the table, which holds words of 32 bits in the order of this machine.

    >>> _address(struct.pack("!I", struct.unpack("=I", bytes([127, 0, 0, 2]))[0]).hex())
    '127.0.0.2'
    """
    words = [int(written[start : start + 8], 16) for start in range(0, len(written), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def event_loop_with(handshake_seconds: float) -> asyncio.AbstractEventLoop:
    """Return a new event loop whose servers give each TLS handshake so many seconds; asyncio's own give it a minute."""
    kind: type[asyncio.AbstractEventLoop]
    try:
        import uvloop
    except ImportError:  # Windows
        kind = asyncio.SelectorEventLoop
    else:
        kind = uvloop.Loop

    class Loop(kind):  # type: ignore[misc, valid-type]
        async def create_server(self, *arguments: Any, **named: Any) -> asyncio.AbstractServer:
            if named.get("ssl") is not None:
                named.setdefault("ssl_handshake_timeout", handshake_seconds)
            server: asyncio.AbstractServer = await super().create_server(*arguments, **named)
            return server

    loop: asyncio.AbstractEventLoop = Loop()
    return loop
