"""The attacks, by name. Each goes on until its process is ended, and counts what it sent."""

import contextlib
import itertools
import json
import resource
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
import httpx2
import numpy as np

from benchmarks.attack import http_floods, websocket_floods
from benchmarks.attack.costly_filters import nots, substrings, unknown_paths
from benchmarks.attack.http2_frames import PREFACE, SETTINGS, Connection, frame, grpc_headers, grpc_message, reset
from benchmarks.attack.http_floods import body_of_empty_things
from benchmarks.attack.target import COLLECTION, DIMENSION, Target
from vectrograph.rpc._pb import auth_pb
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb

WATCH: Final = "/grpc.health.v1.Health/Watch"
REFLECT: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LOGIN: Final = "/vectron.auth.v1.AuthService/Login"
SEARCH: Final = "/vectron.v1.VectronService/Search"
SEARCH_STREAM: Final = "/vectron.v1.VectronService/SearchStream"
CREATE: Final = "/vectron.v1.VectronService/CreateCollection"
SEARCH_BATCH: Final = "/vectrograph.v1.VectrographService/SearchBatch"
# Another address of this machine, which a server tells apart from 127.0.0.1.
ELSEWHERE: Final = "127.0.0.2"
# More than `max_connections_per_address` by default, 1,000.
_CONNECTIONS: Final = 1_200
_JSON_BYTES: Final = 18_000_000
_CALL_SECONDS: Final = 60.0
# Pause of an attacker whose connection was closed, so that it does not only measure its own loop.
_PAUSE: Final = 0.01


class Tally:
    """Numbers of requests sent, refused and cut off, and what ended an attack against its will."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.broken: str = ""

    def add(self, what: str, number: int = 1) -> None:
        """Count `sent`, `refused` or `cut off`."""
        with self._lock:
            self._counts[what] += number

    def taken(self) -> dict[str, Any]:
        """Return all numbers so far."""
        with self._lock:
            return {"counts": dict(self._counts), "broken": self.broken}


@dataclass(frozen=True, slots=True)
class Attack:
    """A step that so many threads repeat.

    Attributes:
        begin: prepares one thread's work, which sends one request or one burst each time it is called.
        threads: how many.
        tls: the server speaks TLS.
    """

    begin: Callable[[Target, Tally], Callable[[], None]]
    threads: int = 1
    tls: bool = False


def prepared(attack: Attack, target: Target, tally: Tally) -> Callable[[], None]:
    """Prepare an attack; what is returned begins it, in threads that go on until the process ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def repeat(work: Callable[[], None]) -> None:
        try:
            while True:
                try:
                    work()
                except (OSError, httpx2.HTTPError):
                    tally.add("cut off")
                    time.sleep(_PAUSE)
        except Exception as error:  # noqa: BLE001  (told by the bench, which fails)
            tally.broken = f"{type(error).__name__}: {error}"

    threads = [
        threading.Thread(target=repeat, args=(attack.begin(target, tally),), daemon=True) for _ in range(attack.threads)
    ]

    def begin() -> None:
        for thread in threads:
            thread.start()

    return begin


# ---------------------------------------------------------------- HTTP


def _http(target: Target, credential: str = "", source: str | None = None) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    transport = httpx2.HTTPTransport(local_address=source, verify=False)
    return httpx2.Client(base_url=target.http, headers=headers, timeout=_CALL_SECONDS, transport=transport)


def _post(client: httpx2.Client, tally: Tally, path: str, **body: Any) -> None:
    tally.add("sent")
    if not client.post(path, **body).is_success:
        tally.add("refused")


def _flood(
    opening_and_block: Callable[[str, str], tuple[bytes, bytes]], name: str, target: Target, tally: Tally
) -> Callable[[], None]:
    begin, block = opening_and_block(name, target.viewer)

    def send() -> None:
        with socket.create_connection(("127.0.0.1", target.http_port), 20) as flood:
            flood.settimeout(1.0)  # it is never read from: a server that waits for that stops reading
            tally.add("sent")
            flood.sendall(begin)
            while True:
                flood.sendall(block)

    return send


_http_flood: Final = partial(_flood, http_floods.opening_and_block)
_websocket_flood: Final = partial(_flood, websocket_floods.opening_and_block)


