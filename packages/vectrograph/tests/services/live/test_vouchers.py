"""Texts that stand for something once, for a short time."""

import threading

import pytest

from vectrograph.domain.errors import RateLimited
from vectrograph.services.live.vouchers import Vouchers


class Seconds:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_each_stands_for_its_value_once() -> None:
    vouchers: Vouchers[str] = Vouchers("tickets", 30, 2, 10, Seconds())
    one, two = vouchers.issue("a", "1"), vouchers.issue("a", "2")
    assert len({one, two}) == 2
    assert min(len(one), len(two)) >= 43, "32 random bytes"
    assert (vouchers.redeem(two), vouchers.redeem(one)) == ("2", "1")
    assert (vouchers.redeem(two), vouchers.redeem(one), vouchers.redeem("nonsense"), vouchers.redeem("\ud800")) == (
        None,
        None,
        None,
        None,
    )
    assert one not in repr(vars(vouchers))


def test_they_end_with_time_and_leave_nothing() -> None:
    seconds = Seconds()
    vouchers: Vouchers[int] = Vouchers("tickets", 30, 2, 10, seconds)
    early = vouchers.issue("a", 1)
    seconds.at = 29.0
    late = vouchers.issue("a", 2)
    seconds.at = 30.0
    assert vouchers.redeem(early) is None
    assert vouchers.redeem(late) == 2
    assert len(vouchers) == 0
    vouchers.issue("a", 3)
    vouchers.issue("a", 4)
    seconds.at = 61.0
    vouchers.forget()
    assert (len(vouchers), dict(vouchers._counts)) == (0, {})


def test_those_of_an_account_and_of_all_are_bounded() -> None:
    seconds = Seconds()
    vouchers: Vouchers[int] = Vouchers("tickets", 30, 2, 3, seconds)
    first = vouchers.issue("a", 1)
    vouchers.issue("a", 2)
    with pytest.raises(RateLimited, match="2 of one account") as caught:
        vouchers.issue("a", 3)
    assert caught.value.retry_after is not None
    vouchers.issue("b", 4)
    with pytest.raises(RateLimited):
        vouchers.issue("c", 5)
    vouchers.redeem(first)
    vouchers.issue("a", 6)
    seconds.at = 30.0
    for number in range(2):
        vouchers.issue("a", number)


def test_of_two_who_redeem_at_once_one_gets_it() -> None:
    vouchers: Vouchers[int] = Vouchers("tickets", 30, 100, 1_000, Seconds())
    for _ in range(50):
        text = vouchers.issue("a", 7)
        gate = threading.Barrier(4)
        got: list[int | None] = []

        def redeem(text: str = text, gate: threading.Barrier = gate, got: list[int | None] = got) -> None:
            gate.wait()
            got.append(vouchers.redeem(text))

        threads = [threading.Thread(target=redeem) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got, key=str) == [7, None, None, None]
