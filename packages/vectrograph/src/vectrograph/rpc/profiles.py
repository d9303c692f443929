"""Accounts and API keys as the messages of vectron.auth.v1 show them."""

from typing import Final

from vectrograph.control.records import ApiKeyRecord, UserRecord
from vectrograph.domain.errors import InvalidArgument
from vectrograph.rpc._pb import auth_pb

_MICROSECONDS: Final = 1_000_000


def plan_name(number: int) -> str:
    """The name of a plan, "" for unspecified.

    Raises:
        InvalidArgument: there is no such plan.

    >>> plan_name(2)
    'PAID'
    """
    try:
        plan = auth_pb.Plan(number)
    except ValueError as error:
        known = ", ".join(f"{plan.name} = {plan.value}" for plan in auth_pb.Plan)
        raise InvalidArgument.of("plan", f"is {number} and must be one of {known}", "enum") from error
    return "" if plan is auth_pb.Plan.PLAN_UNSPECIFIED else plan.name


def plan_of(user: UserRecord) -> auth_pb.Plan:
    """The plan of an account."""
    return auth_pb.Plan[user.plan] if user.plan else auth_pb.Plan.PLAN_UNSPECIFIED


def profile_of(user: UserRecord) -> auth_pb.UserProfile:
    """The message of an account."""
    return auth_pb.UserProfile(
        id=user.user_id,
        email=user.email or "",
        created_at=seconds(user.created_at),
        plan=plan_of(user),
        subscription_status=auth_pb.SubscriptionStatus.ACTIVE,
    )


def key_of(record: ApiKeyRecord) -> auth_pb.APIKey:
    """The message of an API key, without its secret."""
    return auth_pb.APIKey(
        key_prefix=record.key_prefix,
        user_id=record.owner,
        created_at=seconds(record.created_at),
        name=record.name,
    )


def seconds(microseconds: int) -> int:
    """Whole seconds.

    >>> seconds(1_999_999)
    1
    """
    return microseconds // _MICROSECONDS
