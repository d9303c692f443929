import hashlib
import re
from pathlib import Path

import pytest
from control.hand_clock import HandClock

from vectrograph.control.records import FeedbackItem
from vectrograph.control.store import ControlStore
from vectrograph.domain.errors import ApiKeyNotFound, Unavailable, UserNotFound


@pytest.fixture
def store(store_on_either: ControlStore) -> ControlStore:
    return store_on_either


def test_a_key_has_the_official_form_and_is_stored_as_a_digest(
    store: ControlStore, ada: str, database_file: Path
) -> None:
    created = store.api_keys.create(ada, "ci", ["tokens:write", "tokens:read"], None)
    assert re.fullmatch(r"ng_live_[A-Za-z0-9_-]{43}", created.secret)
    assert re.fullmatch(r"[0-9a-f]{16}", created.record.key_id)
    assert created.record.key_prefix == created.secret[:16]
    assert created.record.scopes == ("tokens:read", "tokens:write")
    stored = store.api_keys.find(created.secret)
    assert stored is not None
    assert stored.digest == hashlib.sha256(created.secret.encode()).hexdigest()
    if database_file.exists():
        assert created.secret.encode() not in database_file.read_bytes()


def test_two_keys_never_share_a_prefix(store: ControlStore, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["A" * 43, "A" * 42 + "B", "C" * 43])
    monkeypatch.setattr("vectrograph.control.api_keys.secrets.token_urlsafe", lambda _: next(drawn))
    first, second = (store.api_keys.create(ada, "ci", [], None) for _ in range(2))
    assert first.secret == "ng_live_" + "A" * 43
    assert second.secret == "ng_live_" + "C" * 43
    monkeypatch.setattr("vectrograph.control.api_keys.secrets.token_urlsafe", lambda _: "A" * 43)
    with pytest.raises(Unavailable):
        store.api_keys.create(ada, "ci", [], None)


def test_keys_are_listed_newest_first_by_owner_or_all(store: ControlStore, ada: str, clock: HandClock) -> None:
    first = store.api_keys.create(ada, "one", [], None).record
    clock.advance(1)
    second = store.api_keys.create(ada, "two", [], None).record
    assert [record.key_id for record in store.api_keys.list(ada)] == [second.key_id, first.key_id]
    assert len(store.api_keys.list(None)) == 2
    assert store.api_keys.list("someone else") == []


def test_revoking_keeps_the_record_and_deleting_does_not(store: ControlStore, ada: str, clock: HandClock) -> None:
    key = store.api_keys.create(ada, "ci", [], None).record
    revoked = store.api_keys.revoke(key.key_id, ada)
    assert not revoked.is_active
    clock.advance(1)
    assert store.api_keys.revoke(key.key_id, ada) == revoked
    store.api_keys.delete(key.key_id, ada)
    for act in (store.api_keys.get, store.api_keys.revoke, store.api_keys.delete):
        with pytest.raises(ApiKeyNotFound):
            act(key.key_id, ada)


def test_a_key_needs_an_account(store: ControlStore) -> None:
    with pytest.raises(UserNotFound, match="ghost"):
        store.api_keys.create("ghost", "ci", [], None)


def test_another_owners_key_is_not_found(store: ControlStore, ada: str) -> None:
    key = store.api_keys.create(ada, "ci", [], None).record
    with pytest.raises(ApiKeyNotFound):
        store.api_keys.revoke(key.key_id, "mallory")
    assert store.api_keys.get(key.key_id, ada).is_active


def test_a_key_ceases_to_be_active_at_its_expiry(store: ControlStore, ada: str, clock: HandClock) -> None:
    at = clock()
    key = store.api_keys.create(ada, "ci", [], at + 5).record
    assert key.is_active
    clock.advance(5)
    assert not store.api_keys.get(key.key_id, ada).is_active


def test_uses_are_stored_together_and_of_missing_keys_passed_over(store: ControlStore, ada: str) -> None:
    key = store.api_keys.create(ada, "ci", [], None).record
    store.api_keys.record_use({key.key_id: 77, "0" * 16: 78})
    assert store.api_keys.get(key.key_id, ada).last_used_at == 77


def test_feedback_is_stored_whole_and_in_order(store: ControlStore) -> None:
    items = (
        FeedbackItem(result_id="b", relevance_score=5, clicked=True, position=0, comment="good"),
        FeedbackItem(result_id="a", relevance_score=1, position=1),
    )
    feedback_id = store.feedback.create(
        tenant="default", collection="docs", query="q", user_id="u1", context={"session_id": "s"}, items=items
    )
    record = store.feedback.get(feedback_id)
    assert record is not None
    assert record.items == items
    assert (record.collection, record.query, record.user_id, record.context) == ("docs", "q", "u1", {"session_id": "s"})
    assert store.feedback.get("none") is None
