"""Spoilt files: deleted, emptied, cut, flipped, overwritten, swapped with an older copy, and the database is opened.

Files that hold no truth may change no answer at all. Where SQLite's own files are spoilt, a collection is set aside or
answers rightly, and all others serve; what slips through unread must be found by `verify`. No collection has fewer
points than were acknowledged, or older ones, without being set aside.
"""

import random
import re
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from torture import oracle
from torture.haste import hastened, open_hastily, walking
from torture.story import DIMENSION, DOCS, NUMBERS, Clock, Story
from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionState
from vectrograph.domain.errors import CollectionQuarantined
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.truth.manifest import Manifest
from vectrograph.engines.embedded.truth.schema import FILE_NAME
from vectrograph.engines.reference import ReferenceEngine

STEPS: Final = 40
_USED: Final = 4096 + 256 * 4 * DIMENSION
_HEADER_BYTES: Final = 100
_PAGE: Final = range(4096)
_LOST: Final = "is older than what was acknowledged"
_OLDER_STEP: Final = STEPS // 2
_FINE: Final = ("set aside", "right")
DERIVED: Final = ("index.graph", "vectors-*.f32")
TRUTH: Final = ("points.sqlite", "points.sqlite-wal", "manifest.json", "last-commit")
HARMLESS: Final = ("points.sqlite-shm", "LOCK", "ballast", "vectrograph.json")
"""Files without which, or with old ones of which, everything is there all the same."""


def kind_of(path: Path) -> str | None:
    """Return the pattern that covers a file of an engine's directory, None for a kind of file that nobody has thought
    of.
    """
    return next((kind for kind in (*DERIVED, *TRUTH, *HARMLESS) if path.match(kind)), None)


class Wrong(AssertionError):
    """A wrong answer, or a crash."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to lose a file, and what it does to one.

    Attributes:
        name: in words.
        act: given the file and an older copy of it, which may not exist; False when there is nothing to lose so.
    """

    name: str
    act: Callable[[Path, Path], bool]


