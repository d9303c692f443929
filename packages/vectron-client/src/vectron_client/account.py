"""The operations on behalf of the caller's account, built as in `calls`: its profile, its judgements. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from vectron_client._pb import auth_pb
from vectron_client._pb import vectron_pb as wire
from vectron_client.arguments import invalid, text, whole
from vectron_client.calls import Call
from vectron_client.exceptions import InternalServerError
from vectron_client.models import FeedbackItem, UserProfile

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def update_user_profile(plan: str) -> Call[UserProfile]:
    """Another plan for the caller.

    Raises:
        InvalidArgumentError: there is no such plan.
    """
    plans = {known.name: known for known in auth_pb.Plan if known}
    chosen = plans.get(text("plan", plan, empty=True).upper())
    if chosen is None:
        raise invalid("plan", f"must be one of {', '.join(plans)}, not {plan!r}")

    def read(answer: bytes) -> UserProfile:
        return _profile(wire.UpdateUserProfileResponse.FromString(answer).user)

    request = wire.UpdateUserProfileRequest(plan=chosen)
    return Call("UpdateUserProfile", request.SerializeToString(), read, writes=True, repeatable=True)


def _profile(user: Any) -> UserProfile:
    try:
        created_at = _EPOCH + timedelta(seconds=user.created_at)
    except OverflowError as error:
        raise ValueError(f"created_at is {user.created_at}, which is no date") from error
    status = _name(auth_pb.SubscriptionStatus, user.subscription_status)
    return UserProfile(user.id, user.email, created_at, _name(auth_pb.Plan, user.plan), status)


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
    encoded = [_item(f"items[{position}]", item) for position, item in enumerate(_listed("items", items))]
    if not encoded:
        raise invalid("items", "must not be empty")
    facts = {} if context is None else context
    if not isinstance(facts, Mapping):
        raise invalid("context", f"must be a mapping from text to text, not {type(facts).__name__}")
    request = wire.SubmitFeedbackRequest(
        collection=text("collection", collection),
        query=text("query", query, empty=True),
        result_ids=[text("result_ids", id, empty=True) for id in _listed("result_ids", result_ids)],
        feedback_items=encoded,
        context={
            text("context", key, empty=True): text(f"context[{key!r}]", value, empty=True)
            for key, value in facts.items()
        },
    )

    def read(answer: bytes) -> str:
        response = wire.SubmitFeedbackResponse.FromString(answer)
        if not response.success:
            raise InternalServerError("the server answered SubmitFeedback without an error but without success")
        return response.feedback_id

    return Call("SubmitFeedback", request.SerializeToString(), read, writes=True, repeatable=False)


def _listed(field: str, values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)):
        raise invalid(field, "must be a list, not text")
    try:
        return list(values)
    except TypeError as error:
        raise invalid(field, f"must be a list or another iterable, not {type(values).__name__}") from error


def _item(place: str, item: Any) -> wire.FeedbackItem:
    if not isinstance(item, FeedbackItem):
        raise invalid(place, f"must be a vectron_client.FeedbackItem, not {type(item).__name__}")
    return wire.FeedbackItem(
        result_id=text(f"{place}.result_id", item.result_id, empty=True),
        relevance_score=whole(f"{place}.relevance_score", item.relevance_score, 1, 5),
        clicked=bool(item.clicked),
        position=whole(f"{place}.position", item.position, 0, 2**31 - 1),
        comment=text(f"{place}.comment", item.comment, empty=True),
    )
