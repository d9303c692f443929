"""Grids: every answer equals that of a plain Python oracle, through edits, deletions and restarts."""

import math
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control.hand_clock import HandClock
from services.house import DIMENSION, House, build, call_as

from vectrograph.control import grids as stored_grids
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import (
    AlreadyExists,
    Cancelled,
    DomainError,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    PointNotFound,
    QuotaExceeded,
    StorageReadOnly,
    TooLarge,
)
from vectrograph.domain.grid import EXPLORER_SCALES, LEVELS, PlacementChange
from vectrograph.domain.log_retention import LogRetention
from vectrograph.domain.points import ChangePage, LogEnd, Put
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.engines.wrapper import Wrapper
from vectrograph.services.call import Call
from vectrograph.services.grid import grids as grids_module
from vectrograph.services.grid.arrays import MEMBER_BYTES
from vectrograph.services.grid.cache import MAX_LOADING
from vectrograph.services.grid.grids import Ball, Grids
from vectrograph.services.points.stored_tokens import Parts, Token

PLACE = Parts(embedding=True, metadata=True, coordinates=True)
SPACES = ("0", "3", "7", "all")


@pytest.fixture
def grids(house: House) -> Grids:
    return house.services.grids


def restarted(house: House) -> Grids:
    """Return the service as it is after a restart: nothing in memory."""
    return Grids(house.engine, house.store.grids, house.services.limits, house.services.audit)


def distance(one: list[float], other: list[float], space: str) -> float:
    """Return the distance as its definition says."""
    levels = range(8) if space == "all" else [int(space)]
    total = 0.0
    for level in levels:
        dx, dy, dz = (one[3 * level + axis] - other[3 * level + axis] for axis in range(3))
        scale = EXPLORER_SCALES[level] if space == "all" else 1.0
        total += scale * scale * ((dx * dx + dy * dy) + dz * dz)
    return math.sqrt(total)


@dataclass
class Oracle:
    """Tokens and members in dictionaries, and the formulas as they are written."""

    tokens: dict[int, Token] = field(default_factory=dict)
    members: set[int] = field(default_factory=set)

    def place(self, token: int) -> list[float]:
        return [axis for axes, _ in self.tokens[token].coordinates.values() for axis in axes]

    def near(self, center: list[float], space: str, radius: float) -> list[tuple[float, int]]:
        found = [(distance(self.place(token), center, space), token) for token in self.members]
        return sorted(pair for pair in found if pair[0] <= radius)

    def influence(self, near: list[tuple[float, int]]) -> float:
        total = 0.0
        for d, token in near:
            placement = self.tokens[token].placement
            if placement.field_radius == 0:
                total += placement.field_strength if d == 0 else 0.0
            elif d <= placement.field_radius:
                total += placement.field_strength * (1 - d / placement.field_radius)
        return total


def check(grids: Grids, call: Call, grid_id: int, oracle: Oracle, draw: random.Random) -> None:
    """Compare the answers to some questions with the oracle's."""
    assert grids.get(call, grid_id)[1] == len(oracle.members)
    for space in SPACES:
        radius = draw.choice([0.1, 3.0, 10.0, 40.0, 1e9])
        center = [draw.choice([0.0, 1.0, draw.uniform(-20, 20)]) for _ in range(24)]
        if oracle.members and draw.random() < 0.5:
            center = oracle.place(draw.choice(sorted(oracle.members)))
        level = 0 if space == "all" else int(space)
        x, y, z = center[3 * level : 3 * level + 3]
        ball = Ball(space=space, radius=radius, point=(x, y, z), center=center if space == "all" else None)
        near = oracle.near(center, space, radius)
        limit, offset = draw.randint(1, 20), draw.choice([0, 0, 3])
        answer = grids.range(call, grid_id, ball, limit, offset)
        assert [(each.distance, each.token_id) for each in answer.results] == near[offset : offset + limit]
        assert answer.total == len(near)
        if space != "all":
            for each in answer.results:
                assert each.position == oracle.place(each.token_id)[3 * level : 3 * level + 3]
        assert grids.influence(call, grid_id, ball).value == pytest.approx(oracle.influence(near), rel=1e-9, abs=1e-12)
        measured = grids.density(call, grid_id, ball)
        assert measured.tokens == len(near)
        if space != "all":
            assert measured.value == pytest.approx(len(near) / (4 / 3 * math.pi * radius**3), rel=1e-12)
        else:
            ball_of_24 = math.pi**12 / math.factorial(12) * radius**24
            assert measured.value == pytest.approx(len(near) / ball_of_24, rel=1e-9)
        if oracle.members:
            token = draw.choice(sorted(oracle.members))
            around = [pair for pair in oracle.near(oracle.place(token), space, radius) if pair[1] != token]
            found = grids.neighbors(call, grid_id, token, space, radius, limit)
            assert [(each.distance, each.token_id) for each in found] == around[:limit]


