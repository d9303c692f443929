"""Repair: what is derived is rebuilt, what is readable is saved, what is lost is named, nothing is thrown away."""

import random
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from torture.haste import hastened, open_hastily
from torture.seam import Event, observed
from torture.story import Clock

from vectrograph.domain.capabilities import MaintenanceReport, MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionState
from vectrograph.domain.errors import CollectionQuarantined
from vectrograph.domain.points import ChangeKind
from vectrograph.engines.contract.subject import TENANT, everything, found, ids, make, one, put, put_many
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.truth.first_page import COPY

pytestmark = pytest.mark.slow

DOCS = CollectionRef(TENANT, "docs")
OTHER = CollectionRef(TENANT, "other")


def flip(path: Path, wanted: bytes) -> None:
    """Spoil one byte of a payload."""
    content = bytearray(path.read_bytes())
    content[content.index(wanted) + len(wanted) - 2] ^= 1
    path.write_bytes(bytes(content))


def whole(engine: EmbeddedEngine, ref: CollectionRef) -> dict[str, Any]:
    return {
        p.id: (None if p.vector is None else p.vector.tobytes(), p.payload, p.text, p.version, p.created_seq)
        for p in everything(engine, ref)
    }


def repair(engine: EmbeddedEngine) -> MaintenanceReport:
    return engine.maintain(MaintenanceTask.REPAIR, DOCS)


def test_nothing_to_repair(data: Path) -> None:
    with closing(EmbeddedEngine.open(data)) as engine:
        before = whole(engine, DOCS)
        report = engine.maintain(MaintenanceTask.REPAIR)
        assert report.healthy
        assert "nothing to repair" in report.details["docs"]
        assert whole(engine, DOCS) == before


def test_a_spoilt_point_is_lost_alone_and_named(data: Path, homes: dict[str, Path]) -> None:
    with closing(EmbeddedEngine.open(data)) as engine:
        before, seq = whole(engine, DOCS), engine.describe(DOCS).seq
    damaged = homes["docs"] / "points.sqlite"
    flip(damaged, b'{"n":120}')
    spoilt = damaged.read_bytes()
    with closing(EmbeddedEngine.open(data)) as engine:
        assert not engine.maintain(MaintenanceTask.VERIFY).healthy
        report = repair(engine)
        assert not report.healthy
        assert "199 points salvaged, 1 lost: '120'" in report.details["docs"]
        assert engine.describe(DOCS).state is CollectionState.READY
        before.pop("120")
        assert whole(engine, DOCS) == before
        assert engine.count(DOCS) == 199
        last = engine.changes(DOCS, limit=1000).changes[-1]
        assert (last.id, last.kind, last.seq) == ("120", ChangeKind.DELETED, seq + 1)
        assert (homes["docs"] / "damaged-1" / "points.sqlite").read_bytes() == spoilt
        assert put(engine, DOCS, "120", [0.0] * 64).seq == seq + 2
        assert engine.count(OTHER) == 200
    with closing(EmbeddedEngine.open(data)) as engine:
        assert engine.count(DOCS) == 200
        assert engine.maintain(MaintenanceTask.VERIFY).healthy
        assert repair(engine).healthy
        engine.drop(DOCS)
    assert not homes["docs"].exists()


def test_what_cannot_be_read_at_all_is_left_alone(data: Path, homes: dict[str, Path]) -> None:
    damaged = homes["docs"] / "points.sqlite"
    damaged.write_bytes(b"\xff" * damaged.stat().st_size)
    spoilt = damaged.read_bytes()
    with closing(EmbeddedEngine.open(data)) as engine:
        report = repair(engine)
        assert not report.healthy
        assert "backup" in report.details["docs"]
        with pytest.raises(CollectionQuarantined):
            engine.count(DOCS)
        assert engine.count(OTHER) == 200
    assert damaged.read_bytes() == spoilt
    assert not damaged.with_name(COPY).exists()


def test_a_lost_beginning_of_the_file_costs_no_points(data: Path, homes: dict[str, Path]) -> None:
    """The header, the schema, and the counters: none of them is needed to read the points."""
    with closing(EmbeddedEngine.open(data)) as engine:
        before, seq = whole(engine, DOCS), engine.describe(DOCS).seq
    damaged = homes["docs"] / "points.sqlite"
    damaged.write_bytes(b"\xff" * 5000 + damaged.read_bytes()[5000:])
    with closing(EmbeddedEngine.open(data)) as engine:
        report = repair(engine)
        assert report.healthy
        assert "200 points salvaged, 0 lost" in report.details["docs"]
        assert (whole(engine, DOCS), engine.describe(DOCS).seq) == (before, seq)


