"""FINDINGS B3: what begins, keeps and ends development mode, in every state that default accounts can be in."""

import sqlite3
from pathlib import Path

import pytest

from vectrograph.control.accounts import NewUser
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import OutOfSpace, PermissionDenied
from vectrograph.services.accounts.development import PROXY_HEADERS, Development, sign_of_others

EARLIER = """
    DROP INDEX ix_feedback_sessions_user_id_size; ALTER TABLE feedback_sessions DROP COLUMN size;
    DROP TABLE cdna_states; DROP TABLE cdna_history; DROP TABLE grid_members; DROP TABLE grid_numbers; DROP TABLE grids;
    DROP TABLE development; UPDATE alembic_version SET version_num = '0003'
"""
CHANGES = {
    "nothing": ("SELECT 1", ["admin", "developer", "viewer"], True),
    "one deleted": ("DELETE FROM users WHERE user_id = 'developer'", ["admin", "viewer"], True),
    "one left": ("DELETE FROM users WHERE user_id != 'admin'", ["admin"], True),
    "one renamed": ("UPDATE users SET username = 'd', email = NULL WHERE user_id = 'developer'", None, True),
    "one disabled": ("UPDATE users SET disabled = 1 WHERE user_id = 'viewer'", None, True),
    "a viewer's password": ("UPDATE users SET password_is_default = 0 WHERE user_id = 'viewer'", None, True),
    "the administrator's password": ("UPDATE users SET password_is_default = 0 WHERE user_id = 'admin'", None, False),
    "a real account": ("UPDATE users SET user_id = 'user-1', username = 'ada' WHERE user_id = 'viewer'", None, False),
    "no published password": ("UPDATE users SET password_is_default = 0", None, False),
}


def usernames(store: ControlStore) -> list[str]:
    return [user.username for user in store.accounts.list()]


@pytest.mark.parametrize("name", CHANGES)
def test_no_start_brings_back_what_became_of_default_accounts(name: str, control_url: str, tmp_path: Path) -> None:
    change, left, is_on_in_earlier = CHANGES[name]
    for earlier in (False, True):
        with sqlite3.connect(tmp_path / "control.sqlite") as connection:
            connection.executescript(f"{change}; {EARLIER if earlier else ''}")
            expected = left or [row[0] for row in connection.execute("SELECT username FROM users ORDER BY username")]
        for _ in range(2):
            store = ControlStore.open(control_url)
            development = Development.start(store, None)
            assert usernames(store) == expected
            if earlier:
                assert development.is_on() is is_on_in_earlier
                assert bool(development.usable_passwords()) is is_on_in_earlier
            store.close()


def test_an_empty_directory_begins_the_mode_and_one_that_others_reach_never_does(tmp_path: Path) -> None:
    store = ControlStore.open(f"sqlite:///{tmp_path / 'a.sqlite'}")
    assert Development.start(store, None).is_on()
    assert usernames(store) == ["admin", "developer", "viewer"]
    assert not Development.start(store, "a proxy is set").is_on()
    again = Development.start(store, None)
    assert (again.is_on(), again.reason(), again.usable_passwords()) == (False, "a proxy is set", [])
    store.close()
    store = ControlStore.open(f"sqlite:///{tmp_path / 'b.sqlite'}")
    for elsewhere in ("a proxy is set", None):
        assert not Development.start(store, elsewhere).is_on()
        assert usernames(store) == []
    store.close()


def account(name: str, *, itself: bool = False) -> NewUser:
    return NewUser(
        user_id=name,
        username=name,
        role=Role.DEVELOPER,
        encoded_password="hash",
        registered_in_development=itself,
    )


def test_a_real_account_ends_the_mode_in_its_own_transaction(control_url: str) -> None:
    store = ControlStore.open(control_url)
    development = Development.start(store, None)
    store.accounts.create(account("ada", itself=True))
    store.accounts.set_role("ada", Role.VIEWER)
    store.accounts.set_password("viewer", "another hash")
    assert development.is_on()
    # Another process, such as the command line, makes the account: the server finds out when it matters.
    other = ControlStore.open(control_url)
    other.accounts.create(account("bob"))
    other.close()
    assert not development.is_on()
    assert not development.is_watching
    assert "bob" in development.reason()
    with pytest.raises(PermissionDenied):
        store.accounts.create(account("eve", itself=True))
    assert store.accounts.find("eve") is None
    store.close()


@pytest.mark.parametrize("way", ["set_password", "change_password", "set_role"])
def test_an_administrator_with_a_password_of_its_own_ends_the_mode(way: str, control_url: str) -> None:
    store = ControlStore.open(control_url)
    development = Development.start(store, None)
    if way == "set_password":
        store.accounts.set_password("admin", "another hash")
    elif way == "change_password":
        store.accounts.change_password("admin", store.accounts.password_of("admin").encoded, "another hash")
    else:
        store.accounts.create(account("ada", itself=True))
        store.accounts.set_role("ada", Role.ADMIN)
    assert not development.is_on()
    store.close()


def test_an_end_that_cannot_be_stored_holds_and_is_stored_later(
    control_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ControlStore.open(control_url)
    development = Development.start(store, None)

    def full(reason: str) -> None:
        raise OutOfSpace("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(store.development, "end", full)
        development.look("127.0.0.1", ["via"])
    assert not development.is_on()
    development.close()
    store.close()
    store = ControlStore.open(control_url)
    assert not Development.start(store, None).is_on()
    store.close()


@pytest.mark.parametrize("name", sorted(PROXY_HEADERS | {"x-forwarded-for", "x-forwarded-proto", "x-forwarded"}))
def test_headers_of_proxies_are_signs(name: str) -> None:
    assert name in (sign_of_others("127.0.0.1", ["host", "accept", name]) or "")


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::1", "fe80::1%eth0"])
def test_other_addresses_are_signs_and_those_of_this_machine_are_not(address: str) -> None:
    assert address in (sign_of_others(address, []) or "")
    for local in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", ""):
        assert sign_of_others(local, ["host", "accept", "user-agent", "authorization"]) is None
