"""FINDINGS C1: on a full disk and on a read-only one, the answer, the state and the audit record of every action agree.

The disk is a real one: a small file system in memory, filled to the last byte or mounted again for reading.
"""

import ast
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from services.actions import ACTIONS, EVERY_ACTION, Action, Place, outcome, require_agreement

import vectrograph.services
from vectrograph.control.database.reserved_space import RESERVE_PAGES
from vectrograph.control.records import FeedbackItem
from vectrograph.control.store import ControlStore
from vectrograph.domain.errors import OutOfSpace, StorageReadOnly


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")


@contextmanager
def small_disk(place: Path, mebibytes: int) -> Iterator[Path]:
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as mounted:
        yield mounted


def fill(path: Path) -> None:
    """Take every block of the disk."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def exhaust(place: Place) -> None:
    """Use what a full disk leaves to callers: feedback until it is refused, then entries of the audit record."""
    for size in (64 << 10, 1 << 10):
        item = FeedbackItem(result_id="1", relevance_score=5, clicked=True, position=0, comment="x" * size)
        while stores(place, [item] * 5):
            continue
    while free_pages(place) >= RESERVE_PAGES:
        for _ in range(10):
            place.store.audit.end(place.store.audit.begin(action="test", target="x" * 512, tenant="default"), "ok")
        place.store.audit.move()


def stores(place: Place, items: list[FeedbackItem]) -> bool:
    """Store feedback. Return False when the full disk refused it."""
    with suppress(OutOfSpace):
        place.store.feedback.create(
            tenant="default", collection="tokens", query="q", user_id="admin", context={}, items=items
        )
        return True
    return False


def free_pages(place: Place) -> int:
    with place.store._database.read() as session:
        return int(session.connection().exec_driver_sql("PRAGMA freelist_count").scalar_one())


@EVERY_ACTION
def test_the_disk_is_full(disk: Path, control_template: Path, action: Action) -> None:
    """An action that stores more is refused; everything else is done and recorded."""
    ControlStore.copy_of(control_template, disk / "control.sqlite")
    place = Place.open(disk)
    try:
        made = action.prepare(place)
        fill(disk / "filler")
        exhaust(place)
        before = place.entries(action.audited)
        answer = outcome(place, action, made)
        assert answer == (OutOfSpace.code if action.adds else "ok")
        require_agreement(place, action, made, answer, before)
    finally:
        place.close()
    (disk / "filler").unlink()
    again = Place.open(disk)
    try:
        require_agreement(again, action, made, answer, before)
        # With room again, what was refused is done.
        assert not action.adds or outcome(again, action, made) == "ok"
    finally:
        again.close()


Prepared = dict[str, tuple[Path, Any]]


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory, control_template: Path) -> Iterator[Prepared]:
    """Provide a directory for each action, prepared, on a disk that then became read-only."""
    prepared: Prepared = {}
    with small_disk(tmp_path_factory.mktemp("read-only") / "disk", 256) as disk:
        for action in ACTIONS:
            directory = disk / uuid.uuid4().hex
            directory.mkdir()
            ControlStore.copy_of(control_template, directory / "control.sqlite")
            place = Place.open(directory)
            prepared[action.name] = directory, action.prepare(place)
            place.close()
        mount("-o", "remount,ro", str(disk))
        yield prepared


@EVERY_ACTION
def test_the_disk_is_read_only(read_only: Prepared, action: Action) -> None:
    """Everything that changes something is refused, and nothing is changed."""
    directory, made = read_only[action.name]
    place = Place.open(directory)
    try:
        before = place.entries(action.audited)
        assert outcome(place, action, made) == StorageReadOnly.code
        require_agreement(place, action, made, StorageReadOnly.code, before)
        assert place.entries(action.audited) == before
    finally:
        place.close()


def test_every_recorded_action_is_in_the_table() -> None:
    """A new action that is recorded before it is done needs a line in `ACTIONS`, and has all these tests by that."""
    assert recorded_actions() - {"session.refresh"} == {action.audited for action in ACTIONS} - {""}


def recorded_actions() -> set[str]:
    """Return the names under which the services record what they change."""
    found = {"point.delete"}
    for path in Path(vectrograph.services.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") not in ("noting", "noting_anonymous"):
                continue
            if any(keyword.arg == "or_log" for keyword in node.keywords):
                continue
            position = 1 if node.func.attr == "noting" else 0  # type: ignore[attr-defined]
            names = [part.value for part in ast.walk(node.args[position]) if isinstance(part, ast.Constant)]
            found |= {name for name in names if isinstance(name, str)}
    return found
