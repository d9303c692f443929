"""The accounts, keys, sessions and record of the control plane on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from control.hand_clock import HandClock
from control.schema_facts import schema_facts
from postgresql_server import PostgresServer, new_database
from sqlalchemy import URL, create_engine, exc, text

from vectrograph.control.accounts import NewUser
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import Base
from vectrograph.control.database.schema import upgrade
from vectrograph.control.sessions import Rotation
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import AlreadyExists, ApiKeyNotFound, Conflict, UserNotFound

HOUR = 3600 * 1_000_000


@pytest.fixture
def url(postgresql: PostgresServer) -> URL:
    return new_database(postgresql)


@pytest.fixture
def migrated(postgresql: PostgresServer) -> URL:
    """Provide a database whose tables were all made by migrations."""
    fresh = new_database(postgresql)
    database = Database(fresh)
    with database.connection() as connection:
        upgrade(connection, database)
    database.close()
    return fresh


@pytest.fixture
def store(url: URL, clock: HandClock, tmp_path: Path) -> Iterator[ControlStore]:
    opened = ControlStore.open(url, tmp_path, clock=clock)
    yield opened
    opened.close()


def new(name: str, role: Role = Role.DEVELOPER) -> NewUser:
    return NewUser(user_id=name, username=name, role=role, encoded_password="hash", email=f"{name}@x.org")


def test_migrations_make_exactly_the_tables_of_the_models(store: ControlStore, url: URL, migrated: URL) -> None:
    """And a new database, which is made without them, is the same."""
    engine = create_engine(migrated)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    facts = schema_facts(engine)
    engine.dispose()
    engine = create_engine(url)
    assert schema_facts(engine) == facts
    assert len(facts["triggers"]) == 1
    engine.dispose()


def test_accounts_change_and_end_with_what_is_theirs(store: ControlStore) -> None:
    accounts = store.accounts
    accounts.create(new("ada"))
    accounts.create(new("root", Role.ADMIN))
    with pytest.raises(AlreadyExists):
        accounts.create(new("ada"))
    assert [user.username for user in accounts.list("default")] == ["ada", "root"]
    assert accounts.set_role("ada", Role.VIEWER).role is Role.VIEWER
    assert accounts.set_disabled("ada", True).disabled
    with pytest.raises(Conflict):
        accounts.delete("root")
    key = store.api_keys.create("ada", "k", ["tokens:read"], None, collections=["b", "a"], rate_limit=3)
    found = store.api_keys.find(key.secret)
    assert found is not None
    assert (found.record.collections, found.record.rate_limit) == (("a", "b"), 3)
    accounts.delete("ada")
    with pytest.raises(UserNotFound):
        accounts.get("ada")
    with pytest.raises(ApiKeyNotFound):
        store.api_keys.get(key.record.key_id, None)


def test_a_revocation_elsewhere_is_seen_at_once(
    store: ControlStore, url: URL, clock: HandClock, tmp_path: Path
) -> None:
    other = ControlStore.open(url, tmp_path, clock=clock)
    store.accounts.create(new("ada"))
    key = store.api_keys.create("ada", "k", [], None)
    before = store.epoch()
    other.api_keys.revoke(key.record.key_id, "ada")
    assert store.epoch() != before
    other.close()


def test_a_refresh_token_works_once(store: ControlStore) -> None:
    store.accounts.create(new("ada"))
    checked = store.accounts.password("ada")
    assert checked is not None
    session = store.sessions.start(checked, HOUR)
    assert store.sessions.rotate(session.session_id, session.refresh_id, HOUR)[0] is Rotation.ROTATED
    assert store.sessions.rotate(session.session_id, session.refresh_id, HOUR)[0] is Rotation.REUSED


def test_the_record_only_grows(store: ControlStore) -> None:
    store.audit.end(store.audit.begin(action="test", target="a\0b'; DROP TABLE audit; --", tenant="default"), "ok")
    store.audit.move()
    for statement in ("UPDATE audit SET outcome = 'ok'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(exc.DBAPIError, match="only grows"), store._database._engine.begin() as connection:
            connection.execute(text(statement))
    assert [entry.target for entry in store.audit.list("default")] == ["a�b'; DROP TABLE audit; --"]
