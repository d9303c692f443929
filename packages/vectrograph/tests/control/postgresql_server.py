"""A PostgreSQL server of our own on a unix socket, from the system's binaries."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from control.quick import memory
from sqlalchemy import URL, create_engine, text

_PLACES = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin", "/usr/local/bin")


@contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """Start a fresh server in `directory`; gives the socket's directory, which is also the host to connect to."""
    binaries = next((Path(place) for place in _PLACES if (Path(place) / "initdb").exists()), None)
    if binaries is None:
        pytest.skip("PostgreSQL is not installed; install Debian's package postgresql to run these tests.")
    # The server refuses to run as root, which is what a container usually is.
    as_user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    home = directory / "pg"
    home.mkdir()
    if as_user:
        shutil.chown(home, "postgres")
    data, log = home / "data", home / "log"
    _run(*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "test", "-A", "trust", "-N", "-E", "UTF8")
    options = f"-k {home} -c listen_addresses='' -c fsync=off"
    control = (*as_user, str(binaries / "pg_ctl"), "-D", str(data))
    _run(*control, "-w", "-l", str(log), "-o", options, "start")
    try:
        yield str(home)
    finally:
        _run(*control, "-w", "-m", "immediate", "stop")


def new_database(host: str, template: str = "template1") -> URL:
    """Return a fresh database, a copy of `template`, on the server behind a socket directory."""
    name = f"t{secrets.token_hex(6)}"
    server = URL.create("postgresql+psycopg", "test", database="postgres", query={"host": host})
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return server.set(database=name)


@pytest.fixture(scope="session")
def postgresql_host() -> Iterator[str]:
    """Provide the socket directory of a PostgreSQL server; a short path, because those of sockets are limited.

    Every test has a database of its own, some hundred files each, which a disk takes half a minute to delete.
    """
    with tempfile.TemporaryDirectory(prefix="vg-pg-", dir=memory() or "/tmp") as directory:  # noqa: S108
        Path(directory).chmod(0o755)
        with postgresql(Path(directory)) as host:
            yield host


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{command[-1]}: {done.stderr.decode(errors='replace')}")
