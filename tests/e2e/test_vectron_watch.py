"""The vectron client's `watch` against server processes: killed, stopped, with a revoked key and with a short log."""

import asyncio
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import ServerProcess, serve
from vectron_client import (
    AsyncVectronClient,
    AuthenticationError,
    ClientOptions,
    CreatedAPIKey,
    NotFoundError,
    Point,
    PositionExpiredError,
    VectronAuthClient,
    VectronClient,
    VectronError,
)

#: Seconds after which something that should have happened has not.
PATIENCE = 60.0
#: Pauses between attempts, short so that tests are.
HASTY = ClientOptions(retry_max_backoff_ms=200)


class Site:
    """A data directory, the address under which its servers come and go, and a key for them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.key = ""

    @contextmanager
    def server(self, *options: str) -> Iterator[ServerProcess]:
        """Run a server; the first makes the key."""
        with serve(self.data, "--grpc-port", str(self.port), *options) as process:
            process.serving()
            self.key = self.key or self.new_key().api_key
            yield process

    @contextmanager
    def accounts(self) -> Iterator[VectronAuthClient]:
        with VectronAuthClient(self.address) as auth:
            auth.login("dev@neurograph.dev", "developer123")
            yield auth

    def new_key(self) -> CreatedAPIKey:
        with self.accounts() as auth:
            return auth.create_api_key("watch")

    def client(self, key: str = "") -> VectronClient:
        return VectronClient(self.address, key or self.key, HASTY)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, ServerProcess]]:
    """Provide a server for all tests that do not stop it. Its logs hold ten changes."""
    site = Site(tmp_path_factory.mktemp("watch") / "data")
    with site.server("--max-log-changes", "10") as process:
        yield site, process


@pytest.fixture
def site(standing: tuple[Site, ServerProcess]) -> Site:
    return standing[0]


@pytest.fixture
def client(site: Site) -> Iterator[VectronClient]:
    with site.client() as client:
        yield client


@pytest.fixture
def docs(client: VectronClient) -> str:
    name = f"docs-{uuid.uuid4().hex}"
    client.create_collection(name, 2, "cosine")
    return name


def write(client: VectronClient, collection: str, *ids: str) -> None:
    client.upsert(collection, [Point(point_id, [1.0, 2.0]) for point_id in ids])


class Reader(threading.Thread):
    """Notes the versions of all changes that `read` gives it, until that returns or raises."""

    def __init__(self, read: Callable[["Reader"], None]) -> None:
        super().__init__()
        self._read = read
        self.versions: list[int] = []
        self.error: VectronError | None = None
        self._changed = threading.Condition()
        self.start()

    def run(self) -> None:
        try:
            self._read(self)
        except VectronError as error:
            self.error = error

    def note(self, version: int) -> None:
        with self._changed:
            self.versions.append(version)
            self._changed.notify_all()

    def wait_for(self, version: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.versions[-1:] >= [version], PATIENCE), self.versions[-3:]

    def finish(self) -> None:
        self.join(PATIENCE)
        assert not self.is_alive()


@pytest.mark.slow
def test_restarts_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """One server is killed amid writes, the next one stopped; readers see every change once and in order."""
    site = Site(tmp_path / "data")

    def read(reader: Reader) -> None:
        for change in watch:
            reader.note(change.version)

    async def read_async(reader: Reader) -> None:
        async with AsyncVectronClient(site.address, site.key, HASTY) as client:
            async for change in client.watch("docs", since="oldest"):
                reader.note(change.version)
                if change.type == "deleted":
                    return

    with site.server() as process, site.client() as client:
        client.create_collection("docs", 2, "cosine")
        watching = site.client()
        watch = watching.watch("docs")
        readers = [Reader(read), Reader(lambda reader: asyncio.run(read_async(reader)))]
        written = 0
        kill = threading.Timer(random.Random(7).uniform(0.3, 0.8), process.kill)
        kill.start()
        try:
            while True:
                write(client, "docs", *(str(n) for n in range(20)))
                written += 20
        except VectronError:
            kill.join()
    with site.server("--shutdown-seconds", "30") as process, site.client() as client:
        # The server may have written the batch that it could not acknowledge.
        version = client.upsert_if("docs", [Point("once more", [1.0, 2.0])], if_absent=True)[0].version
        assert written < version <= written + 21
        for reader in readers:
            reader.wait_for(version)
        began = time.monotonic()
        assert process.terminate(60) == 0
        assert time.monotonic() - began < 25, "open watches do not hold the server up"
    with site.server(), site.client() as client:
        client.delete("docs", "once more")
        for reader in readers:
            reader.wait_for(version + 1)
        watch.close()
        for reader in readers:
            reader.finish()
        watching.close()
    for reader in readers:
        assert (reader.versions, reader.error) == (list(range(1, version + 2)), None)


def test_a_revoked_key_ends_a_watch(site: Site, client: VectronClient, docs: str) -> None:
    key = site.new_key()
    with site.accounts() as auth, site.client(key.api_key) as other, other.watch(docs) as watch:
        write(client, docs, "a")
        assert next(watch).id == "a"
        auth.delete_api_key(key.info.key_prefix)
        write(client, docs, "b")
        with pytest.raises(AuthenticationError) as revoked:
            next(watch)
        assert revoked.value.error_code == "INVALID_API_KEY"
        assert watch.closed
        with pytest.raises(AuthenticationError):
            other.watch(docs)


def test_a_dropped_collection_ends_a_watch(client: VectronClient, docs: str) -> None:
    with client.watch(docs) as watch:
        client.delete_collection(docs)
        with pytest.raises(NotFoundError) as dropped:
            next(watch)
    assert dropped.value.error_code == "COLLECTION_NOT_FOUND"


def test_a_position_that_the_log_no_longer_holds(client: VectronClient, docs: str) -> None:
    with client.watch(docs) as watch:
        write(client, docs, "first")
        old = next(watch).position
    write(client, docs, *(str(n) for n in range(100)))
    last = 101
    # The log is trimmed in the background, which may remove what was the oldest position a moment ago.
    since: str | None = old
    kept: list[int] = []
    deadline = time.monotonic() + PATIENCE
    while since == old or not kept:
        assert time.monotonic() < deadline
        assert since is not None
        try:
            with client.watch(docs, since=since) as rest:
                kept = list(iter(lambda: next(rest).version, last))
        except PositionExpiredError as error:
            since, kept = error.oldest, []
    assert 9 <= len(kept) < 100
    assert kept == list(range(last - len(kept), last))


def test_another_process_goes_on_from_a_saved_position(
    site: Site, client: VectronClient, docs: str, tmp_path: Path
) -> None:
    script = """
        import sys
        from pathlib import Path
        from vectron_client import VectronClient

        address, key, docs, saved = *sys.argv[1:4], Path(sys.argv[4])
        since = saved.read_text() if saved.exists() else "oldest"
        with VectronClient(address, key) as client, client.watch(docs, since=since, include_payload=True) as watch:
            for change in watch:
                print(change.type, change.id, change.point and change.point.payload)
                saved.write_text(change.position)
                if change.id == "stop":
                    break
    """

    def run() -> list[str]:
        arguments = [site.address, site.key, docs, str(tmp_path / "position")]
        command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    client.upsert(docs, [Point("a", [1.0, 2.0], {"n": 1})])
    write(client, docs, "stop", "after")
    assert run() == ["created a {'n': 1}", "created stop {}"]
    client.delete(docs, "a")
    write(client, docs, "stop")
    assert run() == ["created after {}", "deleted a None", "updated stop {}"]


def test_closing_from_another_thread(client: VectronClient, docs: str) -> None:
    def read(reader: Reader) -> None:
        for change in watch:
            reader.note(change.version)

    watch = client.watch(docs)
    reader = Reader(read)
    write(client, docs, "a")
    reader.wait_for(1)
    watch.close()
    reader.finish()
    assert (reader.versions, reader.error) == ([1], None)


def test_a_filter_and_what_it_says_of_each_change(client: VectronClient, docs: str) -> None:
    def store(**years: int) -> None:
        client.upsert(docs, [Point(name, [1.0, 2.0], {"year": year}) for name, year in years.items()])

    seen = []
    with client.watch(docs, filter={"path": "year", "gte": 2000}) as watch:
        store(old=1990, new=2010)
        seen.append(next(watch))
        store(new=1999)
        seen.append(next(watch))
        client.delete(docs, "old")
        seen.append(next(watch))
    assert [(change.id, change.type, change.matches) for change in seen] == [
        ("new", "created", True),
        ("new", "updated", False),
        ("old", "deleted", None),
    ]


def test_many_watches_take_no_thread_of_the_server(
    standing: tuple[Site, ServerProcess], client: VectronClient, docs: str
) -> None:
    tasks = Path(f"/proc/{standing[1].process.pid}/task")
    with client.watch(docs) as first:
        write(client, docs, "warm")
        next(first)
        before = len(list(tasks.iterdir()))
        watches = [client.watch(docs) for _ in range(50)]
        write(client, docs, "a")
        assert {next(watch).id for watch in watches} == {"a"}
        assert len(list(tasks.iterdir())) <= before + 8, "threads for requests may have been started"
        for watch in watches:
            watch.close()
