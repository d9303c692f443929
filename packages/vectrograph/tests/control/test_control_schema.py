import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from control.schema_facts import schema_facts
from sqlalchemy import create_engine

from vectrograph.control.database import schema
from vectrograph.control.database.models import Base
from vectrograph.control.store import ControlStore
from vectrograph.domain.errors import OutOfSpace, StartupError, StorageReadOnly, Unavailable, UnsupportedFormat


def migrate(file: Path, revision: str) -> None:
    """Bring a database to a revision by migrations alone, from empty if it is."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_migrations_make_exactly_the_tables_of_the_models(database_file: Path) -> None:
    migrate(database_file, "head")
    engine = create_engine(f"sqlite:///{database_file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_a_new_database_is_what_migrations_make(store: ControlStore, database_file: Path) -> None:
    migrated = database_file.with_name("migrated.sqlite")
    migrate(migrated, "head")
    facts = []
    for file in (database_file, migrated):
        engine = create_engine(f"sqlite:///{file}")
        facts.append(schema_facts(engine))
        engine.dispose()
    assert len(facts[0]["triggers"]) == 2
    assert facts[0]["rows"]["alembic_version"] == [(schema.HEAD,)]
    assert facts[0] == facts[1]


def test_the_constant_head_is_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_a_new_and_an_existing_database_open_without_alembic(database_file: Path) -> None:
    code = (
        "import sys\n"
        "from vectrograph.control.store import ControlStore\n"
        f"ControlStore.open('sqlite:///{database_file}').close()\n"
        f"ControlStore.open('sqlite:///{database_file}').close()\n"
        "assert 'alembic' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_newer_database_is_refused_and_left_alone(store: ControlStore, database_file: Path) -> None:
    store.close()
    with sqlite3.connect(database_file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database_file.read_bytes()
    with pytest.raises(UnsupportedFormat, match="another version"):
        ControlStore.open(f"sqlite:///{database_file}")
    assert database_file.read_bytes() == before


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("power cut")


def texts(database_file: Path) -> list[tuple[str]]:
    """Return the text of the schema in a file."""
    with closing(sqlite3.connect(database_file)) as connection:
        return connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_creation_that_fails_leaves_nothing_behind(database_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "insert", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            ControlStore.open(f"sqlite:///{database_file}")
    assert texts(database_file) == []
    ControlStore.open(f"sqlite:///{database_file}").close()


def test_a_migration_that_fails_leaves_nothing_behind(database_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import alembic.op

    migrate(database_file, "0004")
    before = texts(database_file)
    with monkeypatch.context() as patch:
        patch.setattr(alembic.op, "create_index", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            ControlStore.open(f"sqlite:///{database_file}")
    assert texts(database_file) == before
    ControlStore.open(f"sqlite:///{database_file}").close()
    assert len(texts(database_file)) > len(before)


def test_the_file_is_private_durable_and_has_no_write_ahead_log(store: ControlStore, database_file: Path) -> None:
    assert stat.S_IMODE(database_file.stat().st_mode) == 0o600
    with store._database.read() as session:
        driver = session.connection().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        facts = [
            driver.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert facts == ["persist", 2, 1]


def test_everything_survives_a_restart(store: ControlStore, database_file: Path, ada: str) -> None:
    key = store.api_keys.create(ada, "ci", ["tokens:read"], None)
    store.close()
    again = ControlStore.open(f"sqlite:///{database_file}")
    assert again.has_users()
    assert again.accounts.get(ada).email == "ada@x.org"
    assert again.api_keys.get(key.record.key_id, ada).scopes == ("tokens:read",)
    again.close()


def test_a_copy_of_a_template_is_a_database_of_its_own(store: ControlStore, database_file: Path, ada: str) -> None:
    store.close()
    copy = database_file.with_name("copy.sqlite")
    ControlStore.copy_of(database_file, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    opened = ControlStore.open(f"sqlite:///{copy}")
    opened.accounts.set_plan(ada, "PAID")
    opened.close()
    original = ControlStore.open(f"sqlite:///{database_file}")
    assert original.accounts.get(ada).plan == "FREE"
    original.close()


def test_a_copy_overwrites_nothing_and_wants_a_closed_template(store: ControlStore, database_file: Path) -> None:
    store.close()
    with pytest.raises(StartupError, match="exists"):
        ControlStore.copy_of(database_file, database_file)
    with pytest.raises(StartupError, match="No such file"):
        ControlStore.copy_of(database_file.with_name("none"), database_file.with_name("copy.sqlite"))
    database_file.with_name("control.sqlite-journal").write_bytes(b"\xd9\xd5\x05\xf9")
    with pytest.raises(StartupError, match="not closed"):
        ControlStore.copy_of(database_file, database_file.with_name("copy.sqlite"))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "no url at all", "nosuchdatabase://host/db"])
def test_urls_that_cannot_be_used_are_refused(url: str) -> None:
    with pytest.raises(StartupError):
        ControlStore.open(url)


def test_a_password_in_the_url_is_never_shown() -> None:
    with pytest.raises(StartupError) as caught:
        ControlStore.open("nosuchdatabase://me:s3cr3t@host/db")
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(StartupError) as caught:
        ControlStore.open("sqlite://me:s3cr3t@/")
    assert "s3cr3t" not in str(caught.value)


def test_a_damaged_file_is_named_as_such(database_file: Path) -> None:
    database_file.write_bytes(b"this is no database" * 100)
    with pytest.raises(Unavailable, match="damaged"):
        ControlStore.open(f"sqlite:///{database_file}")


def test_a_file_that_cannot_be_written_says_so(store: ControlStore, database_file: Path, ada: str) -> None:
    store.close()
    reading = ControlStore.open(f"sqlite:///file:{database_file}?mode=ro&uri=true")
    assert reading.accounts.get(ada).username == "ada"
    with pytest.raises(StorageReadOnly):
        reading.accounts.set_plan(ada, "PAID")
    reading.close()


def test_a_full_disk_says_so_and_writes_nothing(store: ControlStore, ada: str) -> None:
    with store._database.read() as session:
        driver = session.connection().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA max_page_count = 1")
    context = {"note": "x" * 4_000_000}
    with pytest.raises(OutOfSpace):
        store.feedback.create(tenant="t", collection="c", query="q", user_id=ada, context=context, items=[])
    assert store.accounts.get(ada).username == "ada"


def test_a_lock_held_elsewhere_is_a_retryable_refusal(
    store: ControlStore, database_file: Path, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr("vectrograph.control.database.connection.BUSY_SECONDS", 0.05)
    impatient = ControlStore.open(f"sqlite:///{database_file}")
    other = sqlite3.connect(database_file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable) as caught:
        impatient.accounts.set_plan(ada, "PAID")
    assert caught.value.retry_after is not None
    other.execute("ROLLBACK")
    other.close()
    assert impatient.accounts.set_plan(ada, "PAID").plan == "PAID"
    impatient.close()
