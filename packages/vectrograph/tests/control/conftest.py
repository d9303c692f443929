from collections.abc import Iterator
from pathlib import Path

import pytest
from control.hand_clock import HandClock
from control.quick import cheap_passwords, tmp_path
from postgresql_server import new_database

from vectrograph.control.accounts import NewUser
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role

__all__ = ["cheap_passwords", "tmp_path"]


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


@pytest.fixture(params=["sqlite", "postgresql"])
def store_on_either(request: pytest.FixtureRequest, database_file: Path, clock: HandClock) -> Iterator[ControlStore]:
    """Provide a fresh store, once on each kind of database; modules whose tests are true of both call it `store`."""
    if request.param == "sqlite":
        opened = ControlStore.open(f"sqlite:///{database_file}", clock=clock)
    else:
        opened = ControlStore.open(
            new_database(request.getfixturevalue("postgresql")), database_file.parent, clock=clock
        )
    yield opened
    opened.close()


@pytest.fixture
def ada(store: ControlStore) -> str:
    """Provide the id of an account whose password hash is "hash-1"."""
    new = NewUser(user_id="u1", username="ada", role=Role.DEVELOPER, encoded_password="hash-1", email="Ada@X.org")
    return store.accounts.create(new).user_id
