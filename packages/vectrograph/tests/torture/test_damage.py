"""A few spoilt files; `make torture` spoils a thousand of each kind."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from torture import damage
from torture.damage import (
    DELETED,
    OLDER,
    OLDER_OR_GONE,
    VALUES,
    Victim,
    Way,
    Wrong,
    columns,
    lose_each_file,
    places,
    spoil_columns,
    spoil_derived,
    spoil_schema,
    spoil_truth,
)
from torture.seeds import seed
from torture.story import DOCS, NUMBERS
from vectrograph.engines.embedded.rows.derived_files import DerivedFiles
from vectrograph.engines.embedded.rows.vector_file import VectorFile
from vectrograph.engines.embedded.truth import store
from vectrograph.engines.embedded.truth.schema import FILE_NAME

pytestmark = pytest.mark.slow


@pytest.fixture
def chance() -> random.Random:
    """Of what is spoilt, and how."""
    return random.Random(seed())


@pytest.fixture(scope="module")
def victim(memory: Path) -> Victim:
    """Provide a database as a killed process left it; tests spoil copies."""
    return Victim(memory, random.Random(seed()).randrange(1 << 30))


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """Provide an empty directory, in memory where there is such a thing: nothing here asks whether it is durable."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="vectrograph-", dir=place) as directory:
        yield Path(directory)


def test_spoilt_derived_files_change_no_answer(victim: Victim, chance: random.Random) -> None:
    spoil_derived(victim, chance, 25, lambda _: None)


def test_spoilt_truth_is_set_aside_or_right(victim: Victim, chance: random.Random) -> None:
    assert spoil_truth(victim, chance, 40, lambda _: None).counts.total() == 40


def test_values_of_other_types_are_set_aside_or_found(victim: Victim, chance: random.Random) -> None:
    """FINDINGS C2, a sibling: a bit of a row's header made a float of a time, and reading the log of changes failed."""
    spoil_columns(victim, lambda _: chance.sample(VALUES, 2))


def test_a_spoilt_schema_is_set_aside(victim: Victim, chance: random.Random) -> None:
    """The name of each column, and others: SQLite takes a text with a flipped bit as long as it can be parsed."""
    words = [place for place in places(victim, NUMBERS) if place.name]
    columns = [place for place in words if place.name in _columns_of(victim)]
    assert len(columns) >= 30
    chosen = [*columns, *chance.sample(words, 10)]
    spoilt = spoil_schema(victim, chance, chosen, lambda _: None)
    assert spoilt.counts == {("schema", "set aside"): len(chosen)}


def _columns_of(victim: Victim) -> set[str]:
    return {f"{table} {column}" for table, column in columns(victim.picture / victim.home_of(NUMBERS) / FILE_NAME)}


def test_a_spoilt_first_page_is_set_aside_or_right(victim: Victim, chance: random.Random) -> None:
    chosen = chance.sample(places(victim, DOCS), 30)
    assert spoil_schema(victim, chance, chosen, lambda _: None).counts.total() == 30


def test_no_loss_of_a_file_loses_points_unnoticed(victim: Victim) -> None:
    """FINDINGS C2: every file there is, deleted, emptied, cut, flipped, swapped with an older copy."""
    outcomes = lose_each_file(victim)
    for loss in (
        "points.sqlite-wal deleted",
        "points.sqlite-wal emptied",
        "points.sqlite-wal swapped with an older copy",
        "points.sqlite deleted",
        "points.sqlite emptied",
        "points.sqlite swapped with an older copy",
        "last-commit deleted",
        "last-commit emptied",
    ):
        assert outcomes.counts[loss, "set aside"] == 1, loss
    for loss in ("last-commit swapped with an older copy", "last-commit flipped at 0%", "manifest.json deleted"):
        assert outcomes.counts[loss, "right"] == 1, loss


def test_a_file_of_a_new_kind_needs_a_case(victim: Victim) -> None:
    surprise = victim.picture / "surprise"
    surprise.touch()
    with (
        mock.patch.object(damage, "WAYS", ()),
        pytest.raises(Wrong, match="nobody has thought of the loss of surprise"),
    ):
        lose_each_file(victim)
    surprise.unlink()


@pytest.mark.parametrize("way", [DELETED, OLDER, OLDER_OR_GONE], ids=lambda way: way.name)
@pytest.mark.parametrize(
    "files",
    [
        ("points.sqlite", "points.sqlite-wal"),
        ("points.sqlite", "points.sqlite-wal", "points.sqlite-shm"),
        ("points.sqlite-wal", "last-commit"),
        ("points.sqlite", "index.graph"),
        ("points.sqlite-wal", "index.graph"),
        ("points.sqlite", "manifest.json"),
        ("points.sqlite-wal", "manifest.json"),
        ("last-commit", "manifest.json"),
    ],
    ids=" and ".join,
)
def test_files_that_are_lost_together(victim: Victim, files: tuple[str, ...], way: Way) -> None:
    """FINDINGS C2."""
    copy = victim.lose(way, *(victim.docs / name for name in files))
    assert copy is not None
    harmless = files == ("last-commit", "manifest.json") and way is not DELETED
    assert victim.judge(copy, searching=False) == ("right" if harmless else "set aside")


def test_believing_spoilt_vectors_is_noticed(victim: Victim) -> None:
    with (
        mock.patch.object(damage, "DERIVED", ("vectors-*.f32",)),
        mock.patch.object(VectorFile, "verify"),
        pytest.raises(Wrong),
    ):
        spoil_derived(victim, random.Random(9), 200, lambda _: None)


def test_believing_a_spoilt_log_is_noticed(victim: Victim) -> None:
    """Commits that SQLite forgets silently: without both checks, older answers pass for new ones."""
    with (
        mock.patch.object(damage, "TRUTH", ("points.sqlite-wal",)),
        mock.patch.object(store, "require_whole_log"),
        mock.patch.object(store.Store, "_require_all_of"),
        mock.patch.object(DerivedFiles, "load", return_value=None),
    ):
        with pytest.raises(Wrong, match=r"points\.sqlite-wal"):
            spoil_truth(victim, random.Random(1), 300, lambda _: None)
