"""Calls on behalf of the own account: judgements of results, and the profile."""

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from vectron_client import FeedbackItem, UserProfile
from vectron_client._pb import auth_pb
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import InternalServerError, UnavailableError

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer


def test_feedback_is_sent_whole(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("SubmitFeedback", wire.SubmitFeedbackResponse(success=True, feedback_id="f-1"))
    items = [FeedbackItem("a", 5, clicked=True, position=1, comment="just right"), FeedbackItem("b", 1)]
    id = connect().submit_feedback("docs", items, query="words", result_ids=["b", "a"], context={"page": "home"})
    assert id == "f-1"
    assert wire.SubmitFeedbackRequest.FromString(server.seen[0].body) == wire.SubmitFeedbackRequest(
        collection="docs",
        query="words",
        result_ids=["b", "a"],
        feedback_items=[
            wire.FeedbackItem(result_id="a", relevance_score=5, clicked=True, position=1, comment="just right"),
            wire.FeedbackItem(result_id="b", relevance_score=1),
        ],
        context={"page": "home"},
    )


def test_feedback_is_never_counted_twice(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("SubmitFeedback", "UNAVAILABLE")
    with pytest.raises(UnavailableError):
        connect(retry_on_writes=True).submit_feedback("docs", [FeedbackItem("a", 5)])
    assert len(server.seen) == 1


def test_feedback_without_success_is_an_error(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("SubmitFeedback", b"")
    with pytest.raises(InternalServerError, match="without success"):
        connect().submit_feedback("docs", [FeedbackItem("a", 5)])


@pytest.mark.parametrize("plan", ["PAID", "paid"])
def test_the_plan_is_sent_and_the_profile_comes_back(server: "ScriptedServer", connect: "Connect", plan: str) -> None:
    user = auth_pb.UserProfile(
        id="u-1",
        email="ada@example.org",
        created_at=1_700_000_000,
        plan=auth_pb.Plan.PAID,
        subscription_status=auth_pb.SubscriptionStatus.PAST_DUE,
    )
    server.answers("UpdateUserProfile", wire.UpdateUserProfileResponse(user=user))
    created_at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    profile = UserProfile("u-1", "ada@example.org", created_at, "PAID", "PAST_DUE")
    assert connect().update_user_profile(plan) == profile
    assert wire.UpdateUserProfileRequest.FromString(server.seen[0].body).plan == auth_pb.Plan.PAID


def test_a_profile_of_a_newer_server(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("UpdateUserProfile", wire.UpdateUserProfileResponse(user=auth_pb.UserProfile(plan=7)))
    profile = connect().update_user_profile("FREE")
    assert (profile.plan, profile.subscription_status) == ("7", "")


def test_a_date_that_is_none_is_a_server_error(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("UpdateUserProfile", wire.UpdateUserProfileResponse(user=auth_pb.UserProfile(created_at=2**62)))
    with pytest.raises(InternalServerError, match="which is no date"):
        connect().update_user_profile("FREE")


def test_what_no_server_recognises_is_sent_once(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("UpdateUserProfile", "UNAVAILABLE")
    server.fails("SubmitFeedback", "UNAVAILABLE")
    client = connect(retry_on_writes=True)
    for write in (
        lambda: client.update_user_profile("FREE"),
        lambda: client.submit_feedback("docs", [FeedbackItem("a", 5)]),
    ):
        with pytest.raises(UnavailableError):
            write()
    assert server.methods() == ["UpdateUserProfile", "SubmitFeedback"]
    assert not any("idempotency-key" in seen.metadata for seen in server.seen)