@dataclass(slots=True)
class Outcomes:
    """Number of outcomes, by file and outcome."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


class Victim:
    """A database as a killed process left it, and what it must answer.

    Args:
        home: an empty directory.
        seed: of its story.
    """

    def __init__(self, home: Path, seed: int) -> None:
        self._home = home
        self._clock = Clock()
        self._model = ReferenceEngine(self._clock)
        self._states: list[dict[str, Any]] = []
        self.picture = home / "picture"
        self.older = home / "older"
        story = Story(seed)
        with hastened(), closing(open_hastily(home / "data", self._clock)) as engine:
            for side in (engine, self._model):
                story.begin(side)
            for self._clock.step in range(1, STEPS + 1):
                if self._clock.step == STEPS:
                    engine.maintain(MaintenanceTask.FLUSH)
                    engine._background.worker.close()
                    for collection in engine._catalog.all():
                        collection.upkeep.save(lambda: None)
                for side in (engine, self._model):
                    story.step(side, self._clock.step)
                self._states.append(oracle.state(self._model))
                if self._clock.step == _OLDER_STEP:
                    shutil.copytree(home / "data", self.older, copy_function=_copy_what_is_there)
            # The log has what came last, and the file has not.
            shutil.copytree(home / "data", self.picture)
        self.state = self._states[-1]
        self.answers = oracle.answers(self._model, seed, exact=True)
        self._seed = seed

    def files(self) -> list[Path]:
        """Return all files of the picture, relative to it, of collections only those of `docs`."""
        files = [path for path in self.picture.rglob("*") if path.is_file()]
        kept = [path for path in files if path.parent in (self.picture, self.picture / self.docs)]
        return sorted(path.relative_to(self.picture) for path in kept)

    @property
    def docs(self) -> Path:
        """The directory of the collection `docs`, relative to the picture."""
        return self.home_of(DOCS)

    def home_of(self, ref: CollectionRef) -> Path:
        """Return the directory of a collection, relative to the picture."""
        homes = self.picture.glob("collections/*")
        found = [home for home in homes if Manifest.load(home).spec.ref == ref]
        return found[0].relative_to(self.picture)

    def lose(self, way: Way, *names: Path) -> Path | None:
        """Return a fresh copy in which these files are lost in one way; None when that changes nothing."""
        copy = self._home / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.picture, copy)
        return copy if [way.act(copy / name, self.older / name) for name in names].count(True) else None

    def spoil(self, chance: random.Random, patterns: tuple[str, ...]) -> tuple[Path, Path, str]:
        """Return a fresh copy with one file spoilt; the copy, the file, and what was done to it."""
        copy = self._home / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.picture, copy)
        files = [path for pattern in patterns for path in sorted(copy.glob(f"collections/*/{pattern}"))]
        path = chance.choice([path for path in files if path.stat().st_size])
        return copy, path, _spoil(path, chance)

    def look(self, copy: Path, *, walk: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """State and answers of a copy that must serve whole."""
        with ExitStack() as stack:
            stack.enter_context(hastened())
            engine = stack.enter_context(closing(open_hastily(copy, Clock(STEPS))))
            state = oracle.state(engine)
            if walk:
                engine.maintain(MaintenanceTask.FLUSH)
                stack.enter_context(walking(engine))
            return state, oracle.answers(engine, self._seed, exact=False)

    def judge(self, copy: Path, *, searching: bool = True) -> str:
        """Return what became of a copy whose truth is spoilt: "right", "set aside", "found by verify".

        Args:
            copy: of the database.
            searching: compare the answers of searches too.

        Raises:
            Wrong: a wrong answer that verify does not find either.
        """
        with hastened(), closing(open_hastily(copy, Clock(STEPS))) as engine:
            verdicts = {self._one(engine, str(ref), ref, searching) for ref in (DOCS, NUMBERS)}
            wrong = [verdict for verdict in verdicts if verdict not in _FINE]
            lost = any(_LOST in verdict for verdict in wrong)
            if wrong and (lost or engine.maintain(MaintenanceTask.VERIFY).healthy):
                raise Wrong(wrong[0])
        if wrong:
            return "found by verify"
        return next(verdict for verdict in _FINE if verdict in verdicts)

    def _one(self, engine: EmbeddedEngine, name: str, ref: Any, searching: bool) -> str:
        listed = {str(info.spec.ref): info.state for info in engine.list("default")}
        if listed.get(name) is CollectionState.QUARANTINED:
            return "set aside"
        if name not in listed:
            aside = any(state is CollectionState.QUARANTINED for state in listed.values())
            return "set aside" if aside else f"{name} {_LOST}"
        try:
            found = oracle.collection(engine, ref)
            given = oracle.answers(engine, self._seed, exact=False, refs=(ref,) if searching else ())
        except CollectionQuarantined:
            return "set aside"
        wanted = {question: hits for question, hits in self.answers.items() if question in given}
        unlike = oracle.difference(found, self.state[name]) or oracle.difference(given, wanted)
        if unlike and (found["seq"] < self.state[name]["seq"] or found["counts"] < self.state[name]["counts"]):
            return f"{name} {_LOST}: {unlike}"
        return f"{name}: {unlike}" if unlike else "right"


def _spoil(path: Path, chance: random.Random) -> str:
    size = path.stat().st_size
    # Files of vectors are mostly room to grow, which holds nothing.
    at = chance.randrange(min(size, _USED) if path.suffix == ".f32" and chance.random() < 0.8 else size)
    way = chance.choice(["flip", "flip", "flip", "cut", "overwrite", "empty", "grow"])
    with path.open("r+b") as file:
        file.seek(at)
        match way:
            case "flip":
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << chance.randrange(8)]))
            case "cut":
                file.truncate(at)
            case "overwrite":
                file.write(chance.randbytes(min(512, size - at)))
            case "empty":
                file.truncate(0)
            case "grow":
                file.seek(size)
                file.write(chance.randbytes(chance.randrange(1, 5000)))
    return f"{way} at {at} of {size}"


def spoil_derived(victim: Victim, chance: random.Random, count: int, progress: Callable[[int], None]) -> None:
    """Spoil a derived file so many times: the state and every answer stay.

    Raises:
        Wrong: one did not.
    """
    for number in range(1, count + 1):
        copy, path, way = victim.spoil(chance, DERIVED)
        state, answers = victim.look(copy, walk=number % 2 == 0)
        unlike = oracle.difference(state, victim.state) or oracle.difference(answers, victim.answers)
        if unlike:
            raise Wrong(f"{path.name}, {way}: {unlike}")
        progress(number)


_ROW_NUMBERS: Final = {("state", "one"), ("points", "label"), ("vectors", "label"), ("changes", "seq")}
"""Columns that SQLite itself keeps integers."""
VALUES: Final = (
    None,
    0,
    -1,
    1 << 62,
    8.4e-309,
    float("inf"),
    "word",
    "5",
    b"",
    b"\xff\xfe",
    b"5",
    b"1,2",
    b"[",
    b"null",
)
"""Values of other types, as a flipped bit in the header of a row makes them, and more."""


def spoil_columns(victim: Victim, values: Callable[[str], Sequence[object]]) -> Outcomes:
    """Give every column of every table of the collection `docs` values of other types: set aside, or right, or found
    by verify; then repair it, which leaves no point unnamed that it cannot read.

    Args:
        victim: whose copies are spoilt.
        values: given the name of a column, the values to try.

    Raises:
        Wrong: none of these, or a crash.
    """
    outcomes = Outcomes()
    for table, column in columns(victim.picture / victim.docs / FILE_NAME):
        for value in values(f"{table}.{column}"):
            copy = victim.lose(Way("", _overwrite_column(table, column, value)), victim.docs / FILE_NAME)
            if copy is None:
                continue
            try:
                outcomes.counts[f"{table}.{column}", victim.judge(copy)] += 1
                _require_repairable(copy)
            except Exception as error:
                raise Wrong(f"{table}.{column} = {value!r}: {type(error).__name__}: {error}") from error
    return outcomes


def columns(path: Path) -> list[tuple[str, str]]:
    """Return table and name of every column but those that SQLite itself keeps integers."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        found: Any = connection.execute(
            "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c"
            " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
        ).fetchall()
    return [column for column in found if column not in _ROW_NUMBERS]


