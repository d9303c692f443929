"""A state machine that does the same to an engine and to the reference engine, and compares every answer."""

# ruff: noqa: S101

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance, IdKind
from vectrograph.domain.errors import DomainError
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.domain.points import IdempotencyKey, Op, Point, Precondition, Vector, WriteResult
from vectrograph.domain.queries import DenseLeg, Include, Order, ScrollRequest, SearchRequest
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.strategies import NAMES, filters, operations, preconditions, vectors
from vectrograph.engines.reference import ReferenceEngine

# Components of the vectors. Chosen: small, so that equal vectors and equal distances are frequent.
DIMENSION = 3
STRINGS = CollectionRef("default", "strings")
NUMBERS = CollectionRef("default", "numbers")

Answer = TypeVar("Answer")

WHOLE = Include(vector=True, payload=True, text=True)

refs = st.sampled_from([STRINGS, NUMBERS])
numbers = st.sampled_from(["1", "2", "3", "10"])
string_ops = operations(DIMENSION, st.sampled_from(NAMES), st.sampled_from(NAMES))
number_ops = operations(DIMENSION, numbers, st.none() | numbers)
includes = st.builds(Include, vector=st.booleans(), payload=st.booleans(), text=st.booleans())
orders = st.builds(Order, key=st.sampled_from(["id", "created", "updated"]), descending=st.booleans())


