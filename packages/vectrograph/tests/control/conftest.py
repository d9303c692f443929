import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.hand_clock import HandClock
from control.postgresql_server import postgresql

from vectrograph.control.accounts import NewUser
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    return tmp_path / "control.sqlite"


@pytest.fixture
def store(database_file: Path, clock: HandClock) -> Iterator[ControlStore]:
    opened = ControlStore.open(f"sqlite:///{database_file}", clock=clock)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgresql_host() -> Iterator[str]:
    """The socket directory of a PostgreSQL server; a short path, because those of sockets are limited."""
    with tempfile.TemporaryDirectory(prefix="vg-pg-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        with postgresql(Path(directory)) as host:
            yield host


@pytest.fixture
def ada(store: ControlStore) -> str:
    """The id of an account whose password hash is "hash-1"."""
    new = NewUser(user_id="u1", username="ada", role=Role.DEVELOPER, encoded_password="hash-1", email="Ada@X.org")
    return store.accounts.create(new).user_id
