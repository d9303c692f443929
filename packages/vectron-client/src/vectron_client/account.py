"""The operations on behalf of the caller's account, built as in `calls`: its profile, its judgements. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from vectron_client._pb import auth_pb
from vectron_client._pb import vectron_pb as wire
from vectron_client._pb.methods import VECTRON_SERVICE_METHODS as METHODS
from vectron_client.arguments import flag, invalid, listed, moment, text, whole
from vectron_client.call import Call, confirm
from vectron_client.models import FeedbackItem, UserProfile


def update_user_profile(plan: str) -> Call[UserProfile]:
    """Another plan for the caller.

    Raises:
        InvalidArgumentError: there is no such plan.
    """
    chosen = plan_number(plan)

    def read(answer: bytes) -> UserProfile:
        return read_profile(wire.UpdateUserProfileResponse.FromString(answer).user)

    request = wire.UpdateUserProfileRequest(plan=chosen)
    return Call(METHODS["UpdateUserProfile"], request.SerializeToString(), read, writes=True)


def plan_number(plan: str) -> int:
    """The number of a plan.

    Raises:
        InvalidArgumentError: there is none of that name.

    >>> plan_number("paid")
    2
    """
    plans = {known.name: known for known in auth_pb.Plan if known}
    chosen = plans.get(text("plan", plan, empty=True).upper())
    if chosen is None:
        raise invalid("plan", f"must be one of {', '.join(plans)}, not {plan!r}")
    return int(chosen)


def read_profile(user: Any) -> UserProfile:
    """An account as a message describes it.

    Raises:
        ValueError: its time is no date.
    """
    status = _name(auth_pb.SubscriptionStatus, user.subscription_status)
    return UserProfile(user.id, user.email, moment(user.created_at), read_plan(user.plan), status)


def read_plan(number: int) -> str:
    """The name of a plan; empty when the server does not say.

    >>> read_plan(2), read_plan(0)
    ('PAID', '')
    """
    return _name(auth_pb.Plan, number)


def _name(kind: Any, number: int) -> str:
    """The name of an enum's value; empty for 0, which says nothing, and the digits for one that is newer than this."""
    if not number:
        return ""
    try:
        name: str = kind(number).name
    except ValueError:
        return str(number)
    return name


def submit_feedback(
    collection: str,
    items: Iterable[FeedbackItem],
    *,
    query: str,
    result_ids: Iterable[str],
    context: Mapping[str, str] | None,
) -> Call[str]:
    """Judgements of the results of one search.

    Raises:
        InvalidArgumentError: an argument is wrong or there are no items; names the field.
    """
    encoded = [_item(f"items[{position}]", item) for position, item in enumerate(listed("items", items))]
    if not encoded:
        raise invalid("items", "must not be empty")
    facts: Mapping[str, str] = {} if context is None else context
    if not isinstance(facts, Mapping):
        raise invalid("context", f"must be a mapping from text to text, not {type(facts).__name__}")
    request = wire.SubmitFeedbackRequest(
        collection=text("collection", collection),
        query=text("query", query, empty=True),
        result_ids=[text("result_ids", id, empty=True) for id in listed("result_ids", result_ids)],
        feedback_items=encoded,
        context={
            text("context", key, empty=True): text(f"context[{key!r}]", value, empty=True)
            for key, value in facts.items()
        },
    )

    def read(answer: bytes) -> str:
        response = wire.SubmitFeedbackResponse.FromString(answer)
        confirm("SubmitFeedback", response.success)
        return response.feedback_id

    return Call(METHODS["SubmitFeedback"], request.SerializeToString(), read, writes=True)


def _item(place: str, item: Any) -> wire.FeedbackItem:
    if not isinstance(item, FeedbackItem):
        raise invalid(place, f"must be a vectron_client.FeedbackItem, not {type(item).__name__}")
    return wire.FeedbackItem(
        result_id=text(f"{place}.result_id", item.result_id, empty=True),
        relevance_score=whole(f"{place}.relevance_score", item.relevance_score, 1, 5),
        clicked=flag(f"{place}.clicked", item.clicked),
        position=whole(f"{place}.position", item.position, 0, 2**31 - 1),
        comment=text(f"{place}.comment", item.comment, empty=True),
    )