class EngineMachine(RuleBasedStateMachine):
    """Rules for every verb; `make_engine` is set by `engine_machine`."""

    make_engine: Callable[[], Engine]
    reopen: Callable[[Engine], Engine] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.engine = type(self).make_engine()
        self.model: Engine = ReferenceEngine()
        self.positions: dict[tuple[int, CollectionRef], str] = {}

    def sides(self) -> Iterator[tuple[int, Engine]]:
        """Yield the engine and the model, numbered."""
        return enumerate((self.engine, self.model))

    @initialize(distance=st.sampled_from(Distance))
    def begin(self, distance: Distance) -> None:
        """Two collections, one of each kind of ids."""
        self.distance = distance
        self.create(STRINGS)
        self.create(NUMBERS)

    def create(self, ref: CollectionRef) -> None:
        """Create the same collection on both sides."""
        kind = IdKind.STRING if ref == STRINGS else IdKind.SERIAL
        for engine in (self.engine, self.model):
            engine.create(CollectionSpec.dense(ref, DIMENSION, self.distance, ids=kind))

    def same(self, ask: Callable[[Engine], Answer]) -> Answer | None:
        """Ask both; the answers, or the kinds of refusal, must be equal."""
        given, wanted = _outcome(ask, self.engine), _outcome(ask, self.model)
        assert _comparable(given) == _comparable(wanted)
        return None if isinstance(given, type) else given

    @rule(data=st.data(), ref=refs, condition=preconditions, returning=st.none() | includes)
    def write(
        self, data: st.DataObject, ref: CollectionRef, condition: Precondition | None, returning: Include | None
    ) -> None:
        """Write a batch of anything."""
        choice = string_ops if ref == STRINGS else number_ops
        ops: Sequence[Op] = data.draw(st.lists(choice, max_size=6))
        self.same(lambda engine: engine.write(ref, ops, precondition=condition, returning=returning))

    @rule(data=st.data(), ref=refs, key=st.sampled_from("kl"), body=st.sampled_from("xy"))
    def write_named(self, data: st.DataObject, ref: CollectionRef, key: str, body: str) -> None:
        """Write a batch with an idempotency key that others may have used."""
        ops: Sequence[Op] = data.draw(st.lists(string_ops if ref == STRINGS else number_ops, max_size=2))
        name = IdempotencyKey(principal="p", operation="o", key=key, body_hash=body)
        self.same(lambda engine: engine.write(ref, ops, idempotency=name))

    @rule(ref=refs, names=st.lists(st.sampled_from(NAMES), max_size=4), include=includes)
    def get(self, ref: CollectionRef, names: list[str], include: Include) -> None:
        """Points by id."""
        self.same(lambda engine: engine.get(ref, names, include=include))

    @rule(
        ref=refs,
        queries=st.lists(vectors(DIMENSION), min_size=1, max_size=3),
        k=st.integers(1, 12),
        offset=st.integers(0, 3),
        condition=st.none() | filters,
        bound=st.none() | st.sampled_from([-1.0, 0.0, 0.5, 1.0, 6.0]),
        include=includes,
        exact=st.booleans(),
    )
    def search(
        self,
        ref: CollectionRef,
        queries: list[Vector],
        k: int,
        offset: int,
        condition: Filter | None,
        bound: float | None,
        include: Include,
        exact: bool,
    ) -> None:
        """Neighbours, with everything that narrows them."""
        request = SearchRequest(
            legs=(DenseLeg(vectors=np.stack(queries)),),
            k=k,
            offset=offset,
            filter=condition,
            max_score=bound,
            include=include,
            exact=exact,
        )
        self.same(lambda engine: engine.search(ref, request))

    @rule(ref=refs, order=orders, limit=st.integers(1, 4), condition=st.none() | filters, include=includes)
    def scroll(self, ref: CollectionRef, order: Order, limit: int, condition: Filter | None, include: Include) -> None:
        """All pages; cursors are each engine's own."""
        request = ScrollRequest(limit=limit, order=order, filter=condition, include=include)
        self.same(lambda engine: _all_pages(engine, ref, request))

    @rule(ref=refs, order=orders, limit=st.integers(1, 3), offset=st.integers(0, 4), condition=st.none() | filters)
    def skip(self, ref: CollectionRef, order: Order, limit: int, offset: int, condition: Filter | None) -> None:
        """Two pages, each from an offset."""
        request = ScrollRequest(limit=limit, order=order, offset=offset, filter=condition)
        self.same(lambda engine: _two_pages(engine, ref, request))

    @rule(ref=refs, limit=st.integers(1, 3))
    def follow(self, ref: CollectionRef, limit: int) -> None:
        """Read the log from where its reader was, a page at a time; positions are each engine's own."""
        pages = [engine.changes(ref, self.positions.get((side, ref)), limit=limit) for side, engine in self.sides()]
        for side, page in enumerate(pages):
            self.positions[side, ref] = page.position
        given, wanted = ([(c.seq, c.kind, c.id) for c in page.changes] for page in pages)
        assert given == wanted

    @rule(ref=refs, task=st.sampled_from(MaintenanceTask), all_of_them=st.booleans())
    def maintain(self, ref: CollectionRef, task: MaintenanceTask, all_of_them: bool) -> None:
        """Every task that is offered finds all in order, and changes nothing that can be seen."""
        if task in self.engine.capabilities.maintenance:
            before = [_comparable(_all_pages(self.engine, ref, ScrollRequest(limit=3, include=WHOLE)))]
            assert self.engine.maintain(task, None if all_of_them else ref).healthy
            assert [_comparable(_all_pages(self.engine, ref, ScrollRequest(limit=3, include=WHOLE)))] == before

    @rule(ref=refs, data=st.data())
    def come_too_late(self, ref: CollectionRef, data: st.DataObject) -> None:
        """Expect a passed deadline to stop every verb that takes one, with nothing written."""
        ops: Sequence[Op] = data.draw(st.lists(string_ops if ref == STRINGS else number_ops, min_size=1, max_size=3))
        legs = (DenseLeg(vectors=np.zeros((1, DIMENSION), np.float32)),)
        self.same(lambda engine: engine.write(ref, ops, deadline=0.0))
        self.same(lambda engine: engine.search(ref, SearchRequest(legs=legs, k=1), deadline=0.0))
        self.same(lambda engine: engine.scroll(ref, ScrollRequest(limit=1), deadline=0.0))
        self.same(lambda engine: engine.count(ref, deadline=0.0))

    @rule(ref=refs, dimension=st.sampled_from([0, DIMENSION]))
    def create_again(self, ref: CollectionRef, dimension: int) -> None:
        """Expect a taken name, or an impossible dimension, to be refused."""
        spec = CollectionSpec.dense(ref, dimension, self.distance)
        self.same(lambda engine: engine.create(spec).spec)

    @rule(verb=st.sampled_from(["drop", "describe", "write", "get", "search", "scroll", "count", "changes"]))
    def ask_for_nothing(self, verb: str) -> None:
        """Every verb misses a collection that is not there."""
        self.same(lambda engine: _of_nowhere(engine, verb))

    @rule(tenant=st.sampled_from(["default", "nobody"]))
    def list_all(self, tenant: str) -> None:
        """All collections of a tenant."""
        self.same(lambda engine: [(i.spec, i.state, i.count, i.seq) for i in engine.list(tenant)])

    @rule(ref=refs, condition=filters)
    def count(self, ref: CollectionRef, condition: Filter) -> None:
        """Count the points that match."""
        self.same(lambda engine: engine.count(ref, condition))

    @rule(ref=refs)
    def drop_and_create(self, ref: CollectionRef) -> None:
        """Begin anew under the same name."""
        self.engine.drop(ref)
        self.model.drop(ref)
        self.positions = {key: position for key, position in self.positions.items() if key[1] != ref}
        self.create(ref)

    @precondition(lambda self: type(self).reopen is not None)
    @rule()
    def close_and_open(self) -> None:
        """Expect everything acknowledged to be there."""
        reopen = type(self).reopen
        assert reopen is not None
        self.engine = reopen(self.engine)

    @invariant()
    def totals_agree(self) -> None:
        """Count, versions and the whole log, after every step."""
        for info in self.model.list("default"):
            self.same(partial(_totals, ref=info.spec.ref))

    def teardown(self) -> None:
        """Release the engine."""
        self.engine.close()


