import hashlib
import threading
import time
from collections.abc import Callable

import pytest
from engines.waiting import wait_until
from services.house import House

from vectrograph.control.api_keys import ApiKeys
from vectrograph.control.store import ControlStore
from vectrograph.domain.errors import InvalidApiKey, Unauthenticated, Unavailable
from vectrograph.services.accounts import credentials
from vectrograph.services.accounts.key_usage import FLUSH_EVERY, KeyUsage
from vectrograph.services.call import Call


def test_a_known_credential_asks_the_database_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    call = house.login()
    key = house.services.keys.create(call, "k", None, None)
    token = house.services.sessions.login("developer", "developer123").access_token
    for credential in (key.secret, token):
        house.services.sessions.authenticate(credential)

    def refuse(*_: object) -> None:
        raise AssertionError("asked the database")

    monkeypatch.setattr(house.store.api_keys, "find", refuse)
    monkeypatch.setattr(house.store.sessions, "find", refuse)
    for credential in (key.secret, token):
        assert house.services.sessions.authenticate(credential).user_id == "developer"


def test_refusals_are_not_remembered(house: House) -> None:
    call = house.login()
    key = house.services.keys.create(call, "k", None, None)
    unknown = key.secret[:-1] + ("A" if key.secret[-1] != "A" else "B")
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            house.services.sessions.authenticate(unknown)
    assert house.services.sessions.authenticate(key.secret).key_id == key.record.key_id


def end_by_revoking(house: House, call: Call, key_id: str) -> None:
    house.services.keys.revoke(call, key_id)


def end_by_deleting(house: House, call: Call, key_id: str) -> None:
    house.services.keys.delete(call, key_id)


def end_by_disabling(house: House, call: Call, _: str) -> None:
    house.store.accounts.set_disabled(call.principal.user_id, True)


@pytest.mark.parametrize("end", [end_by_revoking, end_by_deleting, end_by_disabling])
def test_revocation_is_effective_at_once_under_load(house: House, end: Callable[[House, Call, str], None]) -> None:
    call = house.login()
    key = house.services.keys.create(call, "k", None, None)
    acknowledged, stop = threading.Event(), threading.Event()
    accepted_after: list[float] = []
    served = [0] * 4
    refused = [0] * 4

    def work(number: int) -> None:
        while not stop.is_set():
            after = acknowledged.is_set()
            try:
                house.services.sessions.authenticate(key.secret)
            except InvalidApiKey:
                refused[number] += after
                continue
            served[number] += 1
            if after:
                accepted_after.append(time.monotonic())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(served) > 2)
        end(house, call, key.record.key_id)
        acknowledged.set()
        wait_until(lambda: bool(accepted_after) or min(refused) > 2)
    finally:
        stop.set()
    for thread in threads:
        thread.join()
    assert accepted_after == []
    assert min(served) > 2
    assert min(refused) > 2


def test_a_check_that_overlaps_a_revocation_is_not_remembered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    call = house.login()
    key = house.services.keys.create(call, "k", None, None)
    find = house.store.api_keys.find

    def find_then_revoke(secret: str) -> object:
        found = find(secret)
        monkeypatch.undo()
        house.services.keys.revoke(call, key.record.key_id)
        return found

    monkeypatch.setattr(house.store.api_keys, "find", find_then_revoke)
    house.services.sessions.authenticate(key.secret)
    with pytest.raises(InvalidApiKey):
        house.services.sessions.authenticate(key.secret)


def test_an_account_with_fewer_rights_takes_them_from_its_keys(house: House) -> None:
    created = house.store.api_keys.create("viewer", "k", ["tokens:read", "tokens:delete"], None)
    assert house.services.sessions.authenticate(created.secret).scopes == {"tokens:read"}


def test_memory_of_credentials_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_REMEMBERED", 3)
    call = house.login()
    secrets = [house.services.keys.create(call, f"k{i}", None, None).secret for i in range(6)]
    for secret in secrets * 2:
        house.services.sessions.authenticate(secret)
    assert len(house.services.sessions._credentials._remembered) == 3
    assert not any(secret in repr(house.services.sessions._credentials._remembered) for secret in secrets)


