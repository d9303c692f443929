"""Reranking and the list of feedback over a real connection."""

from collections.abc import Callable
from itertools import count
from typing import Any

import grpc
import pytest

from vectrograph.domain.access import Role
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb

Send = Callable[..., Any]
names = (f"reranked-{number}" for number in count())


@pytest.fixture
def texts(send: Send) -> str:
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=1, distance="euclidean"))
    points = [pb.Point(id=str(n), vector=[n], payload={"title": "fox" if n == 3 else "stone"}) for n in range(6)]
    send("Upsert", pb.UpsertRequest(collection=name, points=points))
    return name


@pytest.mark.parametrize("method", ["Search", "SearchStream"])
def test_query_alone_changes_nothing_and_rerank_does(send: Send, texts: str, method: str) -> None:
    def found(**more: Any) -> list[tuple[str, float, float]]:
        answer = send(method, pb.SearchRequest(collection=texts, vector=[0], top_k=2, query="a fox", **more))
        last = answer[-1] if isinstance(answer, list) else answer
        return [(hit.id, hit.score, hit.distance) for hit in last.results]

    assert found() == [("0", 0, 0), ("1", 1, 0)]
    assert found(rerank=pb.Rerank(keyword_weight=1.0)) == [("3", 9 - 25, 9), ("0", 0, 0)]
    assert found(rerank=pb.Rerank(keyword_weight=1.0, candidates=3)) == [("0", 0, 0), ("1", 1, 1)]
    boosted = pb.Rerank(keyword_weight=1.0, field_boosts={"body": 2.0})
    assert found(rerank=boosted) == [("0", 0, 0), ("1", 1, 1)]


def test_a_wish_without_words_is_refused(send: Send, texts: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        send("Search", pb.SearchRequest(collection=texts, vector=[0], rerank=pb.Rerank()))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "query" in error.details()


def test_feedback_is_listed_and_moves_points(send: Send, texts: str, key_of: Callable[..., str]) -> None:
    item = pb.FeedbackItem(result_id="4", relevance_score=5, clicked=True, position=4, comment="this one")
    request = pb.SubmitFeedbackRequest(collection=texts, query="stone", feedback_items=[item], context={"a": "b"})
    ids = [send("SubmitFeedback", request).feedback_id for _ in range(3)]
    page = send("ListFeedback", own.ListFeedbackRequest(collection=texts, limit=2))
    [rest] = send("ListFeedback", own.ListFeedbackRequest(collection=texts, cursor=page.cursor)).feedback
    assert {feedback.feedback_id for feedback in [*page.feedback, rest]} == set(ids)
    assert (rest.collection, rest.query, rest.user_id, dict(rest.context)) == (texts, "stone", "developer", {"a": "b"})
    assert list(rest.items) == [item]
    assert 1_600_000_000 < rest.created_at < 10_000_000_000
    assert not send("ListFeedback", own.ListFeedbackRequest(collection=texts, query="fox")).feedback
    wish = pb.Rerank(feedback_weight=2.0)
    answer = send("Search", pb.SearchRequest(collection=texts, vector=[0], top_k=2, query="stone", rerank=wish))
    assert [hit.id for hit in answer.results] == ["4", "0"]

    with pytest.raises(grpc.RpcError) as caught:
        send("ListFeedback", own.ListFeedbackRequest(collection=texts), credential=key_of(Role.VIEWER))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
