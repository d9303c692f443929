import threading
import time

import pytest
from argon2 import extract_parameters

from vectrograph.control import passwords as module
from vectrograph.control.passwords import Passwords
from vectrograph.control.seeding import DEFAULT_PASSWORDS, default_password_in_force, seed_development_accounts
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import Unavailable

CHEAP = {"time_cost": 1, "memory_kib": 8}


def test_hashes_are_argon2id_with_the_recommended_cost_and_a_fresh_salt() -> None:
    passwords = Passwords()
    one, two = passwords.encode("secret password"), passwords.encode("secret password")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != two
    assert passwords.matches(one, "secret password")
    assert not passwords.matches(one, "secret passwore")
    assert not passwords.matches(None, "secret password")
    assert not passwords.matches("no hash", "secret password")
    assert not passwords.matches(one, "half a pair \ud800")


def test_an_unknown_account_costs_what_a_wrong_password_costs() -> None:
    passwords = Passwords()
    known = passwords.encode("secret password")
    nobody = extract_parameters(passwords._nobody)
    assert nobody == extract_parameters(known)

    def least(encoded: str | None) -> float:
        return min(_seconds(passwords, encoded) for _ in range(5))

    assert least(None) > least(known) / 2


def _seconds(passwords: Passwords, encoded: str | None) -> float:
    started = time.thread_time()  # of this thread, so that other work on the machine does not count
    assert not passwords.matches(encoded, "a wrong password")
    return time.thread_time() - started


def test_other_parameters_make_a_hash_outdated() -> None:
    old, new = Passwords(**CHEAP), Passwords()
    encoded = old.encode("secret password")
    assert new.matches(encoded, "secret password")
    assert new.is_outdated(encoded)
    assert not old.is_outdated(encoded)


def test_at_most_two_hashes_run_at_once_and_the_queue_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(**CHEAP)
    running, release = threading.Semaphore(0), threading.Event()

    class Slow:
        def hash(self, password: str) -> str:
            running.release()
            assert release.wait(20)
            return password

    passwords._hasher = Slow()  # type: ignore[assignment]
    threads = [threading.Thread(target=passwords.encode, args=("p",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert running.acquire(timeout=20)
    monkeypatch.setattr(module, "_QUEUE_SECONDS", 0.05)
    with pytest.raises(Unavailable) as caught:
        passwords.encode("p")
    assert caught.value.retry_after
    assert not running.acquire(blocking=False)
    release.set()
    for thread in threads:
        thread.join()
    assert passwords.encode("p") == "p"


def test_development_accounts_have_their_published_passwords(store: ControlStore) -> None:
    seed_development_accounts(store)
    passwords = Passwords()
    for username, email, role in (
        ("admin", "admin@neurograph.dev", Role.ADMIN),
        ("developer", "dev@neurograph.dev", Role.DEVELOPER),
        ("viewer", "viewer@neurograph.dev", Role.VIEWER),
    ):
        stored = store.accounts.password(username)
        assert stored is not None
        assert (stored.user.user_id, stored.user.email, stored.user.role) == (username, email, role)
        assert passwords.matches(stored.encoded, f"{username}123")
        assert f"{username}123" in DEFAULT_PASSWORDS
    assert default_password_in_force(store) == ["admin", "developer", "viewer"]


def test_seeding_again_brings_no_default_password_back(store: ControlStore) -> None:
    seed_development_accounts(store)
    stored = store.accounts.password_of("admin")
    store.accounts.change_password("admin", stored.encoded, "another hash")
    seed_development_accounts(store)
    assert default_password_in_force(store) == ["developer", "viewer"]
    assert store.accounts.password_of("admin").encoded == "another hash"


def test_a_better_hash_of_a_default_password_is_still_a_default_password(store: ControlStore) -> None:
    seed_development_accounts(store)
    stored = store.accounts.password_of("admin")
    store.accounts.rehash_password("admin", stored.encoded, "better hash")
    assert "admin" in default_password_in_force(store)