def placement(draw: random.Random) -> PlacementChange:
    coordinates = {
        name: [draw.choice([0.0, 1.0, draw.uniform(-20, 20)]) for _ in range(3)]
        for name in LEVELS
        if draw.random() < 0.4
    }
    radius = draw.choice([0.0, 1.0, draw.uniform(0, 30)])
    return PlacementChange(coordinates=coordinates, field_radius=radius, field_strength=draw.random())


@pytest.mark.parametrize("seed", range(6))
def test_answers_equal_the_oracle_through_edits_deletions_and_restarts(house: House, call: Call, seed: int) -> None:
    draw, tokens = random.Random(seed), house.services.tokens
    oracle, grids = Oracle(), house.services.grids
    grid_id = grids.create(call).grid_id
    other = grids.create(call).grid_id
    check(grids, call, grid_id, oracle, draw)

    def embedding() -> Any:
        return np.array([draw.gauss(0, 0.02) for _ in range(DIMENSION)], np.float32)

    for step in range(60):
        known, members = sorted(oracle.tokens), sorted(oracle.members)
        act = draw.choice(["make", "make", "add", "add", "remove", "edit", "embed", "delete"]) if known else "make"
        if act == "make":
            made = tokens.create(call, None, {"n": step}, embedding(), placement=placement(draw))
            oracle.tokens[int(made.id)] = made
        elif act == "add":
            some = draw.sample(known, min(len(known), draw.randint(1, 6)))
            outcome = grids.add_many(call, grid_id, [*some, 10**9])
            assert outcome.missing == (10**9,)
            assert set(outcome.added) == set(some) - oracle.members
            assert set(outcome.present) == set(some) & oracle.members
            oracle.members |= set(some)
            grids.add_many(call, other, some)
        elif act == "remove" and members:
            token = draw.choice(members)
            grids.remove(call, grid_id, token)
            oracle.members.discard(token)
        elif act == "edit":
            token = draw.choice(known)
            oracle.tokens[token] = tokens.update(call, token, placement=placement(draw))
        elif act == "embed":
            token = draw.choice(known)
            oracle.tokens[token] = tokens.update(call, token, embedding=embedding())
        elif act == "delete":
            token = draw.choice(known)
            tokens.delete(call, token)
            del oracle.tokens[token]
            oracle.members.discard(token)
        if draw.random() < 0.2:
            grids = restarted(house)
        if draw.random() < 0.5:
            check(grids, call, grid_id, oracle, draw)
    check(grids, call, grid_id, oracle, draw)
    check(restarted(house), call, grid_id, oracle, draw)


