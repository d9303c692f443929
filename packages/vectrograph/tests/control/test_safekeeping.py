"""FINDINGS C5: an account database that is lost, damaged, another one or older is refused in one sentence, and comes
back from a copy that says what may be missing.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vectrograph.cli import app
from vectrograph.cli.operator import operator_desk
from vectrograph.control.accounts import NewUser
from vectrograph.control.database.copies import COPIES, RECORD
from vectrograph.control.store import ControlStore, sqlite_url
from vectrograph.domain.access import Role
from vectrograph.domain.errors import StartupError

ODD = [
    "plain",
    "per%40cent %20 s",
    "what?mode=ro&uri=true",
    "#frag",
    "quo'te\"s",
    "ünïcode-\U0001f600",
    "new\nline",
    "a;b",
    "file:x",
]


def opened(directory: Path) -> ControlStore:
    return ControlStore.open(sqlite_url(directory / "control.sqlite"), directory, watched=True)


def run(*arguments: str, directory: Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["accounts", *arguments, "--data", str(directory)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Provide a data directory with an account, a key in force and a revoked one, and with copies."""
    directory = tmp_path_factory.mktemp("master")
    store = opened(directory)
    store.accounts.create(NewUser(user_id="u1", username="ada", role=Role.ADMIN, encoded_password="hash"))
    good, bad = (store.api_keys.create("u1", name, [], None) for name in ("good", "bad"))
    store.api_keys.revoke(bad.record.key_id, "u1")
    store.close()
    (directory / "signing.key").write_text("0" * 64 + "\n")
    return directory, good.record.key_id, bad.record.key_id


