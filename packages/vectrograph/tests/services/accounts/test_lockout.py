"""Waits after failed logins, and callers that do not wait."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.domain.errors import RateLimited
from vectrograph.services.accounts.lockout import CAPACITY, FOR_ACCOUNT, FOR_ADDRESS, FOR_PAIR, FailureTable, Lockout

HOME = "198.51.100.7"


class HandTime:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def time() -> HandTime:
    return HandTime()


@pytest.fixture
def lockout(time: HandTime) -> Lockout:
    return Lockout(time)


def wait_of(lockout: Lockout, username: str, address: str) -> float:
    """Return seconds that an attempt must wait; 0 when it is let through, and then counts as failed."""
    try:
        lockout.begin(username, address)
    except RateLimited as refusal:
        assert refusal.retry_after is not None
        return refusal.retry_after
    return 0.0


def test_another_caller_who_fails_in_my_name_waits_and_i_do_not(lockout: Lockout) -> None:
    waits = [wait_of(lockout, "ada", "203.0.113.9") for _ in range(FOR_PAIR.free + 3)]
    assert waits[: FOR_PAIR.free] == [0.0] * FOR_PAIR.free
    assert min(waits[FOR_PAIR.free :]) > 0
    assert wait_of(lockout, "ada", HOME) == 0


def test_many_addresses_make_an_account_wait_seconds_and_not_where_it_was_seen(
    lockout: Lockout, time: HandTime
) -> None:
    lockout.begin("ada", HOME)
    lockout.succeed("ada", HOME)
    longest = 0.0
    for number in range(FOR_ACCOUNT.free * 3):
        wait = wait_of(lockout, "ada", f"203.0.113.{number}")
        longest = max(longest, wait)
        time.at += wait
    assert 0 < longest <= FOR_ACCOUNT.longest_seconds
    assert wait_of(lockout, "ada", "192.0.2.1") > 0
    assert wait_of(lockout, "ada", HOME) == 0


def test_the_wait_of_a_pair_doubles_up_to_a_quarter_of_an_hour_and_ends_with_a_success(
    lockout: Lockout, time: HandTime
) -> None:
    for _ in range(FOR_PAIR.free):
        lockout.begin("ada", HOME)
    waits = []
    for _ in range(12):
        waits.append(wait_of(lockout, "ada", HOME))
        time.at += waits[-1]
        lockout.begin("ada", HOME)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    lockout.succeed("ada", HOME)
    assert wait_of(lockout, "ADA", HOME) == 0


def test_one_address_is_slowed_whatever_names_it_tries_and_a_success_takes_back_one(lockout: Lockout) -> None:
    for number in range(FOR_ADDRESS.free - 1):
        lockout.begin(f"name{number}", HOME)
    for _ in range(3):
        lockout.begin("ada", HOME)
        lockout.succeed("ada", HOME)
    assert wait_of(lockout, "one-more", HOME) == 0
    assert wait_of(lockout, "another", HOME) > 0
    assert wait_of(lockout, "another", "192.0.2.1") == 0


def test_others_behind_my_address_do_not_keep_me_out_where_i_was_before(lockout: Lockout) -> None:
    lockout.begin("ada", HOME)
    lockout.succeed("ada", HOME)
    for number in range(FOR_ADDRESS.free):
        lockout.begin(f"name{number}", HOME)
    assert wait_of(lockout, "eve", HOME) > 0
    assert [wait_of(lockout, "ada", HOME) for _ in range(FOR_PAIR.free)] == [0.0] * FOR_PAIR.free
    assert wait_of(lockout, "ada", HOME) > 0


def test_the_addresses_of_one_ipv6_customer_are_one(lockout: Lockout) -> None:
    waits = [wait_of(lockout, "ada", f"2001:db8:1:2::{number:x}") for number in range(1, FOR_PAIR.free + 2)]
    assert waits[-1] > 0
    assert wait_of(lockout, "ada", "2001:db8:1:3::1") == 0


def test_many_at_once_gain_nothing(lockout: Lockout) -> None:
    """Ten attempts begun together: those over the free ones are refused before any has ended."""
    begun = sum(wait_of(lockout, "ada", HOME) == 0 for _ in range(10))
    assert begun == FOR_PAIR.free


def test_failures_are_forgotten_after_an_hour(lockout: Lockout, time: HandTime) -> None:
    for _ in range(FOR_PAIR.free):
        lockout.begin("ada", HOME)
    time.at += 3601
    assert [wait_of(lockout, "ada", HOME) for _ in range(FOR_PAIR.free)] == [0.0] * FOR_PAIR.free


REAL = [(f"user{number}", f"192.0.2.{number}") for number in range(4)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("real"), st.integers(0, len(REAL) - 1)),
        st.tuples(st.just("junk"), st.integers(1, 60)),
        st.tuples(st.just("many failures of one invented name"), st.integers(1, 12)),
        st.tuples(st.just("time"), st.sampled_from([0, 1, 3, 30, 1_000])),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_junk_changes_nothing_for_accounts_that_exist(steps: list[tuple[str, int]]) -> None:
    """FINDINGS B8: 16 entries and any amount of invented names and addresses, against a model that sees no junk."""
    clock = HandTime()
    bounded, model = Lockout(clock, capacity=16), Lockout(clock)
    junk = 0
    for kind, number in steps:
        if kind == "real":
            assert wait_of(bounded, *REAL[number]) == wait_of(model, *REAL[number])
        elif kind == "time":
            clock.at += number
        else:
            for _ in range(number):
                junk += kind == "junk"
                with suppress(RateLimited):
                    bounded.begin(f"junk{junk}", f"198.51.{junk // 250 % 250}.{junk % 250}", exists=False)
        assert max(len(bounded._pairs), len(bounded._accounts), len(bounded._addresses)) <= 16


@pytest.mark.slow
def test_a_wait_outlives_twenty_thousand_junk_logins(lockout: Lockout) -> None:
    """FINDINGS B8, as it was seen: with names that exist as well, each tried once."""
    for _ in range(FOR_PAIR.free):
        lockout.begin("ada", HOME)
    for number in range(CAPACITY + 2_000):
        lockout.begin(f"name{number}", f"2001:db8:{number // 9:x}:{number % 9}::1", exists=number % 2 == 0)
    assert wait_of(lockout, "ada", HOME) > 0


def test_where_an_account_logs_in_from_is_not_pushed_out_by_another(lockout: Lockout) -> None:
    lockout.succeed("ada", HOME)
    for number in range(CAPACITY + 2_000):
        lockout.succeed("eve", f"2001:db8:{number // 9:x}:{number % 9}::1")
    assert len(lockout._known) <= 2 * CAPACITY
    for number in range(FOR_ACCOUNT.free + 1):
        wait_of(lockout, "ada", f"203.0.113.{number}")
    assert wait_of(lockout, "ada", "192.0.2.200") > 0
    assert wait_of(lockout, "ada", HOME) == 0


def test_a_table_full_of_waits_refuses_new_names_and_forgets_none(time: HandTime) -> None:
    table: FailureTable[str] = FailureTable(FOR_PAIR, capacity=3)
    for name in "abc":
        for _ in range(FOR_PAIR.free):
            assert table.make_room(name, time.at)
            table.fail(name, time.at, True)
    assert not table.make_room("d", time.at)
    assert all(table.wait(name, time.at) > 0 for name in "abc")
    assert table.make_room("d", time.at + 2)
    assert len(table) == 2
