"""Live events of a real server process: killed, stopped, behind a proxy, with many readers and with slow ones."""

import os
import random
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from event_socket import PATIENCE, EventSocket

from tests.e2e.processes import VECTROGRAPH, ServerProcess, serve
from vectrograph import running
from vectron_client import Point, VectronClient

COLLECTION: Final = "docs"
CHANNEL: Final = {"channels": f"collection:{COLLECTION}"}


class Site:
    """A server process, a key for it, and a client that writes."""

    def __init__(self, process: ServerProcess, key: str = "") -> None:
        self.process = process
        addresses = process.serving()
        self.http = str(addresses["http"])
        self.port = int(self.http.rpartition(":")[2])
        self.key = key or self._new_key()
        self.client = VectronClient(addresses["grpc"], api_key=self.key)

    def _new_key(self) -> str:
        login = self.post("auth/login", {"username": "developer", "password": "developer123"})
        return str(self.post("api-keys", {"name": "events"}, login["access_token"])["api_key"])

    def post(self, path: str, body: dict[str, Any], token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx2.post(f"{self.http}/api/v1/{path}", json=body, headers=headers, timeout=30)
        return answer.raise_for_status().json()

    def write(self, *ids: str, text: str = "") -> None:
        payload = {"text": text} if text else {}
        self.client.upsert(COLLECTION, [Point(id=each, vector=[1.0, 2.0], payload=payload) for each in ids])

    def reader(self, **query: Any) -> EventSocket:
        buffer_bytes = query.pop("buffer_bytes", 0)
        return EventSocket(self.port, {**CHANNEL, **query}, self.key, buffer_bytes=buffer_bytes)

    @property
    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.process.pid}/task").iterdir()))

    @property
    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running_site(data: Path, *options: str, key: str = "") -> Iterator[Site]:
    with serve(data, *options) as process:
        site = Site(process, key)
        try:
            if not key:
                site.client.create_collection(COLLECTION, 2, "cosine")
            yield site
        finally:
            site.client.close()


@pytest.mark.slow
def test_a_killed_server_loses_no_event(tmp_path: Path) -> None:
    """A reader that comes back with its last position has every acknowledged change once, in order."""
    chance = random.Random(13)
    seen: list[int] = []
    position, key, acknowledged = "oldest", "", 0
    for _ in range(4):
        with running_site(tmp_path / "data", key=key) as site:
            key = site.key
            stop, lock = threading.Event(), threading.Lock()

            def write(site: Site = site, stop: threading.Event = stop, lock: threading.Lock = lock) -> None:
                nonlocal acknowledged
                while not stop.is_set():
                    try:
                        site.write(*(str(n) for n in range(20)))
                    except Exception:  # noqa: BLE001  (the server is dead)
                        return
                    with lock:
                        acknowledged += 20

            writer = threading.Thread(target=write)
            writer.start()
            with site.reader(since=position) as reader:
                reader.read(chance.randrange(1, 400))
                site.process.process.send_signal(signal.SIGKILL)
                with pytest.raises(AssertionError, match="the connection was closed"):
                    reader.read(1_000_000)
                seen += [event["data"]["version"] for event in reader.events]
                position = reader.last_id
            stop.set()
            writer.join()
    with running_site(tmp_path / "data", key=key) as site, site.reader(since=position, follow="false") as reader:
        reader.read_end()
        seen += [event["data"]["version"] for event in reader.events]
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= acknowledged


def test_sigterm_ends_all_streams_with_a_farewell(tmp_path: Path) -> None:
    """In time, also those whose reader takes nothing."""
    with running_site(tmp_path / "data", "--shutdown-seconds", "5") as site:
        readers = [site.reader(), site.reader(channels="status,tokens")]
        stuck = site.reader(include="payload", buffer_bytes=4096)
        for n in range(100):
            site.write(f"p{n}", text="x" * 60_000)
        readers[0].read(100)
        began = time.monotonic()
        site.process.process.send_signal(signal.SIGTERM)
        for reader in readers:
            end = reader.read_end()
            assert (end["code"], end["reconnect"]) == ("SERVER_STOPPING", True)
        assert site.process.process.wait(30) == 0
        assert time.monotonic() - began < 5 + 5 + 10
        stuck.close()
        for reader in readers:
            reader.close()


