"""Buckets of the messages of one WebSocket."""

import pytest

from vectrograph.live.message_rates import FREE_REFUSALS, OTHERS, PAUSE_SECONDS, RATES, MessageRates


class Seconds:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.mark.parametrize("kind", [*RATES, ""])
def test_a_bucket_is_empty_after_its_burst_and_fills_up_again(kind: str) -> None:
    seconds = Seconds()
    rates = MessageRates(seconds)
    burst, per_second = RATES.get(kind, OTHERS)
    assert [rates.charge(kind) for _ in range(burst)] == [None] * burst
    assert rates.charge(kind) == pytest.approx(1 / per_second)
    seconds.at += 0.5 / per_second
    assert rates.charge(kind) == pytest.approx(0.5 / per_second)
    seconds.at += 0.75 / per_second
    assert rates.charge(kind) is None
    seconds.at += 1e6
    assert [rates.charge(kind) for _ in range(burst + 1)][-2:] == [None, pytest.approx(1 / per_second)]


def test_each_known_type_has_its_own_and_all_others_have_one() -> None:
    rates = MessageRates(Seconds())
    for number in range(OTHERS.burst):
        assert rates.charge(f"type{number}") is None
    assert rates.charge("another") is not None
    assert all(rates.charge(kind) is None for kind in RATES)
    assert len(rates._buckets) == len(RATES) + 1


def test_nothing_is_read_for_a_moment_after_very_many_refusals() -> None:
    rates = MessageRates(Seconds())
    for _ in range(OTHERS.burst + FREE_REFUSALS):
        rates.charge("")
    assert rates.pause == 0
    rates.charge("")
    assert rates.pause == PAUSE_SECONDS > 0
