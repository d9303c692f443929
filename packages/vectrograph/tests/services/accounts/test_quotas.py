"""FINDINGS B7: everything that callers can make the account database keep has a limit and a clear refusal."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from control.hand_clock import HandClock
from services.house import House, build, call_as
from sqlalchemy import URL

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.access import Role
from vectrograph.domain.errors import CollectionNotFound, InvalidToken, PermissionDenied, QuotaExceeded, RateLimited
from vectrograph.domain.quotas import Quotas
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services.access_log import AccessLines
from vectrograph.services.accounts.audit import HOUR, AuditQuota
from vectrograph.services.call import Call, Origin

QUOTAS = Quotas(
    max_accounts=5, max_api_keys=3, max_sessions=2, max_feedback_bytes=4_000, max_feedback_total_bytes=6_000
)
GOOD = "a phrase of our own"


@pytest.fixture
def house(tmp_path: Path, control_url: str | URL) -> Iterator[House]:
    made = build(tmp_path, HandClock(), ReferenceEngine(), control_url, QUOTAS)
    made.services.catalog.create(call_as(), "docs", 2, "dot")
    made.services.catalog.create(call_as(), "more", 2, "dot")
    yield made
    made.services.close()
    made.store.close()


def submit(house: House, user_id: str = "viewer", collection: str = "docs") -> str:
    call = call_as("collections:read", user_id=user_id)
    item = FeedbackItem(result_id="a", relevance_score=3, comment="x" * 100)
    return house.services.feedback.submit(call, collection, "q", [item], {})


def until_refused(house: House, user_id: str, collection: str = "docs") -> tuple[int, QuotaExceeded]:
    for count in range(100):
        try:
            submit(house, user_id, collection)
        except QuotaExceeded as refused:
            return count, refused
    raise AssertionError("nothing was refused")


def test_feedback_is_bounded_for_each_account_and_for_all_and_freed_with_its_collection(house: House) -> None:
    count, refused = until_refused(house, "viewer", "more")
    assert 1 < count < 10
    assert refused.details["limit"] == QUOTAS.max_feedback_bytes
    assert "max_feedback_bytes" in refused.message
    others, refused = until_refused(house, "developer")
    assert 0 < others < count
    assert refused.details["limit"] == QUOTAS.max_feedback_total_bytes
    stored = [record.user_id for name in ("docs", "more") for record in house.store.feedback.list("default", name)]
    assert len(stored) == count + others
    house.services.catalog.drop(call_as(), "more")
    assert submit(house, "developer")
    assert submit(house, "viewer")


def test_feedback_on_what_is_not_there_or_not_the_callers_is_refused(house: House) -> None:
    with pytest.raises(CollectionNotFound):
        submit(house, collection="gone")
    narrow = call_as("collections:read")
    narrow = narrow._replace(principal=replace(narrow.principal, collections=frozenset({"more"})))
    with pytest.raises(PermissionDenied):
        house.services.feedback.submit(narrow, "docs", "q", [FeedbackItem(result_id="a", relevance_score=3)], {})
    assert house.store.feedback.list("default", "docs") == house.store.feedback.list("default", "gone") == []


def test_keys_are_bounded_and_deleting_makes_room(house: House) -> None:
    keys, call = house.services.keys, house.login()
    made = [keys.create(call, f"k{n}", None, None) for n in range(3)]
    with pytest.raises(QuotaExceeded, match="max_api_keys is 3; delete or revoke some"):
        keys.create(call, "k", None, None)
    with pytest.raises(QuotaExceeded, match="max_api_keys is 3; delete or revoke some"):
        keys.rotate(call, made[1].record.key_id, overlap_seconds=60)
    assert keys.get(call, made[1].record.key_id).is_active
    keys.delete(call, made[0].record.key_id)
    keys.create(call, "k", None, None)
    keys.create(house.login("admin"), "another account's", None, None)


def test_keys_that_ended_first_are_forgotten_for_new_ones(house: House) -> None:
    """FINDINGS B7, the second round: who rotates a key every day was locked out when all of them had been counted."""
    keys, call = house.services.keys, house.login()
    expired = keys.create(call, "expires", None, 1).record.key_id
    first, second = (keys.create(call, name, None, None).record.key_id for name in ("first", "second"))
    other = keys.create(house.login("admin"), "another account's", None, None).record.key_id
    house.clock.advance(seconds=60)
    keys.revoke(call, second)
    house.clock.advance(seconds=60)
    keys.revoke(call, first)

    def kept() -> list[str]:
        return [key_id for key_id in (expired, first, second) if key_id in {key.key_id for key in keys.list(call)}]

    made = [keys.create(call, "k1", None, None)]
    assert kept() == [expired, first]
    made.append(keys.create(call, "k2", None, None))
    assert kept() == [expired]
    house.clock.advance(seconds=86_400)
    call = house.login()
    made.append(keys.create(call, "k3", None, None))
    assert kept() == []
    # All three work. Each can be replaced at once, as often as one likes, and none more can be made.
    rotated = made[0]
    for _ in range(4):
        rotated = keys.rotate(call, rotated.record.key_id)
    with pytest.raises(QuotaExceeded, match="has 3 valid API keys"):
        keys.create(call, "k", None, None)
    for key in (rotated, *made[1:]):
        house.as_bearer(key.secret)
    assert keys.get(house.login("admin"), other).is_active


def test_a_login_too_many_ends_the_oldest_at_once_and_none_of_others(house: House) -> None:
    other = house.services.sessions.login("viewer", "viewer123").access_token
    pairs = []
    for _ in range(3):
        pairs.append(house.services.sessions.login("developer", "developer123"))
        house.services.sessions.authenticate(pairs[-1].access_token)
        house.clock.advance(seconds=1)
    with pytest.raises(InvalidToken):
        house.services.sessions.authenticate(pairs[0].access_token)
    with pytest.raises(InvalidToken):
        house.services.sessions.refresh(pairs[0].refresh_token)
    for token in (pairs[1].access_token, pairs[2].access_token, other):
        house.services.sessions.authenticate(token)


def test_accounts_are_bounded_however_they_are_made(house: House) -> None:
    for name in ("ada", "bob"):
        house.services.registration.register(None, f"{name}@example.org", "Correct-horse-7")
    with pytest.raises(QuotaExceeded, match="max_accounts is 5"):
        house.services.registration.register(None, "eve@example.org", "Correct-horse-7")
    with pytest.raises(QuotaExceeded):
        house.services.users.create(
            call_as(role=Role.ADMIN, user_id="admin"), username="eve", password=GOOD, role="bot"
        )
    assert len(house.store.accounts.list()) == 5


def test_refusals_beyond_the_quota_leave_no_entry_and_those_of_others_do(house: House) -> None:
    house.services.development.end("the test says so")
    audit = house.services.audit
    audit._quota = AuditQuota(acts=10, refusals=3, all_refusals=5)

    def register(address: str) -> None:
        with pytest.raises(PermissionDenied):
            house.services.registration.register(None, "eve@example.org", "Correct-horse-7", Origin(address))

    for _ in range(50):
        register("203.0.113.9")
    register("198.51.100.7")
    entries = house.store.audit.list(None, limit=1_000)
    assert [entry.address for entry in entries].count("203.0.113.9") == 3
    assert [entry.address for entry in entries].count("198.51.100.7") == 1
    # The slots of the journal are free again: an act is recorded as before.
    boss = Call(call_as("users:admin").principal, "request")
    for _ in range(10):
        house.services.users.list(boss)
    with pytest.raises(RateLimited) as refused:
        house.services.users.list(boss)
    assert refused.value.retry_after is not None
    assert HOUR - 600 < refused.value.retry_after <= HOUR
    assert len(house.store.audit.list(None, limit=1_000)) == len(entries) + 10


def test_the_quota_of_the_record_is_of_an_hour_and_bounded_itself() -> None:
    now = [0.0]
    quota = AuditQuota(refusals=2, all_refusals=10**9, clock=lambda: now[0])
    assert [quota.keeps_refusal("eve") for _ in range(3)] == [True, True, False]
    for number in range(30_000):
        quota.keeps_refusal(f"invented{number}")
    assert len(quota._refusals) <= 10_000
    assert not quota.keeps_refusal("eve")
    now[0] += HOUR
    assert quota.keeps_refusal("eve")


def test_lines_of_failed_requests_are_bounded_in_each_second() -> None:
    now = [0.0]
    lines = AccessLines(per_second=5, clock=lambda: now[0])
    written = [lines.is_worth_a_line(failed=True, milliseconds=1) for _ in range(1_000)]
    assert written.count(True) == 5
    now[0] += 1
    assert lines.is_worth_a_line(failed=False, milliseconds=5_000)