def _slow_bodies(target: Target, tally: Tally) -> Callable[[], None]:
    head = (
        "POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-API-Key: {target.attacker}\r\nContent-Length: 1000000\r\n\r\n"
    ).encode()
    opened: list[socket.socket] = []

    def trickle() -> None:
        while len(opened) < 200:
            opened.append(socket.create_connection(("127.0.0.1", target.http_port), 20))
            opened[-1].sendall(head)
            tally.add("sent")
        for connection in tuple(opened):
            try:
                connection.sendall(b"[")
            except OSError:
                opened.remove(connection)
                connection.close()
                tally.add("cut off")
        time.sleep(0.1)

    return trickle


def _empty_things(element: bytes, target: Target, tally: Tally) -> Callable[[], None]:
    client = _http(target, target.attacker)
    headers = {"Content-Type": "application/json"}
    bodies = itertools.cycle(
        [
            ("/api/v1/tokens/batch", body_of_empty_things("tokens", element, _JSON_BYTES)),
            (f"/v1/collections/{COLLECTION}/points", body_of_empty_things("points", element, _JSON_BYTES)),
        ]
    )

    def send() -> None:
        path, body = next(bodies)
        _post(client, tally, path, content=body, headers=headers)

    return send


def _junk_logins(target: Target, tally: Tally) -> Callable[[], None]:
    client, call = _http(target, source=ELSEWHERE), target.channel().unary_unary(LOGIN)

    def login() -> None:
        name = secrets.token_hex(8)
        _post(client, tally, "/api/v1/auth/login", json={"username": name, "password": name})
        _ask(call, tally, auth_pb.LoginRequest(email=f"{name}@example.org", password=name).SerializeToString(), "")

    return login


def _feedback(target: Target, tally: Tally) -> Callable[[], None]:
    client = _http(target, target.viewer)
    items = [{"resultId": "1", "relevanceScore": 3, "comment": "x" * 30_000}]
    body = {"collection": COLLECTION, "query": "q", "feedbackItems": items}
    return lambda: _post(client, tally, "/v1/feedback", json=body)


# ---------------------------------------------------------------- WebSocket


def _handshakes(
    first: Callable[[Target], Iterable[bytes]], source: str, target: Target, tally: Tally
) -> Callable[[], None]:
    """Open one connection after the other, with what is sent in its first piece, and read each to its end."""
    pieces = itertools.cycle(first(target))

    def connect() -> None:
        with socket.create_connection(("127.0.0.1", target.http_port), 20, source_address=(source, 0)) as connection:
            connection.settimeout(_CALL_SECONDS)
            connection.sendall(next(pieces))
            tally.add("sent")
            answer = connection.recv(65_536)
            if not answer.startswith(b"HTTP/1.1 101"):
                tally.add("refused")
            while answer:
                answer = connection.recv(65_536)

    return connect


def _idle_websockets(target: Target, tally: Tally) -> Callable[[], None]:
    """Hold as many as the server lets nobody in particular hold, and ask for more."""
    held: list[socket.socket] = []

    def connect() -> None:
        connection = socket.create_connection(("127.0.0.1", target.http_port), 20, source_address=(ELSEWHERE, 0))
        connection.settimeout(_CALL_SECONDS)
        connection.sendall(websocket_floods.handshake())
        tally.add("sent")
        if connection.recv(65_536).startswith(b"HTTP/1.1 101"):
            held.append(connection)
        else:
            tally.add("refused")
            connection.close()

    return connect


def _junk_handshakes(_: Target) -> list[bytes]:
    return [websocket_floods.handshake(secrets.token_hex(16)) for _ in range(1_000)]


def _malformed(target: Target) -> list[bytes]:
    begin = websocket_floods.handshake(target.viewer)
    return [begin + frame for frame in websocket_floods.MALFORMED.values()]


# ---------------------------------------------------------------- gRPC


def _ask(call: Any, tally: Tally, body: bytes, credential: str) -> str:
    """Call and return the name of the status."""
    tally.add("sent")
    try:
        metadata = (("authorization", f"Bearer {credential}"),) if credential else ()
        call(body, metadata=metadata, timeout=_CALL_SECONDS)
    except grpc.RpcError as caught:
        error: Any = caught
        status: str = error.code().name
        unreached = status in ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")
        tally.add("cut off" if unreached else "refused")
        if unreached:
            time.sleep(_PAUSE)
        return status
    return "OK"