def _overwrite_column(table: str, column: str, value: object) -> Callable[[Path, Path], bool]:
    """Return an act that stores a value in one row, whatever the table was declared to hold."""

    def act(path: Path, _: Path) -> bool:
        with closing(apsw.Connection(str(path))) as connection:
            rows: Any = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
            declared = rows[0][0]
            lax = re.sub(r"(?<=\w) (INTEGER|TEXT|BLOB)\b(?! PRIMARY)|NOT NULL|STRICT,?", "", declared)
            _declare(connection, table, lax)
            # Names come from the schema.
            row = f"SELECT {column} FROM {table} LIMIT 1 OFFSET (SELECT count(*) / 2 FROM {table})"  # noqa: S608
            before = connection.execute(row).fetchall()
            change = f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} IS ({row})"  # noqa: S608
            with suppress(apsw.ConstraintError):  # SQLite stores no NULL in the key of a table without row numbers.
                connection.execute(change, (value,))
            after = connection.execute(row).fetchall()
            _declare(connection, table, declared)
        return before != after

    return act


def _declare(connection: apsw.Connection, table: str, declaration: str) -> None:
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (declaration, table))
    connection.execute("PRAGMA writable_schema = RESET")


def _require_repairable(copy: Path) -> None:
    with hastened(), closing(open_hastily(copy, Clock(STEPS))) as engine:
        engine.maintain(MaintenanceTask.REPAIR)
        report = engine.maintain(MaintenanceTask.VERIFY)
        if not report.healthy:
            raise Wrong(f"still damaged after a repair: {report}")


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of the first page of a collection's file, which holds the header and the schema.

    Attributes:
        ref: of the collection.
        name: the word of the schema that begins there, after the name of its table or index; "" for none.
        at: offset in the file.
        schema: whether it is part of the text of the schema.
    """

    ref: CollectionRef
    name: str
    at: int
    schema: bool


def places(victim: Victim, ref: CollectionRef) -> list[Place]:
    """Return every byte of the first page that is used."""
    path = victim.lose(Way("", _fold), victim.home_of(ref) / FILE_NAME)
    assert path is not None
    path = path / victim.home_of(ref) / FILE_NAME
    page = path.read_bytes()[: _PAGE.stop]
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        rows: Any = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    words: dict[int, str] = {}
    for name, text in rows:
        start = page.index(text.encode())
        words.update(dict.fromkeys(range(start, start + len(text)), ""))
        words.update({start + word.start(): f"{name} {word.group()}" for word in re.finditer(r"\w+", text)})
    # The header of the page: https://sqlite.org/fileformat2.html#b_tree_pages
    cells, content = struct.unpack_from(">HH", page, _HEADER_BYTES + 3)
    used = [*range(_HEADER_BYTES + 8 + 2 * cells), *range(content, _PAGE.stop)]
    return [Place(ref, words.get(at, ""), at, at in words) for at in used]


def spoil_schema(
    victim: Victim, chance: random.Random, places: Sequence[Place], progress: Callable[[int], None]
) -> Outcomes:
    """Flip one bit at each of these places: set aside or right, or found by verify; set aside where it is part of the
    schema. A repair brings all of it back.

    Raises:
        Wrong: none of these, or a crash.
    """
    outcomes = Outcomes()
    for number, place in enumerate(places, 1):
        # In words a low bit: another letter of the same kind.
        bit = chance.randrange(4 if place.name else 8)
        path = victim.home_of(place.ref) / FILE_NAME
        copy = victim.lose(Way("", _flip_folded(place.at, bit)), path)
        assert copy is not None
        try:
            outcome = victim.judge(copy, searching=False)
            if place.schema and outcome != "set aside":
                raise Wrong(outcome)
            _require_all_repaired(victim, copy, place.ref)
        except Exception as error:
            raise Wrong(f"{place}, bit {bit}: {type(error).__name__}: {error}") from error
        outcomes.counts["schema" if place.schema else "first page", outcome] += 1
        progress(number)
    return outcomes


def _fold(path: Path, _: Path) -> bool:
    """Bring everything into the file itself: pages in the log hide those of the file."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return True


