"""Readers that take nothing, as the operating system sees them."""

import array
import asyncio
import socket
import sys
from typing import Final

STALL_SECONDS: Final = 60.0
"""Seconds after which a reader of an endless answer that has taken nothing is cut off. Chosen: four heartbeats."""


def pause_at_once(transport: asyncio.Transport) -> None:
    """Let a protocol be paused as soon as the system does not take what it writes.

    With a limit of 0 a TLS transport pauses its protocol though nothing waits, and so for ever: it compares with "at
    least", and a plain one with "more than".
    """
    transport.set_write_buffer_limits(high=1, low=0)


def bytes_in_system(transport: asyncio.Transport) -> int:
    """Return how many bytes the system holds that the other end has not confirmed; 0 where it does not say."""
    connection = transport.get_extra_info("socket")
    if connection is None or sys.platform == "win32":
        return 0
    import fcntl
    import termios

    held = array.array("i", [0])
    try:
        fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, held)
    except (OSError, ValueError):  # it is closed
        return 0
    return held[0]


def limit_silence(transport: asyncio.Transport, seconds: float) -> None:
    """Let the system close a connection whose other end has confirmed nothing of what was sent for so long.

    What is sent to a machine that has vanished waits in the system, which would try for a quarter of an hour.
    """
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if connection is not None and option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