def _largest(
    path: str, make: Callable[[int], bytes], most: int, role: Callable[[Target], str], target: Target, tally: Tally
) -> Callable[[], None]:
    """Find the largest request of a kind that the server lets in, and call again and again with it."""
    call, number = target.channel().unary_unary(path), most
    body = make(number)
    while (status := _ask(call, Tally(), body, role(target))) != "OK":
        if number == 1:
            raise RuntimeError(f"even the smallest request of this attack is refused: {status}")
        number = number * 3 // 4
        body = make(number)

    def ask() -> None:
        _ask(call, tally, body, role(target))

    return ask


def _filtered(make: Callable[[int], dict[str, Any]], most: int) -> Callable[[Target, Tally], Callable[[], None]]:
    vector = [1.0] * DIMENSION

    def body(number: int) -> bytes:
        text = json.dumps(make(number))
        return pb.SearchRequest(collection=COLLECTION, vector=vector, top_k=3, filter_json=text).SerializeToString()

    return partial(_largest, SEARCH, body, most, lambda target: target.viewer)


def _batch(queries: int) -> bytes:
    vectors = np.ones((queries, DIMENSION), np.float32).tobytes()
    return own.SearchBatchRequest(
        collection=COLLECTION, vectors=vectors, queries=queries, top_k=100, exact=True
    ).SerializeToString()


def _collections(target: Target, tally: Tally) -> Callable[[], None]:
    call, numbers = target.channel().unary_unary(CREATE), itertools.count()
    prefix = secrets.token_hex(4)

    def create() -> None:
        request = pb.CreateCollectionRequest(name=f"c{prefix}-{next(numbers)}", dimension=DIMENSION)
        _ask(call, tally, request.SerializeToString(), target.attacker)

    return create


def _watches(target: Target, tally: Tally) -> Callable[[], None]:
    def open_and_cancel() -> None:
        with Connection(target.grpc) as connection:
            threading.Thread(target=_drain, args=(connection,), daemon=True).start()
            for first in range(1, 20_000, 8):
                streams = range(first, first + 8, 2)
                connection.send(*(grpc_headers(WATCH, stream) + grpc_message(stream) for stream in streams))
                # Between the opening and the end of a stream, where a lock was held.
                time.sleep(0.001)
                connection.send(*(reset(stream) for stream in streams))
                tally.add("sent", len(streams))

    return open_and_cancel


def _reflection(target: Target, tally: Tally) -> Callable[[], None]:
    """Hold idle streams, and open others that ask, over and over."""
    list_services = b"\x3a\x00"

    def hold() -> None:
        with Connection(target.grpc) as idle, Connection(target.grpc) as asking:
            for connection in (idle, asking):
                threading.Thread(target=_drain, args=(connection,), daemon=True).start()
            for stream in itertools.count(1, 2):
                if stream < 200:
                    idle.send(grpc_headers(REFLECT, stream))
                asking.send(grpc_headers(REFLECT, stream), grpc_message(stream, list_services))
                tally.add("sent", 2 if stream < 200 else 1)
                time.sleep(0.001)
                if stream > 2_000:
                    return

    return hold


def _unread_streams(target: Target, tally: Tally) -> Callable[[], None]:
    request = pb.SearchRequest(collection=COLLECTION, vector=[1.0] * DIMENSION, top_k=100)
    message, credential = request.SerializeToString(), ("x-api-key", target.attacker)

    def hold() -> None:
        with Connection(target.grpc, window=0) as deaf:
            for stream in range(1, 40, 2):
                deaf.send(grpc_headers(SEARCH_STREAM, stream, credential) + grpc_message(stream, message))
                tally.add("sent")
            time.sleep(1.0)

    return hold


def _drain(connection: Connection) -> None:
    with contextlib.suppress(OSError):
        for _ in connection.frames():
            pass


# ---------------------------------------------------------------- connections


