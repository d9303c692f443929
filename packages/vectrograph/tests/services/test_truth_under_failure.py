"""FINDINGS C1: whatever fails before, between or after the steps of an action, the answer, the state and the audit
record agree.
"""

import errno
import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from services.actions import (
    ACTIONS,
    ADMIN,
    DEVELOPER,
    EVERY_ACTION,
    Action,
    Place,
    docs,
    key,
    outcome,
    require_agreement,
    tokens,
    user,
)

from vectrograph.control.audit import INTERRUPTED
from vectrograph.control.audit_journal import SLOTS, AuditJournal
from vectrograph.control.store import ControlStore, sqlite_url
from vectrograph.domain.errors import DomainError, InvalidToken, Unavailable
from vectrograph.engines.embedded import EmbeddedEngine

FEW_SLOTS = 8
AUDITED = pytest.mark.parametrize("action", [each for each in ACTIONS if each.audited], ids=lambda each: each.name)


@pytest.fixture
def directory(tmp_path: Path, control_template: Path) -> Path:
    ControlStore.copy_of(control_template, tmp_path / "control.sqlite")
    return tmp_path


@pytest.fixture
def place(directory: Path) -> Iterator[Place]:
    opened = Place.open(directory)
    yield opened
    opened.close()


@pytest.fixture
def impatient(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Provide a place whose connections to the account database wait ten milliseconds for a lock, not ten seconds."""
    monkeypatch.setattr("vectrograph.control.database.connection.BUSY_SECONDS", 0.01)
    opened = Place.open(directory)
    yield opened
    opened.close()


@EVERY_ACTION
def test_nothing_fails(place: Place, action: Action) -> None:
    made = action.prepare(place)
    before = place.entries(action.audited)
    assert outcome(place, action, made) == "ok"
    require_agreement(place, action, made, "ok", before)


@EVERY_ACTION
def test_the_account_database_is_busy(impatient: Place, action: Action) -> None:
    """Another process holds its write lock: what changes accounts is refused, everything else is done and recorded."""
    place = impatient
    made = action.prepare(place)
    before = place.entries(action.audited)
    other = sqlite3.connect(place.directory / "control.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = outcome(place, action, made)
    other.execute("ROLLBACK")
    other.close()
    changes_points = action.name.startswith(("point.", "token.", "collection.delete", "key.sdk_token"))
    assert answer == ("ok" if changes_points else Unavailable.code)
    require_agreement(place, action, made, answer, before)


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Take every file descriptor of the process but so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
    try:
        for descriptor in taken[:count]:
            os.close(descriptor)
        del taken[:count]
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
@pytest.mark.parametrize("connected", [True, False])
def test_the_account_database_cannot_be_opened(place: Place, connected: bool) -> None:
    """FINDINGS B4, the second round: without a descriptor it is refused as something to repeat, and works later."""
    acts: dict[str, Callable[[], object]] = {
        "login": lambda: place.services.sessions.login("developer", "developer123"),
        "list": lambda: place.services.users.list(ADMIN),
        "key": lambda: place.services.keys.create(DEVELOPER, "k", None, None),
        "record": lambda: place.store.audit.list(None),
    }
    for act in acts.values():
        act()
    refused = set()
    for name, act in acts.items():
        for free in range(4):
            place.store.audit.move()
            if not connected:
                place.store._database._engine.dispose()
            with descriptors_left(free):
                try:
                    act()
                except DomainError as error:
                    assert error.retryable, (name, free, error)
                    refused.add(name)
            act()
    assert connected or refused == set(acts)


def test_eight_processes_write_the_record_of_one_directory(directory: Path) -> None:
    """FINDINGS B7, the second round: the ninth is told, and takes the place of one that ends."""
    url = sqlite_url(directory / "control.sqlite")
    with ExitStack() as stack:
        stores = [ControlStore.open(url, directory, operator=n > 0) for n in range(9)]
        for store in stores:
            stack.callback(store.close)
        for store in stores[:8]:
            store.audit.end(store.audit.begin(action="test", target="", tenant="default"), "ok")
        with pytest.raises(Unavailable, match="8 processes write this audit log already; stop one of them"):
            stores[8].audit.begin(action="test", target="", tenant="default")
        assert len(list(directory.glob("audit*.journal"))) == 8
        assert sum(path.stat().st_size for path in directory.glob("audit*.journal")) == 8 << 20
        stores[3].audit.close()
        stores[8].audit.end(stores[8].audit.begin(action="test", target="", tenant="default"), "ok")
        assert len([entry for entry in stores[8].audit.list(None) if entry.action == "test"]) >= 1


@AUDITED
def test_the_journal_is_full(directory: Path, action: Action, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that cannot be recorded is refused before it begins. The journal is a small one; a whole one is filled
    in `test_a_reused_refresh_token_ends_its_session_whatever_the_record_takes`.
    """
    for module in ("audit", "audit_journal"):
        monkeypatch.setattr(f"vectrograph.control.{module}.SLOTS", FEW_SLOTS)
    place = Place.open(directory)
    made = action.prepare(place)
    place.store.audit.move()
    monkeypatch.setattr("vectrograph.control.audit._SLOT_WAIT_SECONDS", 0.01)
    under_way = [place.store.audit.begin(action="test", target=str(n), tenant="default") for n in range(FEW_SLOTS)]
    assert outcome(place, action, made) == Unavailable.code
    assert action.done is None or not action.done(place, made)
    assert [user.username for user in place.services.users.list(ADMIN)], "reading goes on"
    for intent in under_way:
        place.store.audit.end(intent, "ok")
    place.store.audit.move()
    assert len(place.entries("test")) == FEW_SLOTS
    assert outcome(place, action, made) == "ok"
    place.close()


def test_a_reused_refresh_token_ends_its_session_whatever_the_record_takes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = place.services.sessions.login("developer", "developer123")
    place.services.sessions.refresh(pair.refresh_token)
    place.store.audit.move()
    monkeypatch.setattr("vectrograph.control.audit._SLOT_WAIT_SECONDS", 0.01)
    for n in range(SLOTS):
        place.store.audit.begin(action="test", target=str(n), tenant="default")
    with pytest.raises(InvalidToken, match="used before"):
        place.services.sessions.refresh(pair.refresh_token)
    with pytest.raises(InvalidToken):
        place.services.sessions.authenticate(pair.access_token)


def _killed(directory: Path, action: Action, spot: str) -> None:
    """Do the action in a child process that is killed at a spot."""
    child = os.fork()
    if child == 0:  # pragma: no cover  (in another process)
        try:
            place = Place.open(directory)
            made = action.prepare(place)
            place.store.audit.move()
            _kill_at(spot)
            action.act(place, made)
            place.store.audit.move()
        finally:
            os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the child was to be killed, and ended with {os.waitstatus_to_exitcode(status)}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def _kill_at(spot: str) -> None:
    begin, end, free = AuditJournal.begin, AuditJournal.end, AuditJournal.free

    def after_begin(self: AuditJournal, *arguments: Any) -> None:
        begin(self, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    def before_end(self: AuditJournal, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def after_end(self: AuditJournal, *arguments: Any) -> None:
        end(self, *arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    def before_free(self: AuditJournal, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    name, function = {
        "intent written": ("begin", after_begin),
        "done": ("end", before_end),
        "outcome written": ("end", after_end),
        "in the database": ("free", before_free),
    }[spot]
    del free
    setattr(AuditJournal, name, function)


@pytest.mark.parametrize("spot", ["intent written", "done", "outcome written"])
@AUDITED
def test_killed(directory: Path, action: Action, spot: str) -> None:
    """Nobody was answered: the record says so, or what was done, and the state is whole."""
    _killed(directory, action, spot)
    place = Place.open(directory)
    try:
        made = _made_again(place, action)
        if action.done is not None and made is not _UNKNOWN:
            assert action.done(place, made) is (spot != "intent written")
        _, code = place.entries(action.audited)[-1]
        assert code == ("ok" if spot == "outcome written" else INTERRUPTED)
    finally:
        place.close()
    if spot == "done" and action.name == "token.delete":
        again = Place.open(directory)
        assert [code for _, code in again.entries(action.audited)] == [INTERRUPTED], "moved once"
        again.close()


_UNKNOWN = object()


def _made_again(place: Place, action: Action) -> Any:
    """Return the result of `prepare` in the process that is gone, as far as the state tells."""
    if action.prepare is user or action.name in ("user.enable", "user.role"):
        found = place.store.accounts.find("zoe")
        return None if found is None else found.user_id
    if action.prepare in (docs, tokens) or action.prepare.__name__ == "nothing":
        return None
    return _UNKNOWN


def test_killed_between_the_database_and_the_journal_nothing_is_there_twice(directory: Path) -> None:
    action = next(each for each in ACTIONS if each.name == "token.delete")
    _killed(directory, action, "in the database")
    place = Place.open(directory)
    assert place.entries("point.delete") == [("tokens/3", "ok")]
    assert place.store.audit._finished == []
    place.close()


@pytest.mark.parametrize("spot", ["claimed", "made"])
def test_killed_while_making_a_collection(directory: Path, spot: str) -> None:
    """A collection has its owner or is not there, also when its maker is killed between the two."""
    child = os.fork()
    if child == 0:  # pragma: no cover  (in another process)
        try:
            place = Place.open(directory)
            make = EmbeddedEngine.create

            def killed(self: EmbeddedEngine, *arguments: Any) -> Any:
                if spot == "made":
                    make(self, *arguments)
                os.kill(os.getpid(), signal.SIGKILL)

            EmbeddedEngine.create = killed  # type: ignore[assignment, method-assign]
            place.services.catalog.create(DEVELOPER, "new", 2, "cosine")
        finally:
            os._exit(7)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    place = Place.open(directory)
    there = [info.spec.ref.name for info in place.engine.list("default")]
    assert ("new" in there) is (spot == "made")
    assert place.store.owners.get("default", "new") == ("developer" if spot == "made" else None)
    place.close()


def test_a_dropped_collection_leaves_neither_owner_nor_feedback_to_the_next_of_its_name(
    impatient: Place,
) -> None:
    """Also where the account database was busy while it was dropped."""
    place = impatient
    feedback = next(each for each in ACTIONS if each.name == "feedback")
    feedback.prepare(place)
    feedback.act(place, None)
    other = sqlite3.connect(place.directory / "control.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    place.services.catalog.drop(DEVELOPER, "docs")
    other.execute("ROLLBACK")
    other.close()
    assert place.store.owners.get("default", "docs") == "developer"
    place.services.catalog.create(ADMIN, "docs", 2, "cosine")
    assert place.store.owners.get("default", "docs") == "admin"
    assert place.store.feedback.list("default", "docs") == []


def test_a_name_that_is_taken_keeps_its_owner(place: Place) -> None:
    docs(place)
    with pytest.raises(DomainError):
        place.services.catalog.create(ADMIN, "docs", 2, "cosine")
    assert place.store.owners.get("default", "docs") == "developer"


def test_entries_of_another_process_that_died_are_moved_and_a_living_ones_are_left(directory: Path) -> None:
    server = Place.open(directory)
    intent = server.store.audit.begin(action="living", target="", tenant="default")
    other = AuditJournal(directory / "audit-2.journal")
    other.begin(0, intent.entry)
    other.close()
    command = ControlStore.open(server.store._database.url, directory, operator=True)
    assert [entry.outcome for entry in command.audit.list(None) if entry.action == "living"] == [INTERRUPTED]
    command.close()
    server.store.audit.end(intent, "ok")
    assert server.entries("living") == [("", INTERRUPTED), ("", "ok")]
    server.close()


def test_a_torn_intent_is_no_entry(directory: Path) -> None:
    place = Place.open(directory)
    place.store.audit.begin(action="torn", target="x", tenant="default")
    place.store.audit._journal.close()  # type: ignore[union-attr]
    journal = directory / "audit.journal"
    content = bytearray(journal.read_bytes())
    offset = content.index(b"torn")
    content[offset] ^= 1
    journal.write_bytes(content)
    place.store.audit._journal = None
    place.engine.close()
    again = Place.open(directory)
    assert again.entries("torn") == again.entries("uorn") == []
    again.close()


@pytest.mark.parametrize("text", ["\U0001f600" * 600, "\0" * 600, "\ud800" * 600, "x" * 5000, ""])
def test_any_target_fits(place: Place, text: str) -> None:
    intent = place.store.audit.begin(
        action="a" * 32, target=text, tenant="t" * 64, actor=text, address=text, request_id=text
    )
    place.store.audit.end(intent, "ok", text)
    assert len(place.entries("a" * 32)) == 1


def test_rotating_a_key_is_whole_or_not_at_all(place: Place) -> None:
    key_id, _ = key(place)
    place.services.keys.rotate(DEVELOPER, key_id, overlap_seconds=60)
    assert len([record for record in place.store.api_keys.list("developer") if record.is_active]) == 2
