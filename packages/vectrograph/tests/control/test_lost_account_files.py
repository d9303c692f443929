"""FINDINGS C2 and C5: every file of the accounts, lost in every way after a kill, costs no account, no key and no
revocation without a refusal that says what to do.
"""

import logging
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from control.quick import memory
from torture.damage import DELETED, WAYS
from torture.damage import kind_of as kind_of_engine_file

from vectrograph.cli.operator import restore_accounts
from vectrograph.control.accounts import NewUser
from vectrograph.control.database.copies import COPIES, Record
from vectrograph.control.records import SessionRecord
from vectrograph.control.signing import TokenSigner, TokenType, rotate_secret
from vectrograph.control.store import ControlStore, sqlite_url
from vectrograph.domain.access import Role
from vectrograph.domain.errors import InvalidToken, StartupError

KINDS = {
    "control.sqlite": {"refused", "right"},
    "control.sqlite-journal": {"right"},
    "accounts.json": {"right"},
    "accounts-copies/*.sqlite": {"right"},
    "accounts-copies/*.json": {"right"},
    "audit.journal": {"right", "entries lost"},
    "audit-2.journal": {"right"},
    "signing.key": {"refused", "right", "log in again"},
}
"""Files of the accounts, and what may come of the loss of one."""
MUST_BE_REFUSED = ("deleted", "emptied", "cut at 30%", "cut at 70%", "swapped with an older copy")
"""Ways to lose the database itself that may not pass. Its last byte belongs to room that is kept, and to no page."""

FEW_WAYS = [way for way in WAYS if not way.name.startswith(("cut", "flipped at 0%"))]
"""Ways to lose a copy: each is noticed by a checksum of the whole."""

State = tuple[list[str], dict[str, bool]]


@dataclass(frozen=True)
class Victim:
    """A data directory as a killed process left it.

    Attributes:
        picture: the directory.
        older: the same directory, earlier.
        states: accounts and keys, by how far the commits had gone: at each copy, and at the end.
        token: signed by the newest key.
    """

    picture: Path
    older: Path
    states: dict[int, State]
    token: str

    @property
    def state(self) -> State:
        return self.states[max(self.states)]


def opened(directory: Path) -> ControlStore:
    return ControlStore.open(sqlite_url(directory / "control.sqlite"), directory, watched=True)


def state_of(store: ControlStore) -> State:
    return sorted(user.username for user in store.accounts.list()), {
        key.key_id: key.is_active for key in store.api_keys.list(None)
    }


def generation(directory: Path) -> int:
    return Record.decoded((directory / "accounts.json").read_bytes()).generation


def add(store: ControlStore, name: str) -> str:
    store.accounts.create(NewUser(user_id=name, username=name, role=Role.ADMIN, encoded_password="hash"))
    note(store, name)
    store.audit.move()
    return store.api_keys.create(name, "key", [], None).record.key_id


def note(store: ControlStore, target: str) -> None:
    store.audit.end(store.audit.begin(action="test", target=target, tenant="default"), "ok")


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with tempfile.TemporaryDirectory(dir=memory()) as home:
        picture, older, states = Path(home, "picture"), Path(home, "older"), {}
        picture.mkdir()
        for name in ("ada", "bob"):
            with closing(opened(picture)) as store:
                key = add(store, name)
                states[generation(picture)] = state_of(store)
            TokenSigner.from_file(picture / "signing.key")
            if not older.exists():
                shutil.copytree(picture, older)
        rotate_secret(picture / "signing.key")
        child = os.fork()
        if child == 0:  # pragma: no cover  (in another process)
            try:
                store = opened(picture)
                add(store, "cyd")
                store.api_keys.revoke(key, "bob")
                note(store, "in the journal only")
                os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(7)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        whole = Path(home, "whole")
        shutil.copytree(picture, whole)
        with closing(opened(whole)) as store:
            states[generation(picture)] = state_of(store)
            user = store.accounts.get("cyd")
            session: SessionRecord = store.sessions.start(store.accounts.password_of("cyd"), 10**15)
            token = TokenSigner.from_file(whole / "signing.key").access_token(session, user)
        assert states[generation(picture)][1][key] is False
        yield Victim(picture, older, states, token)


def kind_of(path: Path) -> str | None:
    return next((kind for kind in KINDS if path.match(kind)), None)


def test_every_file_of_a_data_directory_has_a_case(victim: Victim) -> None:
    """A new kind of file needs a line in `KINDS`, and has all its losses tried by that."""
    found = {path.relative_to(victim.picture) for path in victim.picture.rglob("*") if path.is_file()}
    assert {path for path in found if kind_of(path) is None and kind_of_engine_file(path) is None} == set()
    assert {kind_of(path) for path in found} == set(KINDS)