def test_a_header_that_tells_of_fewer_pages_costs_no_points(data: Path, homes: dict[str, Path]) -> None:
    """Its schema is right, and what can be read by it is not all."""
    with closing(EmbeddedEngine.open(data)) as engine:
        before = whole(engine, DOCS)
    damaged = homes["docs"] / "points.sqlite"
    content = bytearray(damaged.read_bytes())
    pages = int.from_bytes(content[28:32], "big")
    content[28:32] = (pages - 8).to_bytes(4, "big")
    damaged.write_bytes(content)
    with closing(EmbeddedEngine.open(data)) as engine:
        report = repair(engine)
        assert report.healthy
        assert "200 points salvaged, 0 lost" in report.details["docs"]
        assert whole(engine, DOCS) == before


def test_whatever_is_served_after_a_repair_is_as_it_was_written(data: Path, homes: dict[str, Path]) -> None:
    """Bytes are overwritten at random; every point is there, or its loss is told."""
    with closing(EmbeddedEngine.open(data)) as engine:
        before = whole(engine, DOCS)
    damaged = homes["docs"] / "points.sqlite"
    good, record = damaged.read_bytes(), damaged.with_name("last-commit").read_bytes()
    chance = random.Random(11)
    served = 0
    for _ in range(12):
        spoilt = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(100, len(good) - 600)
            spoilt[at : at + 500] = chance.randbytes(500)
        damaged.write_bytes(bytes(spoilt))
        # Those of the same time: the repair before this one has made changes of its own.
        damaged.with_name("index.graph").unlink(missing_ok=True)
        damaged.with_name("last-commit").write_bytes(record)
        with closing(EmbeddedEngine.open(data)) as engine:
            report = repair(engine)
            if engine.describe(DOCS).state is CollectionState.READY:
                after = whole(engine, DOCS)
                assert all(before[name] == point for name, point in after.items())
                lost = before.keys() - after.keys()
                assert report.healthy is not bool(lost)
                if lost:
                    assert f"{len(after)} points salvaged" in report.details["docs"]
                assert engine.count(DOCS) == len(after)
                assert engine.maintain(MaintenanceTask.VERIFY).healthy
                served += len(after)
    assert served > 600


def test_damaged_files_of_the_index_are_told_and_built_anew(tmp_path: Path) -> None:
    with hastened(), closing(open_hastily(tmp_path / "data", Clock())) as engine:
        make(engine, "docs")
        put_many(engine, DOCS, [(f"{n}", (n % 9, n // 9)) for n in range(200)])
    (index,) = (tmp_path / "data").glob("collections/*/index.graph")
    with hastened(), closing(open_hastily(tmp_path / "data", Clock())) as engine:
        wanted = found(engine, DOCS, (3.1, 4.2), 7)
        content = bytearray(index.read_bytes())
        content[len(content) // 2] ^= 1
        index.write_bytes(bytes(content))
        report = engine.maintain(MaintenanceTask.VERIFY)
        assert not report.healthy
        assert "index" in report.details["docs"]
        report = repair(engine)
        assert report.healthy
        assert "rebuilt" in report.details["docs"]
        engine.maintain(MaintenanceTask.FLUSH)
        assert engine.maintain(MaintenanceTask.VERIFY).healthy
        assert found(engine, DOCS, (3.1, 4.2), 7) == wanted


class Interrupted(BaseException):
    """As if the process had died."""


class Interrupter:
    """Ends everything at the n-th call that changes a file."""

    def __init__(self, turns: int) -> None:
        self.turns = turns

    def before(self, event: Event) -> None:
        self.turns -= 1
        if self.turns <= 0:
            raise Interrupted

    def after(self, event: Event) -> None:
        """Nothing."""


def copy_of(data: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(data, place)
    return place


def test_an_interrupted_repair_loses_nothing(data: Path, homes: dict[str, Path], scratch: Path) -> None:
    """Wherever it stops: the next open finds the damaged file or its successor, and a repair finishes the work."""
    flip(homes["docs"] / "points.sqlite", b'{"n":120}')
    reached = 0
    finished = False
    while not finished:
        reached += 1
        place = copy_of(data, scratch / "copy")
        engine = EmbeddedEngine.open(place)
        engine.maintain(MaintenanceTask.VERIFY)
        try:
            with observed(place, Interrupter(reached)):
                repair(engine)
            finished = True
        except Interrupted:
            pass
        engine.close()
        with closing(EmbeddedEngine.open(place)) as again:
            if again.describe(DOCS).state is CollectionState.QUARANTINED or not verified(again):
                repair(again)
            assert sorted(ids(everything(again, DOCS))) == sorted(f"{n}" for n in range(200) if n != 120)
            assert one(again, DOCS, "7").payload == {"n": 7}
        assert list(place.glob("collections/*/damaged-*/points.sqlite"))
    assert reached > 8


def verified(engine: EmbeddedEngine) -> bool:
    return engine.maintain(MaintenanceTask.VERIFY, DOCS).healthy
