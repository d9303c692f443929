"""The synchronous twins: what the rewrite changes, what it leaves alone, and what the check finds."""

from pathlib import Path

import pytest

import unasync
from unasync import Pair, Rewriter, Rules, UnusedRuleError

RULES = Rules(
    names={"__aenter__": "__enter__"},
    patterns={r"Async([A-Z]\w*)": r"\1", r"async_(\w+)": r"\1"},
    words={"asynchronous": "synchronous", "An asynchronous": "A synchronous"},
    dropped=("pytestmark = pytest.mark.anyio",),
)

SOURCE = '''"""The asynchronous side of `AsyncDoor`."""

from zoo.async_lock import AsyncLock
from zoo.doors import knock

pytestmark = pytest.mark.anyio


class AsyncDoor:
    """An asynchronous door.

    >>> async with AsyncDoor() as door:
    ...     await door.open(1)
    You need not await the end.
    """

    async def __aenter__(self) -> "AsyncDoor":
        # AsyncLock guards it; await it.
        await self.lock.acquire()
        return self

    async def open(self, rooms: list[int]) -> list[str]:
        async for room in self.rooms():
            knock(room)
        return [await self.enter(room) for room in rooms if (await self.may(room))]

    def name(self) -> str:
        return f"AsyncDoor {await_count} {self.async_name!r}"
'''

TWIN = '''# Generated from async_door.py by tools/unasync.py; do not edit.
"""The synchronous side of `Door`."""

from zoo.doors import knock
from zoo.lock import Lock


class Door:
    """A synchronous door.

    >>> with Door() as door:
    ...     door.open(1)
    You need not await the end.
    """

    def __enter__(self) -> "Door":
        # Lock guards it; await it.
        self.lock.acquire()
        return self

    def open(self, rooms: list[int]) -> list[str]:
        for room in self.rooms():
            knock(room)
        return [self.enter(room) for room in rooms if (self.may(room))]

    def name(self) -> str:
        return f"Door {await_count} {self.name!r}"
'''

PAIR = Pair("packages/zoo/async_door.py", "packages/zoo/door.py")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / PAIR.source
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE)
    unasync.write(tmp_path, [PAIR], RULES)
    return tmp_path


def test_the_twin_reads_as_if_written_by_hand(tree: Path) -> None:
    assert (tree / PAIR.target).read_text() == TWIN
    assert unasync.check(tree, [PAIR], RULES) == []


def test_an_edited_twin_is_stale(tree: Path) -> None:
    target = tree / PAIR.target
    target.write_text(target.read_text().replace("knock(room)", "pass"))
    assert unasync.check(tree, [PAIR], RULES) == [f"stale: {PAIR.target} differs from what its source gives"]


def test_an_edited_source_makes_the_twin_stale(tree: Path) -> None:
    source = tree / PAIR.source
    source.write_text(source.read_text().replace("knock(room)", "pass"))
    assert unasync.check(tree, [PAIR], RULES)
    unasync.write(tree, [PAIR], RULES)
    assert unasync.check(tree, [PAIR], RULES) == []
    assert "pass" in (tree / PAIR.target).read_text()


def test_a_missing_twin_is_stale(tree: Path) -> None:
    (tree / PAIR.target).unlink()
    assert unasync.check(tree, [PAIR], RULES) == [f"stale: {PAIR.target} differs from what its source gives"]


def test_a_twin_without_its_source_is_an_orphan_and_is_removed(tree: Path) -> None:
    orphan = tree / "packages" / "zoo" / "window.py"
    orphan.write_text((tree / PAIR.target).read_text())
    [problem] = unasync.check(tree, [PAIR], RULES)
    assert problem.startswith("orphaned: packages/zoo/window.py")
    unasync.write(tree, [PAIR], RULES)
    assert not orphan.exists()
    assert (tree / PAIR.target).exists()


def test_a_missing_source_is_a_problem_and_no_crash(tree: Path) -> None:
    (tree / PAIR.source).unlink()
    [problem] = unasync.check(tree, [PAIR], RULES)
    assert "async_door.py" in problem


@pytest.mark.parametrize(
    "unused",
    [
        Rules(names={"__anext__": "__next__"}),
        Rules(patterns={r"aio_(\w+)": r"\1"}),
        Rules(words={"eventually": "at once"}),
        Rules(dropped=("import asyncio",)),
    ],
)
def test_a_rule_that_no_line_used_is_an_error(tree: Path, unused: Rules) -> None:
    with pytest.raises(UnusedRuleError) as caught:
        unasync.twins(tree, [PAIR], unused)
    [rule] = unused.all()
    assert rule in str(caught.value)
    assert unasync.check(tree, [PAIR], unused) == [str(caught.value)]


def test_a_twin_that_is_no_python_is_refused(tree: Path) -> None:
    (tree / PAIR.source).write_text("async def def broken: pass\n")
    with pytest.raises(SyntaxError, match=r"door\.py"):
        unasync.twins(tree, [PAIR], RULES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = [i async for i in y]", "x = [i for i in y]"),
        ("return await (await a()).b()", "return (a()).b()"),
        ("call(await x, key=await y)", "call(x, key=y)"),
        ("x = '\x0c'\n\x0cawait y", "x = '\x0c'\n\x0cy"),
        ("awaited = asynchrony", "awaited = asynchrony"),
        ("s = 'async_file.py'", "s = 'file.py'"),
        ("s = f'{await get(1)!r} {{await}} {x:>{width}}'", "s = f'{get(1)!r} {{await}} {x:>{width}}'"),
        ("# unicode: é → AsyncÉ AsyncDoor\nawait ü()", "# unicode: é → AsyncÉ Door\nü()"),
    ],
)
def test_tokens(source: str, expected: str) -> None:
    assert Rewriter(RULES).rewrite(source) == expected


def test_the_twins_of_this_repository_are_fresh() -> None:
    assert unasync.check() == []