def test_many_tokens_over_blocks_and_pages_equal_the_oracle(
    house: House, grids: Grids, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small blocks and pages take every way through the scan that large grids take."""
    monkeypatch.setattr("vectrograph.services.grid.arrays._BLOCK_ROWS", 16)
    monkeypatch.setattr(grids_module, "_READ_TOKENS", 7)
    monkeypatch.setattr(grids_module, "_LOG_ENTRIES", 5)
    draw, oracle, tokens = random.Random(11), Oracle(), house.services.tokens
    grid_id = grids.create(call).grid_id
    for n in range(150):
        # Every fifth stands where another one stands, so that distances are equal.
        change = placement(random.Random(n // 5))
        made = tokens.create(call, None, None, np.full(DIMENSION, 0.01 * (n // 5), np.float32), placement=change)
        oracle.tokens[int(made.id)] = made
    for first in range(1, 151, 15):
        grids.add_many(call, grid_id, [*range(first, first + 15)])
    oracle.members = set(range(1, 151))
    for round_ in range(12):
        check(grids, call, grid_id, oracle, draw)
        for token in draw.sample(sorted(oracle.tokens), 9):
            oracle.tokens[token] = tokens.update(call, token, placement=placement(draw))
        if round_ % 3 == 2:
            gone = draw.sample(sorted(oracle.tokens), 4)
            tokens.delete_many(call, gone)
            for token in gone:
                del oracle.tokens[token]
            oracle.members -= set(gone)


def test_a_field_of_radius_zero_acts_at_its_own_place_only(house: House, grids: Grids, call: Call) -> None:
    point = PlacementChange(coordinates={"L1Physical": [1, 1, 1]}, field_radius=0, field_strength=0.75)
    house.services.tokens.create(call, "here", placement=point)
    grid_id = grids.create(call).grid_id
    grids.add(call, grid_id, 1)
    assert grids.influence(call, grid_id, Ball(point=(1, 1, 1))).value == 0.75
    assert grids.influence(call, grid_id, Ball(point=(1, 1, 1.5))).value == 0.0


def test_an_empty_grid_is_there_and_answers_empty(grids: Grids, call: Call) -> None:
    grid_id = grids.create(call).grid_id
    grid, size = grids.get(call, grid_id)
    assert (grid.grid_id, size, grid.bucket_size, grid.density_threshold, grid.min_field_nodes) == (1, 0, 10.0, 0.5, 3)
    assert (grids.range(call, grid_id, Ball()).results, grids.range(call, grid_id, Ball()).total) == ((), 0)
    assert grids.influence(call, grid_id, Ball(space="all")).value == 0.0
    assert grids.density(call, grid_id, Ball(radius=1e100)).value == 0.0
    with pytest.raises(PointNotFound, match="not in grid 1"):
        grids.neighbors(call, grid_id, 1, "0", 10, 10)


def test_an_immense_radius_has_no_density(house: House, grids: Grids, call: Call) -> None:
    house.services.tokens.create(call, "one")
    grid_id = grids.create(call).grid_id
    grids.add(call, grid_id, 1)
    for space in ("0", "all"):
        measured = grids.density(call, grid_id, Ball(space=space, radius=1e100))
        assert measured.tokens == 1
        assert measured.value == pytest.approx(0.0, abs=1e-299)


def test_numbers_of_grids_are_never_given_again(house: House, grids: Grids, call: Call) -> None:
    assert [grids.create(call).grid_id, grids.create(call, 5, 0.1, 7).grid_id] == [1, 2]
    grids.delete(call, 2)
    with pytest.raises(NotFound, match="Grid 2"):
        grids.delete(call, 2)
    assert grids.create(call).grid_id == 3
    assert restarted(house).numbers(call) == [1, 3]
    acts = [(entry.action, entry.target) for entry in house.store.audit.list(None) if entry.action == "grid.delete"]
    assert ("grid.delete", "grids/2") in acts


def test_adding_twice_and_what_is_not_there(house: House, grids: Grids, call: Call) -> None:
    house.services.tokens.create(call, "one")
    grid_id = grids.create(call).grid_id
    assert grids.add(call, grid_id, 1) == 1
    with pytest.raises(AlreadyExists, match="Token 1 is in grid 1"):
        grids.add(call, grid_id, 1)
    for missing in (2, 0, -1, 2**60):
        with pytest.raises(PointNotFound):
            grids.add(call, grid_id, missing)
        with pytest.raises(PointNotFound):
            grids.remove(call, grid_id, missing)
    for other in (2, 0, -1, 2**40):
        acts: list[Callable[[], object]] = [
            lambda other=other: grids.add(call, other, 1),  # type: ignore[misc]
            lambda other=other: grids.remove(call, other, 1),  # type: ignore[misc]
            lambda other=other: grids.get(call, other),  # type: ignore[misc]
            lambda other=other: grids.neighbors(call, other, 1, "0", 10, 10),  # type: ignore[misc]
            lambda other=other: grids.range(call, other, Ball()),  # type: ignore[misc]
        ]
        for act in acts:
            with pytest.raises(NotFound, match=f"Grid {other} "):
                act()
    grids.remove(call, grid_id, 1)
    assert grids.get(call, grid_id)[1] == 0
    assert house.services.tokens.get(call, 1).text == "one"


@pytest.mark.parametrize(
    ("act", "field_name"),
    [
        (lambda g, c: g.create(c, bucket_size=0.05), "bucket_size"),
        (lambda g, c: g.create(c, bucket_size=math.nan), "bucket_size"),
        (lambda g, c: g.create(c, density_threshold=1.5), "density_threshold"),
        (lambda g, c: g.create(c, min_field_nodes=0), "min_field_nodes"),
        (lambda g, c: g.neighbors(c, 1, 1, "8", 10, 10), "space"),
        (lambda g, c: g.neighbors(c, 1, 1, "", 10, 10), "space"),
        (lambda g, c: g.neighbors(c, 1, 1, "²", 10, 10), "space"),
        (lambda g, c: g.neighbors(c, 1, 1, "0", 0.05, 10), "radius"),
        (lambda g, c: g.neighbors(c, 1, 1, "0", math.inf, 10), "radius"),
        (lambda g, c: g.neighbors(c, 1, 1, "0", 10, 1001), "max_results"),
        (lambda g, c: g.range(c, 1, Ball(), 0), "limit"),
        (lambda g, c: g.range(c, 1, Ball(), 10_001), "limit"),
        (lambda g, c: g.range(c, 1, Ball(), 1, -1), "offset"),
        (lambda g, c: g.range(c, 1, Ball(point=(0, math.nan, 0))), "y"),
        (lambda g, c: g.influence(c, 1, Ball(center=[0.0] * 24)), "center"),
        (lambda g, c: g.influence(c, 1, Ball(space="all", center=[0.0] * 23)), "center"),
        (lambda g, c: g.density(c, 1, Ball(space="all", center=[math.inf] * 24)), "center"),
    ],
)
def test_values_out_of_range_are_named(
    grids: Grids, call: Call, act: Callable[[Grids, Call], object], field_name: str
) -> None:
    grids.create(call)
    with pytest.raises(InvalidArgument) as caught:
        act(grids, call)
    assert caught.value.details["errors"][0]["field"] == field_name


def test_a_place_for_all_spaces_is_that_in_each_of_them(house: House, grids: Grids, call: Call) -> None:
    everywhere = PlacementChange(coordinates={name: [1, 2, 3] for name in LEVELS})
    house.services.tokens.create(call, "same", placement=everywhere)
    grid_id = grids.create(call).grid_id
    grids.add(call, grid_id, 1)
    answer = grids.range(call, grid_id, Ball(space="all", point=(1, 2, 3)))
    assert [each.distance for each in answer.results] == [0.0]
    assert answer.center == (1, 2, 3) * 8


# ---------------------------------------------------------------- who may


def test_another_tenant_sees_and_reaches_nothing(house: House, grids: Grids, call: Call) -> None:
    house.services.tokens.create(call, "one")
    grid_id = grids.create(call).grid_id
    grids.add(call, grid_id, 1)
    stranger = call._replace(principal=call_as().principal.__class__(**{**vars_of(call), "tenant": "other"}))
    house.services.tokens.ensure("other")
    assert grids.numbers(stranger) == []
    acts: list[Callable[[], object]] = [
        lambda: grids.get(stranger, grid_id),
        lambda: grids.delete(stranger, grid_id),
        lambda: grids.add(stranger, grid_id, 1),
        lambda: grids.remove(stranger, grid_id, 1),
        lambda: grids.neighbors(stranger, grid_id, 1, "0", 10, 10),
        lambda: grids.range(stranger, grid_id, Ball()),
        lambda: grids.influence(stranger, grid_id, Ball()),
        lambda: grids.density(stranger, grid_id, Ball()),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()
    assert grids.create(stranger).grid_id == 1
    assert grids.get(call, grid_id)[1] == 1


def vars_of(call: Call) -> dict[str, Any]:
    principal = call.principal
    return {name: getattr(principal, name) for name in ("user_id", "username", "role", "scopes")}


def test_scopes_and_keys_for_other_collections(grids: Grids, call: Call) -> None:
    grids.create(call)
    reader, writer = call_as("grid:read"), call_as("grid:write")
    assert grids.numbers(reader) == [1]
    assert grids.create(writer).grid_id == 2
    with pytest.raises(PermissionDenied, match="grid:write"):
        grids.create(reader)
    with pytest.raises(PermissionDenied, match="grid:read"):
        grids.get(writer, 1)
    principal = call.principal.__class__(**{**vars_of(call), "collections": frozenset({"docs"})})
    with pytest.raises(PermissionDenied, match="tokens"):
        grids.get(call._replace(principal=principal), 1)


# ---------------------------------------------------------------- what it may cost


def test_grids_and_their_tokens_have_quotas(
    house: House, grids: Grids, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_grids, "MAX_GRIDS", 2)
    monkeypatch.setattr(stored_grids, "MAX_MEMBERS", 3)
    for text in ("one", "two", "three"):
        house.services.tokens.create(call, text)
    grids.create(call)
    grids.create(call)
    with pytest.raises(QuotaExceeded, match="2 grids and the limit is 2"):
        grids.create(call)
    grids.add_many(call, 1, [1, 2])
    with pytest.raises(QuotaExceeded, match="4 tokens and the limit is 3"):
        grids.add_many(call, 2, [1, 2])
    assert grids.get(call, 2)[1] == 0
    grids.add(call, 2, 1)
    grids.delete(call, 1)
    grids.add_many(call, 2, [2, 3])
    assert grids.get(call, 2)[1] == 3
    with pytest.raises(TooLarge, match="max_batch"):
        grids.add_many(call, 2, [1] * 21)


def test_memory_of_grids_is_bounded_and_the_oldest_leaves(house: House, call: Call) -> None:
    for text in ("one", "two", "three", "four"):
        house.services.tokens.create(call, text)
    room = 3 * 4_096 + 8 * MEMBER_BYTES
    grids = Grids(house.engine, house.store.grids, house.services.limits, house.services.audit, room)
    for grid_id in range(1, 6):
        grids.create(call)
        grids.add_many(call, grid_id, [1, 2, 3, 4])
    for _ in range(2):
        for grid_id in range(1, 6):
            assert grids.density(call, grid_id, Ball(radius=1e9)).tokens == 4
            assert grids.cache.reserved_bytes <= room
    assert len(grids.cache._grids) == 2


def test_a_grid_that_does_not_fit_into_the_memory_is_refused_with_the_number(house: House, call: Call) -> None:
    for text in ("one", "two", "three"):
        house.services.tokens.create(call, text)
    room = 4_096 + 2 * MEMBER_BYTES
    small = Grids(house.engine, house.store.grids, house.services.limits, house.services.audit, room)
    small.create(call)
    with pytest.raises(QuotaExceeded, match="3 tokens and the limit is 2"):
        small.add_many(call, 1, [1, 2, 3])
    house.services.grids.add_many(call, 1, [1, 2, 3])
    with pytest.raises(QuotaExceeded, match="grid_memory_bytes"):
        small.get(call, 1)
    assert house.services.grids.get(call, 1)[1] == 3


@pytest.fixture
def loaded_slowly(
    house: House, grids: Grids, call: Call, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Provide two events: a grid is being read, and go on."""
    for text in ("one", "two", "three"):
        house.services.tokens.create(call, text)
    for grid_id in (1, 2, 3):
        grids.create(call)
        grids.add_many(call, grid_id, [1, 2, 3])
    begun, go_on = threading.Event(), threading.Event()
    read = house.engine.get

    def slowly(ref: CollectionRef, ids: Any, **options: Any) -> Any:
        if len(ids) == 3:
            begun.set()
            go_on.wait(10)
        return read(ref, ids, **options)

    monkeypatch.setattr(house.engine, "get", slowly)
    yield begun, go_on
    go_on.set()


def test_few_threads_read_grids_or_wait_for_them(
    grids: Grids, call: Call, loaded_slowly: tuple[threading.Event, threading.Event]
) -> None:
    begun, go_on = loaded_slowly
    answers: list[int] = []
    asking = [threading.Thread(target=lambda: answers.append(grids.get(call, 1)[1])) for _ in range(MAX_LOADING)]
    for thread in asking:
        thread.start()
    assert begun.wait(10)
    refused: DomainError | None = None
    for _ in range(100):  # until the second one waits too
        taken = grids.cache._loading._value == 0
        if taken:
            with pytest.raises(Overloaded) as caught:
                grids.get(call, 2)
            refused = caught.value
            break
        threading.Event().wait(0.05)
    assert refused is not None
    assert refused.retry_after == 1.0
    go_on.set()
    for thread in asking:
        thread.join(10)
    assert answers == [3, 3]
    assert grids.get(call, 2)[1] == 3


def test_a_caller_who_leaves_ends_the_reading_and_the_next_one_goes_on(
    house: House, grids: Grids, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grids_module, "_READ_TOKENS", 2)
    for n in range(6):
        house.services.tokens.create(call, f"text {n}")
    grids.create(call)
    grids.add_many(call, 1, [1, 2, 3, 4, 5, 6])
    asked: list[list[str]] = []
    read = house.engine.get

    def noted(ref: CollectionRef, ids: Any, **options: Any) -> Any:
        asked.append([*ids])
        return read(ref, ids, **options)

    monkeypatch.setattr(house.engine, "get", noted)
    leaving = iter([False, False, True])
    monkeypatch.setattr(Call, "refuse_late", lambda _: gone() if next(leaving, False) else None)
    with pytest.raises(Cancelled):
        grids.get(call, 1)
    assert grids.get(call, 1)[1] == 6
    assert asked == [["1", "2"], ["3", "4"], ["5", "6"]]


def gone() -> None:
    raise Cancelled("The caller has left.")


def test_a_disk_without_writes_still_forgets_deleted_tokens(
    house: House, grids: Grids, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("one", "two"):
        house.services.tokens.create(call, text)
    grids.create(call)
    grids.add_many(call, 1, [1, 2])
    assert grids.get(call, 1)[1] == 2
    house.services.tokens.delete(call, 1)

    def refuse(*_: object) -> None:
        raise StorageReadOnly("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(house.store.grids, "remove", refuse)
        assert grids.get(call, 1)[1] == 1
        assert restarted(house).get(call, 1)[1] == 1
    assert restarted(house).get(call, 1)[1] == 1
    grid = house.store.grids.get("default", 1)
    assert grid is not None
    assert grid.members == 1


def test_members_that_another_process_added_are_seen(house: House, grids: Grids, call: Call) -> None:
    for text in ("one", "two"):
        house.services.tokens.create(call, text)
    grids.create(call)
    assert grids.get(call, 1)[1] == 0
    other = restarted(house)
    other.add_many(call, 1, [1, 2])
    assert grids.get(call, 1)[1] == 2
    other.remove(call, 1, 1)
    assert [each.token_id for each in grids.range(call, 1, Ball(radius=1e9)).results] == [2]


def test_a_grid_that_is_read_anew_reads_none_of_the_log(house: House, call: Call) -> None:
    for text in ("one", "two"):
        house.services.tokens.create(call, text)
    house.services.grids.create(call)
    house.services.grids.add_many(call, 1, [1, 2])
    engine = ReadsOfTheLog(house.engine)
    again = Grids(engine, house.store.grids, house.services.limits, house.services.audit)
    assert again.get(call, 1)[1] == 2
    assert again.range(call, 1, Ball(radius=1e9)).total == 2
    assert engine.changes_read == 0
    house.services.tokens.update(call, 1, placement=PlacementChange(coordinates={"L1Physical": [5, 5, 5]}))
    assert again.range(call, 1, Ball(point=(5, 5, 5), radius=0.1)).total == 1
    assert engine.changes_read == 1


class ReadsOfTheLog(Wrapper):
    """Counts the changes that are read from the log."""

    changes_read = 0

    def changes(self, ref: CollectionRef, since: str | LogEnd | None = None, *, limit: int = 1000) -> ChangePage:
        page = self.inner.changes(ref, since, limit=limit)
        self.changes_read += len(page.changes)
        return page


def test_a_log_that_no_longer_reaches_back_reads_the_grid_anew(house: House, grids: Grids, call: Call) -> None:
    house.services.tokens.create(call, "one")
    grids.create(call)
    grids.add(call, 1, 1)
    assert grids.get(call, 1)[1] == 1
    house.services.tokens.update(call, 1, placement=PlacementChange(coordinates={"L1Physical": [5, 5, 5]}))
    for loaded in grids.cache._grids.values():
        loaded.position = "not a position"
    assert [each.distance for each in grids.range(call, 1, Ball(point=(5, 5, 5))).results] == [0.0]


def test_a_grid_that_fell_behind_a_bounded_log_reads_its_tokens_anew(tmp_path: Path, control_url: str) -> None:
    engine = ReferenceEngine(retention=LogRetention(max_changes=3))
    house = build(tmp_path, HandClock(), engine, control=control_url)
    call, tokens = house.login(), house.services.tokens
    for text in ("one", "two", "three"):
        tokens.create(call, text)
    house.services.grids.create(call)
    house.services.grids.add_many(call, 1, [1, 2, 3])
    grids = house.services.grids
    assert grids.get(call, 1)[1] == 3
    tokens.update(call, 1, placement=PlacementChange(coordinates={"L1Physical": [5, 5, 5]}))
    tokens.delete(call, 2)
    for number in range(5):
        tokens.update(call, 3, placement=PlacementChange(coordinates={"L1Physical": [number, 0, 0]}))
    assert [change.id for change in engine.changes(CollectionRef("default", "tokens")).changes] == ["3", "3", "3"]
    assert [each.token_id for each in grids.range(call, 1, Ball(point=(5, 5, 5), radius=0.1)).results] == [1]
    assert [each.token_id for each in grids.range(call, 1, Ball(point=(4, 0, 0), radius=0.1)).results] == [3]
    assert grids.get(call, 1)[1] == 2
    house.services.close()
    house.store.close()


def test_tokens_that_a_vectron_client_stores_move_in_the_grid(house: House, grids: Grids, call: Call) -> None:
    house.services.tokens.create(call, "one")
    grids.create(call)
    grids.add(call, 1, 1)
    payload = {"$grid": {"coordinates": {"L1Physical": [7, 7, 7]}}}
    put = Put(id="1", vector=np.ones(DIMENSION, np.float32), payload=payload)
    assert grids.range(call, 1, Ball(point=(7, 7, 7), radius=0.1)).total == 0
    house.services.points.upsert(call, "tokens", [put])
    assert grids.range(call, 1, Ball(point=(7, 7, 7), radius=0.1)).total == 1
    house.services.points.delete(call, "tokens", "1")
    assert grids.get(call, 1)[1] == 0


def test_everything_is_there_after_the_account_database_was_closed(house: House, call: Call) -> None:
    house.services.tokens.create(call, "one")
    house.services.grids.create(call, 2.5)
    house.services.grids.add(call, 1, 1)
    house.services.close()
    house.store.close()
    again = build(house.directory, HandClock(), house.engine)
    try:
        grid, size = again.services.grids.get(call, 1)
        assert (grid.bucket_size, size) == (2.5, 1)
    finally:
        again.services.close()
        again.store.close()
