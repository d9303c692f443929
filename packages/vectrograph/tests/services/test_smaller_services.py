import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from control.hand_clock import HandClock
from services.house import DIMENSION, LIMITS, House, WordEmbedder, call_as

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.access import Role
from vectrograph.domain.collections import CollectionInfo, CollectionOutline, CollectionState
from vectrograph.domain.errors import (
    DomainError,
    InvalidArgument,
    PermissionDenied,
    StartupError,
    TooLarge,
    UserNotFound,
)
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services import health as health_module
from vectrograph.services.call import Call
from vectrograph.services.health import DAMAGE, Health, Wellness, memory_usage_mb
from vectrograph.services.points.tokens_collection import TOKENS, ensure_tokens
from vectrograph.services.wiring import build_services


def field_of(error: DomainError) -> str:
    return str(error.details["errors"][0]["field"])


# ---------------------------------------------------------------- embeddings


def test_texts_become_vectors_in_order(house: House, call: Call) -> None:
    rows = house.services.embeddings.embed(call, ["hello world", "other"])
    np.testing.assert_array_equal(rows, WordEmbedder().embed(["hello world", "other"]))
    assert (house.services.embeddings.model, house.services.embeddings.dimension) == ("test/words_8", DIMENSION)


@pytest.mark.parametrize(
    ("texts", "field"), [([], "texts"), (["a", " "], "texts[1]"), (["a", "x" * 101], "texts[1]"), ("abc", "texts")]
)
def test_bad_texts_are_named(house: House, call: Call, texts: list[str], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        house.services.embeddings.embed(call, texts)
    assert field_of(caught.value) == field


def test_too_many_texts_are_too_large(house: House, call: Call) -> None:
    with pytest.raises(TooLarge, match="max_batch"):
        house.services.embeddings.embed(call, ["a"] * 21)


# ---------------------------------------------------------------- users


@pytest.mark.parametrize("plan", ["FREE", "PAID", ""])
def test_a_plan_is_ones_own(house: House, call: Call, plan: str) -> None:
    assert house.services.users.set_plan(call, plan).plan == plan
    assert house.store.accounts.get("developer").plan == plan
    assert house.store.accounts.get("viewer").plan == "FREE"


def test_other_plans_and_powerless_keys_are_refused(house: House, call: Call) -> None:
    with pytest.raises(InvalidArgument):
        house.services.users.set_plan(call, "GOLD")
    with pytest.raises(PermissionDenied):
        house.services.users.set_plan(call_as("tokens:read", key_id="k"), "PAID")
    assert house.services.users.set_plan(call_as("collections:write", key_id="k"), "PAID").plan == "PAID"
    assert house.services.users.set_plan(call_as(role=Role.VIEWER, user_id="viewer"), "PAID").plan == "PAID"


def test_an_administrator_cannot_shut_itself_out_nor_disable_nobody(house: House) -> None:
    admin = call_as(role=Role.ADMIN, user_id="admin")
    with pytest.raises(InvalidArgument):
        house.services.users.set_disabled(admin, "admin", True)
    with pytest.raises(UserNotFound):
        house.services.users.set_disabled(admin, "ghost", True)


# ---------------------------------------------------------------- feedback


def item(score: int = 3, **changes: object) -> FeedbackItem:
    return FeedbackItem(**{"result_id": "a", "relevance_score": score, **changes})  # type: ignore[arg-type]


def test_feedback_is_stored_under_the_callers_name(house: House, call: Call) -> None:
    context = {"user_id": "someone else", "session_id": "s"}
    feedback_id = house.services.feedback.submit(call, "tokens", "words", [item(1), item(5, result_id="")], context)
    assert uuid.UUID(feedback_id).version == 4
    record = house.store.feedback.get(feedback_id)
    assert record is not None
    assert (record.user_id, record.collection, record.query, record.tenant) == (
        "developer",
        "tokens",
        "words",
        "default",
    )
    assert record.context == context
    assert [(each.result_id, each.relevance_score) for each in record.items] == [("a", 1), ("", 5)]


@pytest.mark.parametrize(
    ("collection", "items", "field", "words"),
    [
        ("", [item()], "collection", "collection name cannot be empty"),
        ("docs", [], "feedback_items", "feedback items cannot be empty"),
        ("docs", [item(), item(0)], "feedback_items[1].relevance_score", "relevance score must be between 1 and 5"),
        ("docs", [item(6)], "feedback_items[0].relevance_score", "relevance score must be between 1 and 5"),
        ("docs", [item(comment="\ud800")], "feedback_items[0].comment", "Unicode"),
    ],
)
def test_bad_feedback_is_refused_as_documented(
    house: House, call: Call, collection: str, items: list[FeedbackItem], field: str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        house.services.feedback.submit(call, collection, "", items, {})
    assert field_of(caught.value) == field


def test_feedback_over_the_limits_is_too_large(house: House, call: Call) -> None:
    submit = house.services.feedback.submit
    for name, items, query, context in (
        ("feedback_items", [item()] * 21, "", {}),
        ("query", [item()], "x" * 101, {}),
        ("feedback_items[0].comment", [item(comment="x" * 101)], "", {}),
        ("feedback_items[0].result_id", [item(result_id="x" * 101)], "", {}),
        ("context", [item()], "", {"k": "x" * 300}),
    ):
        with pytest.raises(TooLarge) as caught:
            submit(call, "docs", query, items, context)
        assert caught.value.details["field"] == name


# ---------------------------------------------------------------- health


def test_health_counts_what_is_there(house: House, call: Call) -> None:
    house.services.tokens.create(call, "one")
    house.services.tokens.create(call, "two")
    house.services.catalog.create(call, "docs", 4, "")
    for _ in range(3):
        house.services.health.count_request()
    status = house.services.health.status(call)
    assert (status.status, status.version, status.engine) == (Wellness.HEALTHY, "1.2.3", "reference")
    assert (status.tokens_count, status.collections_count, status.requests_total) == (2, 2, 3)
    assert status.memory_usage_mb > 1
    assert status.quarantined == {}
    report = house.services.health.check()
    assert (report.status, report.version, report.ready, report.quarantined) == (Wellness.HEALTHY, "1.2.3", True, 0)


def test_uptime_counts_from_the_start() -> None:
    clock = HandClock()
    health = Health(ReferenceEngine(), "1", clock=lambda: clock.at / 1e6)
    clock.advance(12.5)
    assert health.check().uptime_seconds == 12.5


class Quarantining(ReferenceEngine):
    """Has one damaged collection."""

    def outline(self, tenant: str) -> list[CollectionOutline]:
        return [replace(outline, problem="page 3 is damaged") for outline in super().outline(tenant)]


def test_a_damaged_collection_is_named_to_those_who_may_know(call: Call) -> None:
    engine = Quarantining()
    ensure_tokens(engine, WordEmbedder())
    health = Health(engine, "1")
    assert health.status(call).quarantined == {"tokens": DAMAGE}
    report = health.check()
    assert (report.status, report.quarantined, report.ready) == (Wellness.DEGRADED, 1, True)
    assert "tokens" not in repr(report)


def test_storage_that_does_not_answer_is_a_finding(house: House, call: Call) -> None:
    house.engine.close()
    report = house.services.health.check()
    assert (report.status, report.ready) == (Wellness.UNHEALTHY, False)
    assert house.services.health.status(call).tokens_count == 0


def test_memory_is_told_without_proc_too(monkeypatch: pytest.MonkeyPatch) -> None:
    current = memory_usage_mb()
    monkeypatch.setattr(health_module, "Path", lambda _: Path("/nowhere"))
    assert memory_usage_mb() >= current / 2


# ---------------------------------------------------------------- assembly


def test_a_secret_that_cannot_be_used_stops_the_start(house: House, tmp_path: Path) -> None:
    bad = tmp_path / "bad.key"
    bad.write_text("nothing")
    bad.chmod(0o600)
    with pytest.raises(StartupError):
        build_services(
            engine=house.engine,
            store=house.store,
            embedder=house.embedder,
            secret_file=bad,
            limits=LIMITS,
            version="1",
        )


def test_a_quarantined_token_collection_does_not_stop_the_start() -> None:
    class Damaged(ReferenceEngine):
        def describe(self, ref):  # type: ignore[no-untyped-def]
            good = super().describe(ref)
            fields = {name: getattr(good, name) for name in CollectionInfo.__slots__}
            return CollectionInfo(**{**fields, "state": CollectionState.QUARANTINED})

    engine = Damaged()
    ensure_tokens(engine, WordEmbedder())

    class Other(WordEmbedder):
        name = "test/other_8"

    assert ensure_tokens(engine, Other()).spec.ref == TOKENS


def test_a_collection_made_by_someone_else_just_now_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ReferenceEngine()
    create = engine.create

    def create_twice(spec: object) -> object:
        create(spec)  # type: ignore[arg-type]
        return create(spec)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "create", create_twice)
    assert ensure_tokens(engine, WordEmbedder()).count == 0
