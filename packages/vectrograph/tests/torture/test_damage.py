"""A few spoilt files; `make torture` spoils a thousand of each kind."""

import random
from pathlib import Path
from unittest import mock

import pytest

from torture.damage import Victim, Wrong, spoil_derived, spoil_truth
from torture.seeds import seed
from vectrograph.engines.embedded import store
from vectrograph.engines.embedded.files import DerivedFiles
from vectrograph.engines.embedded.graph.vector_file import VectorFile


@pytest.fixture
def chance() -> random.Random:
    """Of what is spoilt, and how."""
    return random.Random(seed())


@pytest.fixture
def victim(tmp_path: Path, chance: random.Random) -> Victim:
    """A database as a killed process left it."""
    return Victim(tmp_path, chance.randrange(1 << 30))


def test_spoilt_derived_files_change_no_answer(victim: Victim, chance: random.Random) -> None:
    spoil_derived(victim, chance, 25, lambda _: None)


def test_spoilt_truth_is_set_aside_or_right(victim: Victim, chance: random.Random) -> None:
    assert spoil_truth(victim, chance, 40, lambda _: None).counts.total() == 40


def test_believing_spoilt_vectors_is_noticed(tmp_path: Path) -> None:
    victim = Victim(tmp_path, 1)
    with mock.patch.object(VectorFile, "verify"), pytest.raises(Wrong):
        spoil_derived(victim, random.Random(1), 200, lambda _: None)


def test_believing_a_spoilt_log_is_noticed(tmp_path: Path) -> None:
    """Whatever SQLite forgets silently: without both checks, older answers pass for new ones."""
    victim = Victim(tmp_path, 1)
    victim._states.clear()
    with (
        mock.patch.object(store, "require_whole_log"),
        mock.patch.object(DerivedFiles, "load", return_value=None),
    ):
        with pytest.raises(Wrong, match=r"points\.sqlite-wal"):
            spoil_truth(victim, random.Random(1), 300, lambda _: None)