def _flip_folded(at: int, bit: int) -> Callable[[Path, Path], bool]:
    def act(path: Path, older: Path) -> bool:
        _fold(path, older)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))
        return True

    return act


def _require_all_repaired(victim: Victim, copy: Path, ref: CollectionRef) -> None:
    _require_repairable(copy)
    with hastened(), closing(open_hastily(copy, Clock(STEPS))) as engine:
        unlike = oracle.difference(oracle.collection(engine, ref), victim.state[str(ref)])
        if unlike:
            raise Wrong(f"after a repair: {unlike}")


def spoil_truth(victim: Victim, chance: random.Random, count: int, progress: Callable[[int], None]) -> Outcomes:
    """Spoil a file of SQLite or a manifest so many times: set aside, or right, or found by verify.

    Raises:
        Wrong: none of these.
    """
    outcomes = Outcomes()
    for number in range(1, count + 1):
        copy, path, way = victim.spoil(chance, TRUTH)
        try:
            outcomes.counts[path.name, victim.judge(copy)] += 1
        except Wrong as wrong:
            raise Wrong(f"{path.name}, {way}: {wrong}") from wrong
        progress(number)
    return outcomes


def _copy_what_is_there(source: str, target: str) -> None:
    """Copy a file, unless background work has just replaced it."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


def _delete(path: Path, _: Path) -> bool:
    path.unlink()
    return True


def _cut(share: float) -> Callable[[Path, Path], bool]:
    def act(path: Path, _: Path) -> bool:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.truncate(int(size * share))
        return size > 0

    return act


def _cut_off_the_last_byte(path: Path, _: Path) -> bool:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(max(0, size - 1))
    return size > 0


def _flip(share: float) -> Callable[[Path, Path], bool]:
    def act(path: Path, _: Path) -> bool:
        content = bytearray(path.read_bytes())
        if content:
            content[min(len(content) - 1, int(len(content) * share))] ^= 0x10
            path.write_bytes(content)
        return bool(content)

    return act


def _swap(path: Path, older: Path) -> bool:
    if older.exists():
        shutil.copyfile(older, path)
        return True
    return False


def _swap_or_delete(path: Path, older: Path) -> bool:
    return _swap(path, older) or _delete(path, older)


DELETED: Final = Way("deleted", _delete)
OLDER: Final = Way("swapped with an older copy", _swap)
OLDER_OR_GONE: Final = Way("as it was earlier, or was not yet", _swap_or_delete)
WAYS: Final = (
    DELETED,
    OLDER,
    Way("emptied", _cut(0.0)),
    *(Way(f"cut at {share:.0%}", _cut(share)) for share in (0.3, 0.7)),
    Way("cut by a byte", _cut_off_the_last_byte),
    *(Way(f"flipped at {share:.0%}", _flip(share)) for share in (0.0, 0.4, 1.0)),
)


def lose_each_file(victim: Victim) -> Outcomes:
    """Lose every file of a directory in every way, one at a time.

    Raises:
        Wrong: a file is of no known kind, or its loss made an answer wrong, or was not noticed.
    """
    outcomes = Outcomes()
    for name in victim.files():
        kind = kind_of(name)
        if kind is None:
            raise Wrong(f"nobody has thought of the loss of {name}: add its kind, and what must come of its loss")
        for way in WAYS:
            copy = victim.lose(way, name)
            if copy is None:
                continue
            try:
                outcome = victim.judge(copy, searching=False)
            except Exception as error:
                raise Wrong(f"{name}, {way.name}: {error}") from error
            if outcome != "right" and kind not in TRUTH:
                raise Wrong(f"{name}, {way.name}: {outcome}")
            outcomes.counts[f"{kind} {way.name}", outcome] += 1
    return outcomes
