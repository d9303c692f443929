"""FINDINGS B5: few costly filters are evaluated at once; cheap ones take no turn, and every turn comes back."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from services.house import House, call_as

from vectrograph.domain.cancellation import CancelledWhen, refuse_cancelled
from vectrograph.domain.errors import Cancelled, InternalError, RateLimited
from vectrograph.domain.filters.evaluation import Compare, Comparison, Filter, Or, Substring
from vectrograph.domain.points import Precondition, Put
from vectrograph.services.call import Call
from vectrograph.services.limits import filter_turns
from vectrograph.services.limits.cost import check_filter_cost
from vectrograph.services.limits.filter_turns import COSTLY_NANOSECONDS, FilterTurns
from vectrograph.services.points.token_queries import TokenQuestion

COSTLY = COSTLY_NANOSECONDS + 1
TEXTS: Filter = Or((Substring(("a",), "x"), Substring(("b",), "y")))
NUMBER: Filter = Compare(("a",), Comparison.EQ, 1)
FIRST, SECOND, THIRD = (call_as(user_id=name) for name in ("first", "second", "third"))


def refused(turns: FilterTurns, call: Call) -> str:
    with pytest.raises(RateLimited) as caught, turns.turn(call, COSTLY):
        raise AssertionError("there was a turn")
    assert caught.value.retry_after == 1.0
    assert caught.value.details["unit"] == "costly filters at once"
    return caught.value.message


def test_one_account_takes_one_turn_and_all_accounts_two() -> None:
    turns = FilterTurns()
    with turns.turn(FIRST, COSTLY):
        assert "this account already runs 1 such filters" in refused(turns, FIRST)
        with turns.turn(SECOND, COSTLY):
            message = refused(turns, THIRD)
            assert "the server already runs 2 such filters" in message
            assert "use fewer conditions on the content of strings" in message
            with turns.turn(THIRD, COSTLY_NANOSECONDS):
                """What is not costly needs no turn."""
        with turns.turn(THIRD, COSTLY):
            """The second's turn is free again."""


@pytest.mark.parametrize(("threads", "accounts"), [(1, 1), (2, 1), (3, 2), (32, 2)])
def test_a_thread_stays_free_where_there_are_two(threads: int, accounts: int) -> None:
    turns = FilterTurns.beside(threads)
    with turns.turn(FIRST, COSTLY):
        if accounts == 1:
            refused(turns, SECOND)
        else:
            with turns.turn(SECOND, COSTLY):
                refused(turns, THIRD)


def test_a_turn_comes_back_after_an_error_and_a_cancellation() -> None:
    turns = FilterTurns(1)
    with pytest.raises(InternalError), turns.turn(FIRST, COSTLY):
        raise InternalError("a defect")
    with pytest.raises(Cancelled), CancelledWhen(lambda: True), turns.turn(FIRST, COSTLY):
        refuse_cancelled()
    with turns.turn(FIRST, COSTLY):
        refused(turns, FIRST)


# ---------------------------------------------------------------- every call that takes a filter


@pytest.fixture
def filled(house: House, call: Call, monkeypatch: pytest.MonkeyPatch) -> House:
    """Provide a house in which any filter about texts is costly."""
    house.services.catalog.create(call, "docs", 2, "euclidean")
    house.services.points.upsert(call, "docs", [Put(id="1", vector=np.ones(2, np.float32), payload={"a": "x"})])
    house.services.tokens.ensure()
    house.services.tokens.create(call, "some words", {"a": "x"})
    monkeypatch.setattr(filter_turns, "COSTLY_NANOSECONDS", 400)
    return house


CALLS: dict[str, Callable[[House, Call, Filter], Any]] = {
    "search": lambda house, call, condition: house.services.search.search(
        call, "docs", np.ones((1, 2), np.float32), 1, filter=condition
    ),
    "scroll": lambda house, call, condition: house.services.bulk.scroll(call, "docs", filter=condition),
    "count": lambda house, call, condition: house.services.bulk.count(call, "docs", condition),
    "delete where": lambda house, call, condition: house.services.bulk.delete_where(call, "docs", condition),
    "upsert if": lambda house, call, condition: house.services.bulk.upsert_if(
        call, "docs", [Put(id="1", vector=np.ones(2, np.float32))], Precondition(if_match=condition)
    ),
    "tokens.list": lambda house, call, condition: house.services.tokens.list(call, 10, 0, filter=condition),
    "tokens.walk": lambda house, call, condition: list(house.services.tokens.walk(call, filter=condition)),
    "tokens.query": lambda house, call, condition: house.services.tokens.queries.by_texts(
        call, ["words"], TokenQuestion(filter=condition)
    ),
    "tokens.delete_where": lambda house, call, condition: house.services.tokens.delete_where(call, condition),
}
VERBS = {"search": "search", "scroll": "scroll", "count": "count", "tokens.walk": "scroll", "tokens.list": "count"} | {
    "tokens.query": "search", "delete where": "write", "upsert if": "write", "tokens.delete_where": "write",
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_call_holds_a_turn_while_its_filter_is_evaluated(
    filled: House, call: Call, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    verb = getattr(filled.engine, VERBS[name])

    def held(*arguments: Any, **options: Any) -> Any:
        # Points are counted before there is a turn, and that has no filter.
        if threading.current_thread() is not threading.main_thread() and any(
            each is not None for each in arguments[1:]
        ):
            begun.set()
            assert go_on.wait(30)
        return verb(*arguments, **options)

    monkeypatch.setattr(filled.engine, VERBS[name], held)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(CALLS[name], filled, call, TEXTS)
        try:
            assert begun.wait(30)
            for each in CALLS.values():
                with pytest.raises(RateLimited):
                    each(filled, call, TEXTS)
            # Another account has the second turn, and a cheap filter needs none.
            assert filled.services.bulk.count(call_as(user_id="another"), "docs", TEXTS) == 1
            assert filled.services.bulk.count(call, "docs", NUMBER) == 0
        finally:
            go_on.set()
        first.result(30)
    CALLS[name](filled, call, TEXTS)


def test_the_pages_of_a_walk_take_their_turns_one_by_one(filled: House, call: Call) -> None:
    filled.services.tokens.create(call, "more words", {"a": "x"})
    pages = filled.services.tokens.walk(call, filter=TEXTS, page_size=1)
    assert len(next(pages)) == 1
    # Nobody holds a turn while a caller reads.
    assert filled.services.bulk.count(call, "docs", TEXTS) == 1
    assert len(next(pages)) == 1


def test_the_estimate_grows_with_points_and_conditions_about_texts(filled: House, call: Call) -> None:
    ref = call.require_collection("docs", "read")

    def estimate(condition: Filter | None, points: int) -> int:
        return check_filter_cost(condition, filled.engine, ref, filled.services.limits, points=points)

    assert estimate(None, 1_000_000) == 0
    # 10 ms at most for two numbers in each of a million points; half a second for one look within their texts.
    assert estimate(Or((NUMBER, NUMBER)), 1_000_000) == 4_000_000
    assert estimate(Substring(("a",), "x"), 1_000_000) == 502_000_000
    assert estimate(TEXTS, 1_000_000) == 2 * 502_000_000
