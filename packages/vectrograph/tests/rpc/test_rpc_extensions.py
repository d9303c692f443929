"""Extensions of the contract: filters, exact and explained searches, deadlines in the engine, idempotency keys."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import grpc
import pytest

from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import DeadlineExceeded
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTRON_SERVICE_METHODS
from vectrograph.services import Services
from vectrograph.services.points.search import Search

Send = Callable[..., Any]
names = (f"extended-{number}" for number in count())


def refusal(call: Callable[[], Any]) -> tuple[str, str, str]:
    """Return status, message and error code of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code().name, error.details(), dict(error.trailing_metadata())["x-error-code"]


@pytest.fixture
def years(send: Send) -> Iterator[str]:
    """Ten points on a line, each with its year."""
    name = next(names)
    send("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=1))
    points = [pb.Point(id=str(n), vector=[n], payload_json=json.dumps({"year": 1990 + n}).encode()) for n in range(10)]
    send("Upsert", pb.UpsertRequest(collection=name, points=points))
    yield name
    send("DeleteCollection", pb.DeleteCollectionRequest(name=name))


@pytest.mark.parametrize("method", ["Search", "SearchStream"])
def test_a_filter_leaves_only_what_matches(send: Send, years: str, method: str) -> None:
    request = pb.SearchRequest(
        collection=years, vector=[0], top_k=3, filter_json='{"path": "year", "range": {"gte": 1995}}'
    )
    answer = send(method, request)
    results = answer[-1].results if method == "SearchStream" else answer.results
    assert [hit.id for hit in results] == ["5", "6", "7"]


@pytest.mark.parametrize("text", ["{", "[]", '{"path": "a", "near": 1}', '{"path": "a", "eq": 1, "in": [1]}', "1e999"])
def test_a_filter_that_is_none_is_refused_by_its_name(send: Send, years: str, text: str) -> None:
    request = pb.SearchRequest(collection=years, vector=[0], filter_json=text)
    code, message, _ = refusal(lambda: send("Search", request))
    assert (code, message.startswith("filter_json")) == ("INVALID_ARGUMENT", True)


def test_a_plan_comes_when_it_is_asked_for(send: Send, years: str) -> None:
    request = pb.SearchRequest(collection=years, vector=[0], top_k=2)
    plain = send("Search", request)
    assert not plain.HasField("plan")
    request.explain = request.exact = True
    explained = send("Search", request)
    assert list(explained.results) == list(plain.results)
    assert explained.complete
    assert explained.plan.strategy
    assert explained.plan.rows_scanned == 10


def test_exact_and_ef_reach_the_engine(send: Send, years: str, services: Services) -> None:
    seen: list[tuple[bool, int | None]] = []
    engine: Any = services.search._engine
    real = engine.search

    def watched(ref: Any, request: Any, **more: Any) -> Any:
        seen.append((request.exact, request.ef))
        return real(ref, request, **more)

    engine.search = watched
    try:
        send("Search", pb.SearchRequest(collection=years, vector=[0]))
        send("Search", pb.SearchRequest(collection=years, vector=[0], exact=True, ef=77))
    finally:
        engine.search = real
    assert seen == [(False, None), (True, 77)]


# ---------------------------------------------------------------- deadlines


class SlowEngine:
    """Scans for a minute in small pieces, and looks at the deadline between them."""

    def __init__(self) -> None:
        self.pieces = 0
        self.ended = threading.Event()

    def search(self, ref: Any, request: Any, *, deadline: float | None = None) -> Any:
        limit = time.monotonic() + 60
        try:
            while time.monotonic() < limit:
                if deadline is not None and time.monotonic() >= deadline:
                    raise DeadlineExceeded("too late")
                self.pieces += 1
                time.sleep(0.005)
        finally:
            self.ended.set()
        raise AssertionError("nobody stopped the scan")


@pytest.mark.parametrize(("own", "grpcs"), [(150, 60.0), (0, 0.15), (60_000, 0.15)])
def test_no_work_goes_on_after_the_deadline(
    serve: Callable[..., Any], services: Services, store: ControlStore, key: str, own: int, grpcs: float
) -> None:
    slow = SlowEngine()
    engine: Any = slow
    stub = serve(replace(services, search=Search(engine, services.limits, store.feedback)))[1].unary_unary(
        VECTRON_SERVICE_METHODS["Search"].path
    )
    body = pb.SearchRequest(collection="any", vector=[0], timeout_ms=own).SerializeToString()
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        stub(body, metadata=(("x-api-key", key),), timeout=grpcs)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert slow.ended.wait(20)
    assert 0.1 < time.monotonic() - started < 20
    assert slow.pieces > 1
    pieces = slow.pieces
    time.sleep(0.05)
    assert slow.pieces == pieces


# ---------------------------------------------------------------- idempotency


def test_a_repeated_upsert_is_recognised(send: Send, years: str) -> None:
    first = pb.UpsertRequest(collection=years, points=[pb.Point(id="1", vector=[100])])
    named = (("idempotency-key", "attempt-1"),)
    assert send("Upsert", first, metadata=named).upserted == 1
    send("Upsert", pb.UpsertRequest(collection=years, points=[pb.Point(id="1", vector=[200])]))
    assert send("Upsert", first, metadata=named).upserted == 1
    assert list(send("Get", pb.GetRequest(collection=years, id="1")).point.vector) == [200]
    other = pb.UpsertRequest(collection=years, points=[pb.Point(id="1", vector=[300])])
    code, _, name = refusal(lambda: send("Upsert", other, metadata=named))
    assert (code, name) == ("FAILED_PRECONDITION", "IDEMPOTENCY_KEY_REUSED")


def test_a_repeated_delete_is_recognised(send: Send, years: str) -> None:
    request = pb.DeleteRequest(collection=years, id="2")
    named = (("idempotency-key", "attempt-2"),)
    send("Delete", request, metadata=named)
    send("Upsert", pb.UpsertRequest(collection=years, points=[pb.Point(id="2", vector=[5])]))
    send("Delete", request, metadata=named)
    assert send("Get", pb.GetRequest(collection=years, id="2")).point.id == "2"


def test_keys_of_two_callers_never_meet(send: Send, years: str, key_of: Callable[..., str]) -> None:
    admin = key_of(Role.ADMIN)
    named = (("idempotency-key", "attempt-3"),)
    for credential, value in ((None, 1), (admin, 2)):
        request = pb.UpsertRequest(collection=years, points=[pb.Point(id="9", vector=[value])])
        send("Upsert", request, metadata=named, credential=credential)
    assert list(send("Get", pb.GetRequest(collection=years, id="9")).point.vector) == [2]


def test_a_key_may_have_255_characters(send: Send, years: str) -> None:
    request = pb.UpsertRequest(collection=years, points=[pb.Point(id="2", vector=[1])])
    named = (("idempotency-key", "x" * 255),)
    send("Upsert", request, metadata=named)
    send("Delete", pb.DeleteRequest(collection=years, id="2"))
    send("Upsert", request, metadata=named)
    code, _, _ = refusal(lambda: send("Get", pb.GetRequest(collection=years, id="2")))
    assert code == "NOT_FOUND"


@pytest.mark.parametrize("name", ["", "x" * 256, "with space"])
def test_keys_that_are_none_are_refused(send: Send, years: str, name: str) -> None:
    request = pb.UpsertRequest(collection=years, points=[pb.Point(id="1", vector=[1])])
    code, _, _ = refusal(lambda: send("Upsert", request, metadata=(("idempotency-key", name),)))
    assert code == "INVALID_ARGUMENT"
