import threading
from pathlib import Path

import pytest
from control.hand_clock import HandClock

from vectrograph.control.accounts import NewUser
from vectrograph.control.sessions import Rotation
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.errors import AlreadyExists, ApiKeyNotFound, InvalidCredentials, UserNotFound

WEEK = 7 * 24 * 3600 * 1_000_000


@pytest.fixture
def store(store_on_either: ControlStore) -> ControlStore:
    return store_on_either


def test_an_account_is_kept_with_its_role_and_lower_cased_email(store: ControlStore, ada: str) -> None:
    record = store.accounts.get(ada)
    assert (record.username, record.email, record.role) == ("ada", "ada@x.org", Role.DEVELOPER)
    assert record.scopes == ROLE_SCOPES[Role.DEVELOPER]
    assert record.created_at == 1_700_000_000_000_000


@pytest.mark.parametrize(("username", "email"), [("ada", None), ("other", "ADA@x.org")])
def test_username_and_email_are_unique(store: ControlStore, ada: str, username: str, email: str | None) -> None:
    with pytest.raises(AlreadyExists):
        store.accounts.create(
            NewUser(user_id="u2", username=username, email=email, role=Role.VIEWER, encoded_password="h")
        )


def test_missing_accounts_are_named(store: ControlStore) -> None:
    with pytest.raises(UserNotFound, match="ghost"):
        store.accounts.get("ghost")
    assert store.accounts.password("ghost") is None
    assert not store.has_users()


def test_changing_a_password_ends_every_session_of_that_account_only(store: ControlStore, ada: str) -> None:
    store.accounts.create(NewUser(user_id="u2", username="bob", role=Role.VIEWER, encoded_password="b"))
    mine = store.sessions.start(store.accounts.password_of(ada), WEEK)
    other = store.sessions.start(store.accounts.password_of("u2"), WEEK)
    store.accounts.change_password(ada, "hash-1", "hash-2")
    assert store.sessions.find(mine.session_id) is None
    assert store.sessions.find(other.session_id) is not None


def test_a_password_changed_meanwhile_is_not_overwritten(store: ControlStore, ada: str) -> None:
    store.accounts.change_password(ada, "hash-1", "hash-2")
    with pytest.raises(InvalidCredentials):
        store.accounts.change_password(ada, "hash-1", "hash-3")
    store.accounts.rehash_password(ada, "hash-1", "hash-4")
    assert store.accounts.password_of(ada).encoded == "hash-2"


def test_no_session_starts_from_a_password_that_was_changed_after_its_check(store: ControlStore, ada: str) -> None:
    checked = store.accounts.password_of(ada)
    store.accounts.change_password(ada, "hash-1", "hash-2")
    with pytest.raises(InvalidCredentials):
        store.sessions.start(checked, WEEK)


def test_of_many_refreshes_with_one_token_exactly_one_wins_and_the_others_are_reuse(
    store: ControlStore, ada: str
) -> None:
    session = store.sessions.start(store.accounts.password_of(ada), WEEK)
    gate = threading.Barrier(8)
    results: list[Rotation] = []

    def refresh() -> None:
        gate.wait(20)
        results.append(store.sessions.rotate(session.session_id, session.refresh_id, WEEK)[0])

    threads = [threading.Thread(target=refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(Rotation.ROTATED) == 1
    assert results.count(Rotation.REUSED) == 7


def test_expired_sessions_are_over_and_swept_at_the_next_login(
    store: ControlStore, ada: str, database_file: Path, clock: HandClock
) -> None:
    stored = store.accounts.password_of(ada)
    old = store.sessions.start(stored, 1)
    clock.advance(1)
    assert store.sessions.find(old.session_id) is None
    assert store.sessions.rotate(old.session_id, old.refresh_id, WEEK) == (Rotation.ENDED, None)
    store.sessions.start(stored, WEEK)
    with store._database.read() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 1


def test_deleting_an_account_takes_its_keys_along(store: ControlStore, ada: str) -> None:
    key = store.api_keys.create(ada, "ci", [], None)
    with store._database.connection() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    with pytest.raises(ApiKeyNotFound):
        store.api_keys.get(key.record.key_id, None)


def test_the_epoch_rises_with_what_may_end_credentials_and_only_then(store: ControlStore, ada: str) -> None:
    def rises(act: object) -> bool:
        before = store.epoch()
        assert callable(act)
        act()
        return store.epoch() != before

    session = store.sessions.start(store.accounts.password_of(ada), WEEK)
    key = store.api_keys.create(ada, "ci", [], None).record
    assert not rises(lambda: store.accounts.set_plan(ada, "PAID"))
    assert not rises(lambda: store.api_keys.record_use({key.key_id: 1}))
    assert rises(lambda: store.api_keys.revoke(key.key_id, ada))
    assert rises(lambda: store.api_keys.delete(key.key_id, ada))
    assert rises(lambda: store.sessions.end(session.session_id))
    assert rises(lambda: store.accounts.set_disabled(ada, True))
    assert rises(lambda: store.accounts.change_password(ada, "hash-1", "hash-2"))


def test_the_epoch_rises_with_the_first_real_account(store: ControlStore) -> None:
    """It ends development mode, and with it what callers without credentials may do."""
    epochs = [store.epoch()]
    for name, is_published in (("viewer", True), ("ada", False), ("bob", False)):
        new = NewUser(
            user_id=name, username=name, role=Role.VIEWER, encoded_password="h", password_is_default=is_published
        )
        store.accounts.create(new)
        epochs.append(store.epoch())
    begin, published, first, second = epochs
    assert begin == published != first == second


def test_a_shared_database_tells_every_process_of_a_revocation(database_file: Path) -> None:
    here, there = (ControlStore.open(f"sqlite:///{database_file}", shared=True) for _ in range(2))
    here.accounts.create(NewUser(user_id="u1", username="ada", role=Role.VIEWER, encoded_password="h"))
    key = here.api_keys.create("u1", "ci", [], None).record
    before = there.epoch()
    here.api_keys.revoke(key.key_id, "u1")
    assert there.epoch() != before
    here.close()
    there.close()


def test_writers_in_two_processes_wait_for_each_other(database_file: Path) -> None:
    stores = [ControlStore.open(f"sqlite:///{database_file}", shared=True) for _ in range(2)]
    stores[0].accounts.create(NewUser(user_id="u1", username="ada", role=Role.VIEWER, encoded_password="h"))
    failures: list[Exception] = []
    gate = threading.Barrier(2)

    def refresh(store: ControlStore) -> None:
        try:
            session = store.sessions.start(store.accounts.password_of("u1"), WEEK)
            gate.wait(20)
            for _ in range(25):
                rotation, renewed = store.sessions.rotate(session.session_id, session.refresh_id, WEEK)
                assert rotation is Rotation.ROTATED
                assert renewed is not None
                session = renewed
        except Exception as error:  # noqa: BLE001  (reported by the test's own thread)
            failures.append(error)

    threads = [threading.Thread(target=refresh, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failures == []


def test_records_show_no_secret(store: ControlStore, ada: str) -> None:
    stored = store.accounts.password_of(ada)
    created = store.api_keys.create(ada, "ci", [], None)
    found = store.api_keys.find(created.secret)
    assert found is not None
    shown = f"{stored!r} {stored} {created!r} {created} {found!r} {found} {store!r}"
    assert "hash-1" not in shown
    assert created.secret not in shown
    assert found.digest not in shown


def test_new_accounts_hide_their_hash() -> None:
    assert "h4sh" not in repr(NewUser(user_id="u", username="u", role=Role.BOT, encoded_password="h4sh"))
