"""SearchStream over an engine that has an index: what the index finds comes first, the exact result last."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from vectrograph.control.store import ControlStore
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance, VectorField
from vectrograph.domain.points import Put
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.index.effort import Route
from vectrograph.engines.embedded.index.graph import ServedGraph
from vectrograph.engines.embedded.upkeep.background import Rhythm
from vectrograph.rpc._pb import vectron_pb as pb
from vectrograph.rpc._pb.methods import VECTRON_SERVICE_METHODS
from vectrograph.services import Services
from vectrograph.services.points.search import Search

ROWS = 400
DIMENSION = 4
BEAM = 50
EAGER = Rhythm(first_rows=(1, 1), swap_rows=1, idle_seconds=1000.0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    path = tmp_path_factory.mktemp("search-stream") / "data"
    engine = EmbeddedEngine.open(
        path, rhythm=EAGER, tune=lambda graph, *_: ServedGraph(graph, BEAM), choose=lambda *_: Route.WALK
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def ask(
    engine: EmbeddedEngine,
    store: ControlStore,
    services: Services,
    serve: Callable[..., tuple[grpc.Server, Any]],
    key: str,
) -> Callable[..., Any]:
    """Call a method of a server over a collection that is indexed whole."""
    ref = CollectionRef("default", "c")
    engine.create(CollectionSpec(ref=ref, fields=(VectorField(dimension=DIMENSION, distance=Distance.EUCLIDEAN),)))
    rows = np.random.default_rng(3).uniform(size=(ROWS, DIMENSION)).astype(np.float32)
    engine.write(ref, [Put(id=str(number), vector=row, payload={}) for number, row in enumerate(rows)])
    engine.maintain(MaintenanceTask.FLUSH)
    channel = serve(replace(services, search=Search(engine, services.limits, store.feedback)))[1]

    def call(name: str, request: Any) -> Any:
        method = VECTRON_SERVICE_METHODS[name]
        stub = channel.unary_stream if method.response_streaming else channel.unary_unary
        answer = stub(method.path, response_deserializer=method.response.FromString)(
            request.SerializeToString(), metadata=(("authorization", f"Bearer {key}"),), timeout=20
        )
        return list(answer) if method.response_streaming else answer

    return call


def question(**fields: Any) -> pb.SearchRequest:
    return pb.SearchRequest(collection="c", vector=[0.1] * DIMENSION, top_k=20, **fields)


def test_the_index_answers_first_and_an_exact_search_last(ask: Callable[..., Any]) -> None:
    quick, whole = ask("SearchStream", question(explain=True))
    assert (quick.plan.index, quick.plan.strategy) == ("hnsw", "graph walk")
    assert (whole.plan.index, whole.plan.rows_scanned) == ("", ROWS)
    assert len(quick.results) == len(whole.results) == 20


def test_each_message_replaces_the_one_before_and_the_last_is_what_an_exact_search_gives(
    ask: Callable[..., Any],
) -> None:
    quick, whole = ask("SearchStream", question(include_vectors=True))
    assert quick == ask("Search", question(include_vectors=True))
    assert whole == ask("Search", question(include_vectors=True, exact=True))


def test_an_exact_search_is_one_message(ask: Callable[..., Any]) -> None:
    assert ask("SearchStream", question(exact=True)) == [ask("Search", question(exact=True))]


def test_messages_have_a_plan_only_when_it_was_asked_for(ask: Callable[..., Any]) -> None:
    assert [message.HasField("plan") for message in ask("SearchStream", question())] == [False, False]