def _idle(port: Callable[[Target], int], first: bytes, target: Target, tally: Tally) -> Callable[[], None]:
    """Hold as many connections as the server lets, and open new ones for those that it closes."""
    held: list[socket.socket] = []

    def fill() -> None:
        for connection in tuple(held):
            try:
                closed = not connection.recv(65_536)
            except BlockingIOError:
                closed = False
            except OSError:
                closed = True
            if closed:
                held.remove(connection)
                connection.close()
                tally.add("cut off")
        while len(held) < _CONNECTIONS:
            connection = socket.create_connection(("127.0.0.1", port(target)), 20, source_address=(ELSEWHERE, 0))
            connection.sendall(first)
            connection.setblocking(False)
            held.append(connection)
            tally.add("sent")
        time.sleep(0.1)

    return fill


def _http_port(target: Target) -> int:
    return target.http_port


def _grpc_port(target: Target) -> int:
    return int(target.grpc.rpartition(":")[2])


def _hello(target: Target, tally: Tally) -> Callable[[], None]:
    return _idle(_grpc_port, PREFACE + frame(SETTINGS, 0, 0), target, tally)


def _deep(number: int) -> dict[str, Any]:
    """Return so many branches, each nearly as deep as a filter may be."""
    return {"and": [nots(30)] * number}


ATTACKS: Final[dict[str, Attack]] = {
    "watches opened and cancelled": Attack(_watches, threads=2),
    "reflection streams": Attack(_reflection, threads=2),
    "search streams nobody reads": Attack(_unread_streams, threads=4),
    "HTTP: endless header": Attack(partial(_http_flood, "one header line"), threads=4),
    "HTTP: tiny headers": Attack(partial(_http_flood, "tiny headers"), threads=4),
    "HTTP: chunk extension": Attack(partial(_http_flood, "chunk extension"), threads=4),
    "HTTP: chunk extensions": Attack(partial(_http_flood, "chunk extensions"), threads=4),
    "HTTP: chunks of one byte": Attack(partial(_http_flood, "chunks of one byte"), threads=4),
    "HTTP: trailers": Attack(partial(_http_flood, "trailers"), threads=4),
    "HTTP: pipelined requests": Attack(partial(_http_flood, "requests"), threads=4),
    "HTTP: upgrades": Attack(partial(_http_flood, "upgrades"), threads=4),
    "HTTP: slow bodies": Attack(_slow_bodies),
    "WebSocket: frames of one byte": Attack(partial(_websocket_flood, "frames of one byte"), threads=4),
    "WebSocket: fragments": Attack(partial(_websocket_flood, "fragments"), threads=4),
    "WebSocket: pings": Attack(partial(_websocket_flood, "pings"), threads=4),
    "WebSocket: subscriptions": Attack(partial(_websocket_flood, "subscriptions"), threads=4),
    "WebSocket: nested JSON": Attack(partial(_websocket_flood, "nested JSON"), threads=4),
    "WebSocket: malformed frames": Attack(partial(_handshakes, _malformed, "127.0.0.1"), threads=4),
    "WebSocket: junk handshakes": Attack(partial(_handshakes, _junk_handshakes, ELSEWHERE), threads=4),
    "JSON: 18 MB of []": Attack(partial(_empty_things, b"[]"), threads=3),
    "JSON: 18 MB of {}": Attack(partial(_empty_things, b"{}"), threads=3),
    "filter: most paths": Attack(_filtered(lambda number: unknown_paths(0, number), 64), threads=4),
    "filter: substrings": Attack(_filtered(lambda number: substrings(number, "text"), 1_000), threads=4),
    "filter: deep nesting": Attack(_filtered(_deep, 1_000), threads=4),
    "filter: huge in": Attack(
        _filtered(lambda number: {"path": "n", "in": list(range(1, number + 1))}, 10_000), threads=4
    ),
    "search batches": Attack(partial(_largest, SEARCH_BATCH, _batch, 1_000, lambda target: target.viewer), threads=4),
    "junk logins": Attack(_junk_logins, threads=8),
    "feedback": Attack(_feedback, threads=4),
    "collections up to the quota": Attack(_collections, threads=4),
    "idle HTTP connections": Attack(partial(_idle, _http_port, b"")),
    "idle gRPC connections": Attack(_hello),
    "idle WebSockets": Attack(_idle_websockets, threads=4),
    "silent TLS handshakes, HTTP": Attack(partial(_idle, _http_port, b""), tls=True),
    "silent TLS handshakes, gRPC": Attack(partial(_idle, _grpc_port, b""), tls=True),
}