def test_an_account_with_many_tokens_forgets_its_own_and_none_of_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FINDINGS B8: a sibling of the lockout's table."""
    monkeypatch.setattr(credentials, "MAX_REMEMBERED_OF_ACCOUNT", 3)
    kept = house.services.keys.create(house.login("admin"), "k", None, None).secret
    house.services.sessions.authenticate(kept)
    for _ in range(9):
        house.login()
    memory = house.services.sessions._credentials
    remembered = [entry.principal.user_id for entry in memory._remembered.values()]
    assert remembered.count("developer") == 3
    assert hashlib.sha256(kept.encode()).digest() in memory._remembered
    assert sum(map(len, memory._of_account.values())) == len(memory._remembered)


def test_a_revocation_in_another_process_is_seen_in_a_shared_database(house: House) -> None:
    url = f"sqlite:///{house.directory / 'control.sqlite'}"
    here = ControlStore.open(url, shared=True, clock=house.clock)
    key = here.api_keys.create("developer", "k", ["tokens:read"], None)
    usage = KeyUsage(here.api_keys, house.clock)
    checker = credentials.Credentials(here, house.services.sessions._signer, usage, house.clock)
    assert checker.authenticate(key.secret).user_id == "developer"
    there = ControlStore.open(url, shared=True)
    there.api_keys.revoke(key.record.key_id, "developer")
    with pytest.raises(InvalidApiKey):
        checker.authenticate(key.secret)
    here.close()
    there.close()


@pytest.mark.parametrize("credential", ["ng_", "ng_live_", "ng_live_" + "x" * 43, "vkey-" + "0" * 36, "ng_\ud800"])
def test_unknown_keys_are_refused_without_being_repeated(house: House, credential: str) -> None:
    with pytest.raises(InvalidApiKey) as caught:
        house.services.sessions.authenticate(credential)
    assert len(credential) < 16 or credential not in caught.value.message


def test_every_refusal_is_an_authentication_error(house: House) -> None:
    for credential in ("", "x", "ng_x", "a.b.c"):
        with pytest.raises(Unauthenticated):
            house.services.sessions.authenticate(credential)


# ---------------------------------------------------------------- last use


class CountingKeys(ApiKeys):
    """Counts writes of last uses, and fails on request."""

    def __init__(self, keys: ApiKeys) -> None:
        super().__init__(keys._database, keys._clock, keys._quotas)
        self.writes: list[dict[str, int]] = []
        self.broken = False

    def record_use(self, last_used):  # type: ignore[no-untyped-def]
        if self.broken:
            raise Unavailable("no disk")
        self.writes.append(dict(last_used))
        super().record_use(last_used)


def test_last_use_is_known_at_once_and_written_once_a_minute(house: House) -> None:
    keys = CountingKeys(house.store.api_keys)
    usage = KeyUsage(keys, house.clock)
    ids = [house.store.api_keys.create("developer", "k", [], None).record.key_id for _ in range(2)]
    for _ in range(100):
        usage.touch(ids[0])
    assert usage.latest() == {ids[0]: house.clock()}
    assert keys.writes == []
    house.clock.advance(FLUSH_EVERY / 1_000_000)
    usage.touch(ids[1])
    assert len(keys.writes) == 1
    assert keys.writes[0].keys() == set(ids)
    usage.touch(ids[0])
    assert len(keys.writes) == 1
    usage.flush()
    usage.flush()
    assert len(keys.writes) == 2
    assert house.store.api_keys.get(ids[0], None).last_used_at == house.clock()


def test_a_failed_write_of_last_uses_is_logged_kept_and_no_ones_problem(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    keys = CountingKeys(house.store.api_keys)
    usage = KeyUsage(keys, house.clock)
    key_id = house.store.api_keys.create("developer", "k", [], None).record.key_id
    keys.broken = True
    house.clock.advance(61)
    usage.touch(key_id)
    assert "no disk" in caplog.text
    keys.broken = False
    usage.flush()
    assert keys.writes == [{key_id: house.clock()}]


def test_last_use_is_listed_and_survives_a_clean_stop(house: House) -> None:
    call = house.login()
    key = house.services.keys.create(call, "k", None, None)
    key_id = key.record.key_id
    assert house.services.keys.get(call, key_id).last_used_at is None
    house.clock.advance(5)
    house.services.sessions.authenticate(key.secret)
    used_at = house.clock()
    assert house.services.keys.get(call, key_id).last_used_at == used_at
    assert [record.last_used_at for record in house.services.keys.list(call)] == [used_at]
    assert house.store.api_keys.get(key_id, None).last_used_at is None
    house.services.close()
    assert house.store.api_keys.get(key_id, None).last_used_at == used_at