def judge(victim: Victim, directory: Path, log: pytest.LogCaptureFixture) -> str:
    """Return what became of a directory with a loss; anything wrong is an assertion."""
    log.clear()
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    try:
        signer = TokenSigner.from_file(directory / "signing.key")
    except StartupError as error:
        assert "restore it, or delete it" in str(error)
        return "refused"
    try:
        store = opened(directory)
    except StartupError as error:
        assert "`vectrograph accounts restore`" in str(error)
        assert "`vectrograph accounts accept`" in str(error)
        assert {path: path.read_bytes() for path in before if path.exists()} == before, "nothing was changed"
        return "refused"
    with closing(store):
        assert state_of(store) == victim.state
        entries = [entry.target for entry in store.audit.list(None) if entry.action == "test"]
        assert max(Counter(entries).values()) == 1, "an entry is there twice"
        assert set(entries) >= {"ada", "bob", "cyd"}
    if "in the journal only" not in entries:
        return "entries lost"
    try:
        signer.verify(victim.token, TokenType.ACCESS)
    except InvalidToken:
        return "log in again"
    return "right"


@pytest.mark.parametrize("kind", KINDS)
def test_no_loss_of_a_file_loses_accounts_or_keys(
    victim: Victim, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """FINDINGS C2, C5."""
    caplog.set_level(logging.WARNING)
    for path in sorted(victim.picture.glob(kind)):
        for way in [DELETED] if COPIES in kind else WAYS:
            directory = tmp_path / "data"
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(victim.picture, directory)
            name = path.relative_to(victim.picture)
            if not way.act(directory / name, victim.older / name):
                continue

            outcome = judge(victim, directory, caplog)
            told = f"{name}, {way.name}: {outcome}"
            assert outcome in KINDS[kind], told
            if kind == "control.sqlite" and way.name in MUST_BE_REFUSED:
                assert outcome == "refused", told
            if outcome == "entries lost" and way.name in ("deleted", "emptied", "cut at 30%"):
                assert "was missing or cut" in caplog.text, told


@pytest.mark.parametrize("kind", [f"{COPIES}/*.sqlite", f"{COPIES}/*.json"])
def test_restoring_beside_a_harmed_copy_takes_the_newest_whole_one(victim: Victim, tmp_path: Path, kind: str) -> None:
    """FINDINGS C5: and says how many changes are missing, whatever was written over."""
    last = max(victim.states)
    for path in sorted(victim.picture.glob(kind)):
        for way in FEW_WAYS:
            directory = tmp_path / "data"
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(victim.picture, directory)
            others = [each for each in (directory / COPIES).glob(f"*{path.suffix}") if each.name != path.name]
            harmed = directory / path.relative_to(victim.picture)
            # "Older" is here the other copy, or the papers of the other copy.
            if not way.act(harmed, others[0]):
                continue
            (directory / "control.sqlite").unlink()
            restored = restore_accounts(sqlite_url(directory / "control.sqlite"), directory, None, revoke_keys=False)
            told = f"{path.name}, {way.name}"
            # A copy that is not whole is never taken: a newer one with the papers of the other, say.
            assert restored.copy.path.stem == others[0].stem, told
            assert restored.missing == last - restored.copy.generation, told
            with closing(opened(directory)) as store:
                assert state_of(store) == victim.states[restored.copy.generation], told


def test_with_every_copy_harmed_nothing_is_restored(victim: Victim, tmp_path: Path) -> None:
    """FINDINGS C5."""
    for way in FEW_WAYS:
        directory = tmp_path / "data"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(victim.picture, directory)
        copies = sorted((directory / COPIES).glob("*.sqlite"))
        if not all(way.act(copy, victim.picture / "nothing") for copy in copies):
            continue
        (directory / "control.sqlite").unlink()
        with pytest.raises(StartupError, match="missing or damaged"):
            restore_accounts(sqlite_url(directory / "control.sqlite"), directory, None, revoke_keys=False)
        with pytest.raises(StartupError, match="There is no copy here: restore your own backup"):
            opened(directory)


def test_the_number_of_a_copy_cannot_be_changed_unnoticed(victim: Victim, tmp_path: Path) -> None:
    """Otherwise restoring would say that nothing is missing, where a revocation is."""
    directory = tmp_path / "data"
    shutil.copytree(victim.picture, directory)
    oldest, newest = sorted((directory / COPIES).glob("*.json"))
    number = b'"generation": %d' % int(newest.stem)
    content = newest.read_bytes()
    assert number in content
    newest.write_bytes(content.replace(number, b'"generation": %d' % max(victim.states)))
    (directory / "control.sqlite").unlink()
    restored = restore_accounts(sqlite_url(directory / "control.sqlite"), directory, None, revoke_keys=False)
    assert restored.copy.path.stem == oldest.stem
    assert restored.missing == max(victim.states) - int(oldest.stem)
