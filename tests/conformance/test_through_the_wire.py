"""The conformance suite through a real server: the embedded engine seen by Vectron's and NeuroGraph's clients."""

from collections.abc import Iterator

import pytest

from tests.conformance.through_the_wire import ThroughGrpc, ThroughRest
from vectrograph import RunningServer, running
from vectrograph.domain.collections import CollectionRef, Distance, IdKind
from vectrograph.domain.points import Delete, Patch, Put
from vectrograph.domain.queries import Include
from vectrograph.engines.base import Engine
from vectrograph.engines.contract import (
    BadInputContract,
    CollectionContract,
    FilterContract,
    PreconditionContract,
    ScrollContract,
    SearchContract,
    SerialContract,
    WriteContract,
)
from vectrograph.engines.contract.subject import found, make, nearest, one, put, vector
from vectrograph.engines.contract.writing import PAYLOADS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running(max_top_k=10_000) as server:
        yield server


class TestThroughGrpc(
    BadInputContract,
    CollectionContract,
    FilterContract,
    PreconditionContract,
    ScrollContract,
    SearchContract,
    WriteContract,
):
    @pytest.fixture
    def engine(self, server: RunningServer) -> Iterator[ThroughGrpc]:
        with server.vectron() as client:
            engine = ThroughGrpc(server.server.engine, client)
            yield engine
            for tenant in ("default", "someone", "first", "second"):
                for info in server.server.engine.list(tenant):
                    if info.spec.ref.name != "tokens":
                        server.server.engine.drop(info.spec.ref)

    @pytest.mark.parametrize("payload", PAYLOADS)
    def test_any_json_is_a_payload(self, engine: Engine, docs: CollectionRef, payload: dict[str, object]) -> None:
        """As the suite has it, but for the order of keys: a protobuf map has none."""
        put(engine, docs, "a", payload=payload)
        for point in (one(engine, docs, "a"), nearest(engine, docs, (0, 0))[0].point):
            assert repr(sorted((point.payload or {}).items())) == repr(sorted(payload.items()))


class TestThroughRest(SerialContract):
    @pytest.fixture
    def engine(self) -> Iterator[ThroughRest]:
        with running() as server, server.neurograph() as client:
            yield ThroughRest(server.server.engine, client)

    def test_a_token_is_written_read_and_found_over_rest(self, engine: ThroughRest) -> None:
        ref = make(engine, "numbers", distance=Distance.COSINE, ids=IdKind.SERIAL)
        for at in ((1, 0), (0, 1), (1, 1)):
            put(engine, ref, None, at, {"at": list(at)}, "a text of its own")
        assert found(engine, ref, (1, 0)) == ["1", "3", "2"]
        engine.write(ref, [Patch(id="2", payload={"new": True}), Delete(id="1")])
        assert found(engine, ref, (1, 0)) == ["3", "2"]
        point = one(engine, ref, "2")
        assert (point.payload, point.text) == ({"new": True}, "a text of its own")
        assert point.vector is not None
        assert point.vector.tolist() == [0, 1]
        assert engine.count(ref) == 2


def test_the_data_really_travels(server: RunningServer) -> None:
    with server.vectron() as client, server.neurograph() as rest:
        grpc_engine = ThroughGrpc(server.server.engine, client)
        ref = make(grpc_engine, "travels")
        put(grpc_engine, ref, "a", (1, 2))
        found(grpc_engine, ref, (1, 2))
        grpc_engine.get(ref, ["a"], include=Include())
        grpc_engine.drop(ref)
        assert grpc_engine.crossings == 5
        rest_engine = ThroughRest(server.server.engine, rest)
        numbers = make(rest_engine, "numbers", ids=IdKind.SERIAL)
        rest_engine.write(numbers, [Put(id=None, vector=vector(1, 2))])
        assert rest_engine.crossings == 1
