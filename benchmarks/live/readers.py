"""Subscribers: bare sockets in a process of their own, which note when which events came and decode nothing.

Run as `python -m benchmarks.live.readers PORT NUMBER PATH FILE`, with the credential on standard input. Prints `ready`
when every subscriber has its first position. The next line of standard input is a version: once every subscriber has
the event with it, what came is written to FILE, and the process ends.
"""

import selectors
import socket
import sys
import time
from array import array
from pathlib import Path
from typing import Final

import numpy as np

_EVENT: Final = b"\ndata: "
_VERSION: Final = b'"version":'
_BUFFER: Final = 1 << 20


class Subscriber:
    """One connection. Counts events, and finds the version of the last whole one in what was read."""

    def __init__(self, port: int, path: str, credential: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {credential}\r\n\r\n"
        self.socket.sendall(request.encode())
        self._rest = b""
        self.has_begun = False

    def take(self, view: memoryview) -> tuple[int, int]:
        """Return how many events came, and the version of the last one; 0 where none came."""
        self._rest += view
        end = self._rest.rfind(b"\n\n")
        if end < 0:
            return 0, 0
        whole, self._rest = self._rest[: end + 2], self._rest[end + 2 :]
        self.has_begun = True
        at = whole.rfind(_VERSION)
        if at < 0:
            return 0, 0
        digits = whole[at + len(_VERSION) : at + len(_VERSION) + 20]
        return whole.count(_EVENT), int(digits[: len(digits) - len(digits.lstrip(b"0123456789"))])


def main() -> None:
    """Subscribe, note, and write down."""
    port, number, path, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    credential = sys.stdin.readline().strip()
    selector = selectors.DefaultSelector()
    subscribers = [Subscriber(port, path, credential) for _ in range(number)]
    for index, subscriber in enumerate(subscribers):
        selector.register(subscriber.socket, selectors.EVENT_READ, index)
    selector.register(sys.stdin, selectors.EVENT_READ, -1)
    who, when, count, version = array("q"), array("q"), array("q"), array("q")
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    waiting, reached, wanted = number, [0] * number, 0
    while not wanted or min(reached) < wanted:
        for key, _ in selector.select():
            index = key.data
            if index < 0:
                wanted = int(sys.stdin.readline())
                selector.unregister(sys.stdin)
                continue
            subscriber = subscribers[index]
            size = subscriber.socket.recv_into(buffer)
            at = time.monotonic_ns()
            if not size:
                raise SystemExit(f"the connection of subscriber {index} was closed")
            before = subscriber.has_begun
            events, last = subscriber.take(view[:size])
            if events:
                who.append(index)
                when.append(at)
                count.append(events)
                version.append(last)
                reached[index] = last
            if subscriber.has_begun and not before:
                waiting -= 1
                if not waiting:
                    print("ready", flush=True)
    np.save(file, np.array([who, when, count, version], np.int64))


if __name__ == "__main__":
    main()
