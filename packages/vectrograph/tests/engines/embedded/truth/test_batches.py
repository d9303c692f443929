"""Batches of more rows than one statement takes: all of it or nothing, and the same content as from small ones."""

import errno
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.indexed_rows import DIMENSION, DOCS, fill, rows

from vectrograph.domain.errors import InternalError
from vectrograph.domain.points import Change, ChangeKind, Delete, Op, Patch, Point, Put, Vector
from vectrograph.domain.queries import Include
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.truth import batch
from vectrograph.engines.embedded.truth.records import change_checksum
from vectrograph.engines.embedded.truth.schema import MAX_ROWS, insert_rows

POINTS = 200


def content(engine: EmbeddedEngine) -> tuple[dict[str, Any], list[Change], int]:
    """Return points without their vectors, the log, and the seq of a collection."""
    points = [point for point in engine.get(DOCS, [str(n) for n in range(POINTS)]) if point is not None]
    shown = {point.id: point._replace(vector=None, created_at=0, updated_at=0) for point in points}
    log = [change._replace(at=0) for change in engine.changes(DOCS, limit=10_000).changes]
    return shown, log, engine.describe(DOCS).seq


def mixed(vectors: Vector) -> list[Op]:
    """Return operations of every kind, several on one point too."""
    ops: list[Op] = []
    for number, vector in enumerate(vectors):
        ops.append(Put(id=str(number), vector=vector, payload={"n": number}, text=f"text {number}"))
        if number % 3 == 0:
            ops.append(Patch(id=str(number), payload={"patched": number}))
        if number % 7 == 0:
            ops.append(Delete(id=str(number)))
        if number % 14 == 0:
            ops.append(Put(id=str(number), vector=-vector))
    return ops


@pytest.mark.parametrize("limit", [1, 4, 64])
def test_a_batch_in_many_statements_is_the_same_as_in_one(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    vectors = rows(POINTS)
    found = []
    for name, most in (("one", MAX_ROWS * 4), ("many", limit)):
        monkeypatch.setattr(batch, "MAX_ROWS", most)
        with closing(EmbeddedEngine.open(scratch / name)) as engine:
            fill(engine, rows(20, seed=2))
            engine.write(DOCS, mixed(vectors))
            found.append(content(engine))
        with closing(EmbeddedEngine.open(scratch / name)) as engine:
            assert content(engine) == found[-1]
            point = engine.get(DOCS, ["14"], include=Include(vector=True))[0]
            assert isinstance(point, Point)
            assert point.vector is not None
            assert np.array_equal(point.vector, -vectors[14])
    assert found[0] == found[1]


def test_a_batch_whose_middle_fails_leaves_nothing(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_ROWS", 8)
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        fill(engine, rows(20, seed=2))
        before = content(engine)
        with monkeypatch.context() as patch:
            turns = count()

            def fail_at_the_third(rows: int) -> str:
                if next(turns) == 2:
                    raise OSError(errno.EIO, "test")
                return insert_rows(rows)

            patch.setattr(batch, "insert_rows", fail_at_the_third)
            with pytest.raises(InternalError, match="Storage of collection"):
                engine.write(DOCS, [Put(id=str(n), vector=row) for n, row in enumerate(rows(21))])
        assert content(engine) == before
        engine.write(DOCS, [Put(id=str(n), vector=row) for n, row in enumerate(rows(POINTS))])
        assert len(content(engine)[0]) == POINTS
    with closing(EmbeddedEngine.open(scratch / "data")) as engine:
        assert len(content(engine)[0]) == POINTS


def test_statements_are_few_and_stay_prepared() -> None:
    """Every size up to a power of two shares one, and apsw keeps texts of up to 16 KiB."""
    assert len(insert_rows(MAX_ROWS)) < 16_384
    changes = [Change(seq, ChangeKind.DELETED, "a", 1) for seq in range(1, 600)]
    nothing = np.empty((0, DIMENSION), np.float32)
    made = {
        statement
        for count in range(600)
        for statement, _ in batch.Batch(
            at=1, seq=600, next_serial=1, count=0, vectors=nothing, changes=changes[:count]
        ).statements()
    }
    assert len(made) == MAX_ROWS.bit_length()


def test_the_rows_of_a_large_delete_are_made_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delete by filter may have a million: all of them at once would take hundreds of megabytes."""
    made: list[int] = []

    def noted(seq: int, *rest: Any) -> int:
        made.append(seq)
        return change_checksum(seq, *rest)

    monkeypatch.setattr(batch, "change_checksum", noted)
    count = 10 * MAX_ROWS
    changes = [Change(seq, ChangeKind.DELETED, "a", 1) for seq in range(1, count + 1)]
    labels, nothing = list(range(count)), np.empty((0, DIMENSION), np.float32)
    statements = batch.Batch(
        at=1, seq=count, next_serial=1, count=0, vectors=nothing, changes=changes, gone_points=labels,
        gone_vectors=labels,
    ).statements()  # fmt: skip
    next(statements)
    assert len(made) <= MAX_ROWS
    # The labels that go are two rows, however many there are.
    assert 1 + sum(1 for _ in statements) == 11
    assert len(made) == count
