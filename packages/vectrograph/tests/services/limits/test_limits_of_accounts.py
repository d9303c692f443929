"""FINDINGS B8: limits are those of an account, however many keys it makes; a key may be held to less."""

from collections.abc import Sequence
from itertools import cycle, islice

import pytest

from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.errors import RateLimited
from vectrograph.services.call import Principal
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.rate_limits import RateLimits


def caller(user_id: str = "ada", key_id: str | None = None, rate_limit: int | None = None) -> Principal:
    scopes = ROLE_SCOPES[Role.DEVELOPER]
    return Principal(user_id, user_id, Role.BOT, scopes, key_id=key_id, rate_limit=rate_limit)


def refused_at(limits: RateLimits, callers: Sequence[Principal]) -> int:
    """Return the limit that some callers, in turn, are told. A slow machine may need more than one second's worth."""
    for who in islice(cycle(callers), 10_000):
        try:
            limits.charge_caller(who)
        except RateLimited as refused:
            return int(refused.details["limit"])
    raise AssertionError("nothing was refused")


def test_a_rate_is_shared_by_all_keys_and_logins_of_an_account() -> None:
    limits = RateLimits(identity=3)
    everyone = [caller(), caller(key_id="k1"), caller(key_id="k2"), caller(key_id="k3")]
    assert refused_at(limits, everyone) == 3
    assert limits.charge_caller(caller("eve", key_id="k9")) is not None


def test_a_key_may_be_held_to_less_than_its_account() -> None:
    limits = RateLimits(identity=1_000)
    narrow = caller(key_id="k1", rate_limit=2)
    assert refused_at(limits, [narrow]) == 2
    assert limits.charge_caller(caller(key_id="k2")) is not None


@pytest.mark.parametrize("kind", ["requests", "streams"])
def test_requests_and_streams_at_once_are_shared_by_all_keys_of_an_account(kind: str) -> None:
    concurrency = Concurrency(requests=2, streams=2)
    held = [concurrency.enter(kind, caller(key_id=key)) for key in ("k1", "k2")]
    for who in (caller(), caller(key_id="k3")):
        with pytest.raises(RateLimited):
            concurrency.enter(kind, who)
    concurrency.leave(concurrency.enter(kind, caller("eve", key_id="k4")))
    for name in held:
        concurrency.leave(name)
    concurrency.leave(concurrency.enter(kind, caller(key_id="k3")))
    assert not concurrency._under_way