def engine_machine(
    make_engine: Callable[[], Engine], *, reopen: Callable[[Engine], Engine] | None = None
) -> type[EngineMachine]:
    """Return a state machine for one engine; its `TestCase` is what pytest collects.

    Args:
        make_engine: makes a fresh, empty engine.
        reopen: closes an engine and opens its data again, for durable ones.
    """
    members: dict[str, Any] = {"make_engine": staticmethod(make_engine)}
    if reopen is not None:
        members["reopen"] = staticmethod(reopen)
    return type("EngineMachine", (EngineMachine,), members)


def _totals(engine: Engine, ref: CollectionRef) -> list[object]:
    info, log = engine.describe(ref), engine.changes(ref).changes
    return [engine.count(ref), info.count, info.seq, [(change.seq, change.kind, change.id) for change in log]]


def _all_pages(engine: Engine, ref: CollectionRef, request: ScrollRequest) -> list[Point]:
    points: list[Point] = []
    while True:
        page = engine.scroll(ref, request)
        points.extend(page.points)
        if page.cursor is None:
            return points
        request = replace(request, cursor=page.cursor)


def _two_pages(engine: Engine, ref: CollectionRef, request: ScrollRequest) -> list[Point]:
    first = engine.scroll(ref, request)
    if first.cursor is None:
        return [*first.points]
    return [*first.points, *engine.scroll(ref, replace(request, cursor=first.cursor)).points]


def _of_nowhere(engine: Engine, verb: str) -> object:
    nowhere = CollectionRef("default", "nowhere")
    legs = (DenseLeg(vectors=np.zeros((1, DIMENSION), np.float32)),)
    arguments: dict[str, tuple[Any, ...]] = {
        "write": ([],),
        "get": (["a"],),
        "search": (SearchRequest(legs=legs, k=1),),
        "scroll": (ScrollRequest(limit=1),),
    }
    return getattr(engine, verb)(nowhere, *arguments.get(verb, ()))


def _outcome(ask: Callable[[Engine], Answer], engine: Engine) -> Answer | type[DomainError]:
    try:
        return ask(engine)
    except DomainError as error:
        return type(error)


def _comparable(answer: Any) -> Any:
    """Return an answer without times, with vectors as bytes, so that == compares it."""
    if isinstance(answer, Point):
        stored = None if answer.vector is None else answer.vector.tobytes()
        return (answer.id, stored, repr(answer.payload), answer.text, answer.version, answer.created_seq)
    if isinstance(answer, WriteResult):
        return (answer.seq, answer.outcomes, answer.replayed, _comparable(answer.points))
    if isinstance(answer, list | tuple):
        return [_comparable(item) for item in answer]
    if hasattr(answer, "hits"):
        return [(_comparable(hit.point), hit.score) for hit in answer.hits]
    return answer