@pytest.fixture
def directory(master: tuple[Path, str, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(master[0], tmp_path / "data"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def flipped(place: int) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 0x10
        path.write_bytes(content)

    flip.__name__ = f"flipped at {place}"
    return flip


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


HARM = [Path.unlink, emptied, cut, garbage, *(flipped(place) for place in (3, 30, 100, 5000, 9000, 20_001, 40_000))]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_a_harmed_database_is_refused_and_restored(
    directory: Path, master: tuple[Path, str, str], harm: Callable[[Path], None]
) -> None:
    harm(directory / "control.sqlite")
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises(StartupError, match="accounts restore") as caught:
        opened(directory)
    assert str(directory / "control.sqlite") in str(caught.value)
    with (
        pytest.raises(StartupError, match="accounts restore"),
        operator_desk(sqlite_url(directory / "control.sqlite"), directory),
    ):
        pass
    assert sorted(path.name for path in directory.iterdir()) == before, "nothing was changed"
    code, out, _ = run("restore", directory=directory)
    assert code == 0
    assert "restored the account database of 2" in out
    store = opened(directory)
    _, good, bad = master
    assert [user.username for user in store.accounts.list()] == ["ada"]
    assert {key.key_id: key.is_active for key in store.api_keys.list(None)} == {good: True, bad: False}
    assert [entry.action for entry in store.audit.list(None)] == ["accounts.restore"]
    store.close()


def test_an_older_copy_in_its_place_is_noticed(directory: Path, tmp_path: Path) -> None:
    old = shutil.copy(directory / "control.sqlite", tmp_path / "old")
    store = opened(directory)
    store.accounts.set_plan("u1", "PAID")
    store.close()
    shutil.copy(old, directory / "control.sqlite")
    with pytest.raises(StartupError, match=r"older copy.*last \d+ changes are missing"):
        opened(directory)
    assert run("accept", directory=directory)[0] == 0
    opened(directory).close()


def test_an_older_copy_is_noticed_after_a_kill(directory: Path, tmp_path: Path) -> None:
    """The record needs no orderly end."""
    old = shutil.copy(directory / "control.sqlite", tmp_path / "old")
    child = os.fork()
    if child == 0:  # pragma: no cover  (in another process)
        try:
            opened(directory).accounts.set_plan("u1", "PAID")
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(7)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    store = opened(directory)
    assert store.accounts.get("u1").plan == "PAID"
    store.close()
    shutil.copy(old, directory / "control.sqlite")
    with pytest.raises(StartupError, match="older copy"):
        opened(directory)


def test_the_database_of_another_directory_is_noticed(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    opened(other).close()
    shutil.copy(other / "control.sqlite", directory / "control.sqlite")
    with pytest.raises(StartupError, match="of another data directory"):
        opened(directory)


def test_restoring_says_what_is_missing_and_never_silently_brings_keys_back(
    directory: Path, master: tuple[Path, str, str]
) -> None:
    _, good, _ = master
    copies = directory / COPIES
    kept = {path.name: path.read_bytes() for path in copies.iterdir()}
    store = opened(directory)
    store.api_keys.revoke(good, "u1")
    store.close()
    shutil.rmtree(copies)
    copies.mkdir()
    for name, content in kept.items():
        (copies / name).write_bytes(content)
    (directory / "control.sqlite").unlink()
    code, _, err = run("restore", directory=directory)
    assert code == 0
    assert "1 changes" in err
    assert "revoked" in err
    assert "1 API keys are valid now" in err
    store = opened(directory)
    assert store.api_keys.get(good, None).is_active
    store.close()
    code, _, err = run("restore", "--revoke-keys", directory=directory)
    assert code == 0
    store = opened(directory)
    assert not store.api_keys.get(good, None).is_active
    store.close()


def test_sessions_do_not_come_back(directory: Path) -> None:
    store = opened(directory)
    session = store.sessions.start(store.accounts.password_of("u1"), 10**12)
    store.accounts.set_plan("u1", "PAID")
    store.close()
    assert run("restore", directory=directory)[0] == 0
    store = opened(directory)
    assert store.accounts.get("u1").plan == "PAID"
    assert store.sessions.find(session.session_id) is None
    store.close()


def test_a_damaged_copy_is_passed_over_and_never_put_in_place(directory: Path) -> None:
    store = opened(directory)
    store.accounts.set_plan("u1", "PAID")
    store.close()
    newest = max((directory / COPIES).glob("*.sqlite"))
    flipped(5000)(newest)
    (directory / "control.sqlite").unlink()
    code, out, _ = run("copies", directory=directory)
    assert code == 0
    assert [line.split("\t")[1] for line in out.splitlines()] == ["damaged", "intact"]
    code, _, err = run("restore", "--copy", str(newest), directory=directory)
    assert code == 1
    assert "damaged" in err
    assert not (directory / "control.sqlite").exists()
    assert run("restore", directory=directory)[0] == 0
    store = opened(directory)
    assert store.accounts.get("u1").plan == "FREE"
    store.close()
    assert not newest.exists(), "a damaged copy takes the place of no whole one"


def test_copies_are_made_in_the_background_after_changes_that_matter_and_only_two_are_kept(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectrograph.control.database.copies._IMPORTANT_DELAY_SECONDS", 0.0)
    monkeypatch.setattr("vectrograph.control.database.copies._PAUSE_FACTOR", 0)
    store = opened(directory)
    keeping = store._safekeeping
    assert keeping is not None
    for plan in ("PAID", "FREE", "PAID", "FREE"):
        before = keeping.copies()[0].generation
        store.accounts.set_plan("u1", plan)
        _wait(lambda before=before: keeping.copies()[0].generation > before)  # type: ignore[misc]
    newest = keeping.copies()[0].generation
    store.sessions.start(store.accounts.password_of("u1"), 10**12)
    assert keeping.copies()[0].generation == newest, "a login has no copy of its own"
    store.close()
    assert len(list((directory / COPIES).iterdir())) == 4
    for path in (directory / COPIES).iterdir():
        assert path.stat().st_mode & 0o077 == 0


def _wait(condition: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_room_no_copy(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(directory / COPIES)
    monkeypatch.setattr("vectrograph.control.database.copies._FREE_FACTOR", 1 << 40)
    store = opened(directory)
    store.accounts.set_plan("u1", "PAID")
    store.close()
    assert not (directory / COPIES).exists()


@pytest.mark.parametrize("harm", [Path.unlink, emptied, cut, flipped(20)], ids=lambda harm: harm.__name__)
def test_a_harmed_record_is_written_anew_while_the_database_is_there(
    directory: Path, harm: Callable[[Path], None]
) -> None:
    harm(directory / RECORD)
    opened(directory).close()
    assert json.loads((directory / RECORD).read_bytes())["database"] != 0


@pytest.mark.parametrize("harm", [Path.unlink, emptied, cut], ids=lambda harm: harm.__name__)
def test_losing_record_and_database_is_no_fresh_directory(directory: Path, harm: Callable[[Path], None]) -> None:
    harm(directory / RECORD)
    (directory / "control.sqlite").unlink()
    with pytest.raises(StartupError, match="accounts restore"):
        opened(directory)
    shutil.rmtree(directory / COPIES)
    with pytest.raises(StartupError, match="no copy here"):
        opened(directory)


def test_to_begin_without_accounts_is_a_decision(directory: Path) -> None:
    (directory / "control.sqlite").unlink()
    assert "without accounts" in run("accept", directory=directory)[1]
    store = opened(directory)
    assert not store.has_users()
    store.accounts.create(NewUser(user_id="u2", username="bob", role=Role.ADMIN, encoded_password="hash"))
    store.close()
    (directory / "control.sqlite").unlink()
    with pytest.raises(StartupError, match="is missing"):
        opened(directory)


def test_a_damaged_database_is_not_accepted(directory: Path) -> None:
    garbage(directory / "control.sqlite")
    code, _, err = run("accept", directory=directory)
    assert code == 1
    assert "damaged" in err


def test_a_hot_journal_of_what_was_replaced_is_not_played_back(directory: Path) -> None:
    journal = directory / "control.sqlite-journal"
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"x" * 5000)
    (directory / "control.sqlite").unlink()
    assert run("restore", directory=directory)[0] == 0
    store = opened(directory)
    assert store.accounts.get("u1").username == "ada"
    store.close()


def test_nothing_is_restored_while_a_server_has_the_directory(directory: Path) -> None:
    from vectrograph.engines.embedded import EmbeddedEngine

    engine = EmbeddedEngine.open(directory)
    code, _, err = run("restore", directory=directory)
    assert code == 1
    assert "in use" in err
    engine.close()


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Provide a folder in which nothing appears but what a test makes there."""
    folder = tmp_path / "beside"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ODD)
def test_odd_characters_in_the_path_mean_themselves(beside: Path, name: str) -> None:
    """FINDINGS C4."""
    directory = beside / name
    for username in ("ada", "bob"):
        with operator_desk(sqlite_url(directory / "control.sqlite"), directory) as desk:
            new = NewUser(user_id=username, username=username, role=Role.ADMIN, encoded_password="hash")
            desk.store.accounts.create(new)
    assert (directory / "control.sqlite").stat().st_size > 0
    assert [path.name for path in beside.iterdir()] == [name]
    (directory / "control.sqlite").unlink()
    assert run("restore", directory=directory)[0] == 0
    listed = CliRunner().invoke(app, ["users", "list", "--data", str(directory)])
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["ada", "bob"]


def test_a_relative_path_stays_where_it_was(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS C4: also after a change of the working directory."""
    monkeypatch.chdir(beside)
    Path("file:x").mkdir()
    store = opened(Path("file:x"))
    monkeypatch.chdir("/")
    store.accounts.create(NewUser(user_id="u1", username="ada", role=Role.ADMIN, encoded_password="hash"))
    store.close()
    assert len(list((beside / "file:x" / COPIES).iterdir())) == 2