@pytest.mark.slow
def test_a_thousand_readers_take_no_thread(tmp_path: Path) -> None:
    options = ("--max-live-streams-per-account", "2000", "--max-live-streams-per-address", "2000")
    with running_site(tmp_path / "data", *options, "--max-connections-per-address", "3000") as site:
        with site.reader() as first:
            first.next()
            site.write("warm")
            first.read(1)
        threads = site.threads
        readers = [site.reader() for _ in range(1_000)]
        for reader in readers:
            reader.next()
        site.write("a", "b")
        for reader in readers:
            assert [event["data"]["id"] for event in reader.read(2)] == ["a", "b"]
        assert site.threads <= threads + 8, "threads for requests may have been started, and none for a stream"
        for reader in readers:
            reader.close()
        site.write("c")
        with site.reader(since=readers[0].last_id) as again:
            again.read(1)


@pytest.mark.slow
def test_a_reader_that_sleeps_through_a_hundred_thousand_changes(tmp_path: Path) -> None:
    """The server keeps nothing for it, and it gets every event once."""
    with running_site(tmp_path / "data") as site, site.reader(buffer_bytes=4096) as reader:
        reader.next()
        site.write(*(f"warm{n}" for n in range(10_000)))
        before = site.resident_bytes
        for _ in range(20):
            # The same points again, so that what is stored does not grow.
            site.write(*(f"warm{n}" for n in range(5_000)))
        with site.reader() as other:
            other.next()
            grown = site.resident_bytes - before
        # Its socket holds what the system allows, and the server 64 KiB. 110,000 events are 20 MB.
        assert grown < 96 << 20, grown
        reader._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        versions = [event["data"]["version"] for event in reader.read(110_000)]
        assert versions == list(range(1, 110_001))


class Proxy:
    """A proxy that passes on what comes at once, a few bytes at a time, and adds what proxies add."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            thread = threading.Thread(target=self._pass, args=(client, server), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    part = ready.recv(97)
                    if not part:
                        return
                    (server if ready is client else client).sendall(part)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)


def test_events_come_at_once_through_a_proxy(tmp_path: Path) -> None:
    with running_site(tmp_path / "data") as site:
        proxy = Proxy(site.port)
        with EventSocket(proxy.port, CHANNEL, site.key) as reader:
            for n in range(5):
                site.write(f"p{n}")
                assert reader.read(n + 1)[-1]["data"]["id"] == f"p{n}"
            position = reader.last_id
        site.write("later")
        with EventSocket(proxy.port, CHANNEL, site.key, {"Last-Event-ID": position}) as reader:
            assert reader.read(1)[0]["data"]["id"] == "later"
        proxy.close()


def test_an_account_that_the_command_line_disables_loses_its_streams(tmp_path: Path) -> None:
    """Another process changes the accounts; the server looks each second."""
    data = tmp_path / "data"
    with running_site(data) as site, site.reader() as reader:
        reader.next()
        subprocess.run([VECTROGRAPH, "users", "disable", "developer", "--data", str(data)], check=True)
        end = reader.read_end()
        assert (end["code"], end["reconnect"]) == ("INVALID_API_KEY", False)


def test_a_reader_that_comes_too_late_is_told_where_to_go_on() -> None:
    """The log keeps five changes here, and a reader that was away longer misses some: it is told so."""
    with running(max_log_changes=5) as server, server.vectron() as client:
        client.create_collection(COLLECTION, 2)
        port = int(server.http_url.rpartition(":")[2])

        def reader(**query: Any) -> EventSocket:
            return EventSocket(port, {**CHANNEL, **query}, server.api_key)

        with reader(channels=f"tokens,collection:{COLLECTION}") as first:
            first.next()
            position = first.last_id
        client.upsert(COLLECTION, [Point(str(n), [1.0, n]) for n in range(20)])
        deadline = time.monotonic() + PATIENCE
        while (late := reader(channels=f"collection:{COLLECTION},tokens", since=position)).status == 200:
            late.close()
            assert time.monotonic() < deadline, "the log was not trimmed"
        assert (late.status, late.error["code"]) == (410, "POSITION_EXPIRED")
        oldest = late.error["details"]["oldest"]
        late.close()
        with reader(channels=f"collection:{COLLECTION},tokens", since=oldest, follow="false") as again:
            again.read_end()
            assert [event["data"]["version"] for event in again.events] == [16, 17, 18, 19, 20]
            last = again.last_id
        with reader(since="oldest", follow="false") as from_oldest:
            from_oldest.read_end()
            assert from_oldest.events == again.events
        with reader(since=last) as on_time:
            client.upsert(COLLECTION, [Point("a", [1.0, 2.0])])
            assert on_time.read(1)[0]["data"]["id"] == "a"
