"""Reranking: words and feedback move points, and the score stays a distance, lower the better, under every metric."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.house import House, call_as

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.errors import DeadlineExceeded, InvalidArgument
from vectrograph.domain.points import Point, Put
from vectrograph.domain.queries import Hit, Include
from vectrograph.services.call import Call
from vectrograph.services.points.reranking import Rerank, reranked


def hit(point_id: str, score: float, text: str | None = None, **payload: Any) -> Hit:
    point = Point(
        id=point_id, vector=None, payload=payload, text=text, created_at=0, updated_at=0, version=1, created_seq=1
    )
    return Hit(point, score)


def order(hits: list[Hit], judgements: tuple[tuple[str, int], ...] = (), **wish: Any) -> list[str]:
    return [one.point.id for one in reranked(hits, Rerank(**{"query": "red fox", **wish}), judgements)]


NEAR_TO_FAR = [hit("a", 0.1, title="blue"), hit("b", 0.2, title="a Red FOX!"), hit("c", 0.3, title="red")]


def test_words_bring_points_forward_and_the_distance_is_kept() -> None:
    ranked = reranked(NEAR_TO_FAR, Rerank(query="red fox", keyword_weight=1.0), ())
    assert [one.point.id for one in ranked] == ["b", "a", "c"]
    assert [one.distance for one in ranked] == [0.2, 0.1, 0.3]
    assert ranked[0].score == pytest.approx(0.2 - 0.2)
    assert ranked[1].score == 0.1


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    hits = [hit(str(n), n / 10, body="common") for n in range(8)] + [hit("rare", 0.8, body="unique")]
    ranked = reranked(hits, Rerank(query="common unique", keyword_weight=1.0), ())
    gains = {one.point.id: (one.distance or 0.0) - one.score for one in ranked}
    assert gains["rare"] > 2 * gains["3"] > 0


def test_words_that_no_candidate_has_change_nothing() -> None:
    ranked = reranked(NEAR_TO_FAR, Rerank(query="zebra", keyword_weight=1.0), ())
    assert [(one.point.id, one.score) for one in ranked] == [("a", 0.1), ("b", 0.2), ("c", 0.3)]


def test_boosts_say_which_fields_count_and_how_much() -> None:
    hits = [hit("body", 0.1, body="fox"), hit("title", 0.2, title="fox"), hit("other", 0.3, other="fox")]
    assert order(hits, keyword_weight=1.0, field_boosts={"title": 4.0, "body": 1.0}) == ["title", "body", "other"]
    ranked = reranked(hits, Rerank(query="fox", keyword_weight=2.0, field_boosts={"title": 1.0}), ())
    assert [one.point.id for one in ranked if one.score != one.distance] == ["title"]


def test_the_text_and_every_string_count_where_no_field_is_named() -> None:
    hits = [hit("a", 0.1, n=7), hit("b", 0.2, "the fox"), hit("c", 0.3, deep={"x": "fox"})]
    assert order(hits, query="fox", keyword_weight=1.5) == ["b", "a", "c"]


def test_feedback_moves_points_both_ways_and_much_of_it_further() -> None:
    praised = (("c", 5),) * 10
    assert order(NEAR_TO_FAR, praised, feedback_weight=1.5)[0] == "c"
    assert order(NEAR_TO_FAR, praised[:1], feedback_weight=1.0)[0] == "a"
    assert order(NEAR_TO_FAR, (("a", 1),) * 10, feedback_weight=2.0)[-1] == "a"
    assert order(NEAR_TO_FAR, (("a", 3),) * 10, feedback_weight=1.0) == ["a", "b", "c"]


scores = st.floats(-1e6, 1e6)


@given(
    st.lists(st.tuples(scores, st.sampled_from(["red", "fox", "red fox", ""])), max_size=12),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_whatever_the_metric_lower_stays_better(found: list[tuple[float, str]], keyword: float, opinion: float) -> None:
    hits = [hit(str(n), score, text=text) for n, (score, text) in enumerate(sorted(found))]
    wish = Rerank(query="red fox", keyword_weight=keyword, feedback_weight=opinion)
    ranked = reranked(hits, wish, [("0", 4), ("1", 1)])
    assert [one.score for one in ranked] == sorted(one.score for one in ranked)
    assert sorted(one.point.id for one in ranked) == sorted(one.point.id for one in hits)
    by_id = {one.point.id: one.score for one in hits}
    assert all(one.distance == by_id[one.point.id] for one in ranked)
    for better in ranked:
        for worse in ranked:
            # Between two points with the same words and the same feedback the nearer one stays ahead.
            same = better.point.text == worse.point.text and not {better.point.id, worse.point.id} & {"0", "1"}
            if same and by_id[better.point.id] < by_id[worse.point.id]:
                assert better.score <= worse.score


# ---------------------------------------------------------------- through the service


@pytest.fixture
def line(house: House, call: Call) -> House:
    """Twenty points on a line under the dot product, scores negative; the last of them speaks of foxes."""
    house.services.catalog.create(call, "line", 2, "dot")
    puts = [
        Put(id=str(n), vector=np.array([20 - n, 0], np.float32), payload={"body": "a fox" if n == 11 else "a stone"})
        for n in range(20)
    ]
    house.services.points.upsert(call, "line", puts)
    return house


def search(house: House, call: Call, rerank: Rerank | None, **more: Any) -> list[Hit]:
    vectors = np.array([[1, 0]], np.float32)
    [result] = house.services.search.search(call, "line", vectors, 3, rerank=rerank, **more)
    return list(result.hits)


def test_without_the_wish_nothing_is_reranked(line: House, call: Call) -> None:
    hits = search(line, call, None)
    assert [(one.point.id, one.distance) for one in hits] == [("0", None), ("1", None), ("2", None)]


def test_more_candidates_are_looked_at_than_are_returned(line: House, call: Call) -> None:
    hits = search(line, call, Rerank(query="fox", keyword_weight=1.5))
    assert [one.point.id for one in hits] == ["11", "0", "1"]
    assert [one.score for one in hits] == sorted(one.score for one in hits)
    assert hits[0].distance == -9
    assert [one.point.id for one in search(line, call, Rerank(query="fox", keyword_weight=1.5, candidates=11))] == [
        "0", "1", "2",
    ]  # fmt: skip


def test_parts_that_were_not_asked_for_stay_out(line: House, call: Call) -> None:
    hits = search(line, call, Rerank(query="fox", keyword_weight=1.5), include=Include(payload=False, text=False))
    assert [(one.point.id, one.point.payload) for one in hits] == [("11", None), ("0", None), ("1", None)]


def test_feedback_on_the_same_query_counts_and_on_others_not(line: House, call: Call) -> None:
    wish = Rerank(query="what rolls", feedback_weight=2.0)
    for query, point in (("what rolls", "5"), ("something else", "7")):
        for _ in range(5):
            line.services.feedback.submit(call, "line", query, [FeedbackItem(result_id=point, relevance_score=5)], {})
    assert [one.point.id for one in search(line, call, wish)] == ["5", "0", "1"]
    foreign = call._replace(principal=replace(call.principal, tenant="other"))
    line.services.catalog.create(foreign, "line", 2, "dot")
    line.services.feedback.submit(foreign, "line", "what rolls", [FeedbackItem(result_id="9", relevance_score=5)], {})
    assert [one.point.id for one in search(line, call, wish)] == ["5", "0", "1"]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"query": " ?! "}, "query"),
        ({"keyword_weight": -1.0}, "rerank.keyword_weight"),
        ({"feedback_weight": math.nan}, "rerank.feedback_weight"),
        ({"field_boosts": {"title": math.inf}}, "rerank.field_boosts['title']"),
        ({"candidates": 51}, "rerank.candidates"),
    ],
)
def test_wishes_that_cannot_be_are_named(line: House, call: Call, wish: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        search(line, call, Rerank(**{"query": "fox", **wish}))
    assert caught.value.details["errors"][0]["field"] == field


def test_no_stage_begins_after_the_deadline(line: House, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search itself is in time; what comes after it is not."""
    real, asked = line.engine.search, []

    def slow(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        time.sleep(0.06)
        return found

    def opinions(*args: Any, **kwargs: Any) -> list[tuple[str, int]]:
        asked.append(args)
        return []

    monkeypatch.setattr(line.engine, "search", slow)
    monkeypatch.setattr(line.store.feedback, "relevance", opinions)
    with pytest.raises(DeadlineExceeded):
        search(line, call.within(50), Rerank(query="fox"))
    assert asked == []
    late = call._replace(deadline=time.monotonic())
    monkeypatch.setattr(line.engine, "search", lambda *_, **__: pytest.fail("the engine was asked"))
    with pytest.raises(DeadlineExceeded):
        search(line, late, None)


# ---------------------------------------------------------------- listing feedback


def test_feedback_is_listed_newest_first_page_by_page(house: House) -> None:
    call = call_as()
    house.services.catalog.create(call, "docs", 2, "dot")
    for n in range(5):
        items = [FeedbackItem(result_id=f"r{n}", relevance_score=4, clicked=True, position=n, comment="c")]
        house.services.feedback.submit(call, "docs", "odd" if n % 2 else "even", items, {"n": str(n)})
        if n != 2:
            house.clock.advance(seconds=1)
    seen, cursor = [], None
    for _ in range(5):
        page = house.services.feedback.list(call, "docs", limit=2, cursor=cursor)
        seen += [record.context["n"] for record in page.records]
        if (cursor := page.cursor) is None:
            break
    # 2 and 3 were made in the same moment: between them the ids decide, the same way each time.
    assert seen in (["4", "3", "2", "1", "0"], ["4", "2", "3", "1", "0"])
    odd = house.services.feedback.list(call, "docs", query="odd").records
    assert [(record.context["n"], record.items[0].result_id, record.user_id) for record in odd] == [
        ("3", "r3", "developer"),
        ("1", "r1", "developer"),
    ]
    assert house.services.feedback.list(call, "other").records == ()
    for wrong in ({"cursor": "x"}, {"cursor": "1."}, {"cursor": "-1.a"}, {"limit": 31}):
        with pytest.raises(InvalidArgument):
            house.services.feedback.list(call, "docs", **wrong)
