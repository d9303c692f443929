"""Grids of tokens in the control database: their settings, and the numbers of their members."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import Grid, GridMember, GridNumbers
from vectrograph.control.database.reserved_space import RESERVE_PAGES
from vectrograph.control.records import GridRecord
from vectrograph.domain.errors import QuotaExceeded

MAX_GRIDS: Final = 100
"""Grids of one tenant: NeuroGraph's limit."""
MAX_MEMBERS: Final = 1_000_000
"""Tokens in all grids of one tenant together, a token counted in each of its grids. Ten times what was measured; some
40 bytes of the account database each."""
# Numbers of one statement: within the limit of parameters of every database.
_NUMBERS_A_STATEMENT: Final = 500


class ChangedMembers(NamedTuple):
    """A grid after a change of its members, and the tokens that were added or removed."""

    grid: GridRecord
    tokens: tuple[int, ...]


class GridStore:
    """Grids by tenant and number."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, tenant: str, *, bucket_size: float, density_threshold: float, min_field_nodes: int) -> GridRecord:
        """Make an empty grid under the tenant's next number.

        Raises:
            QuotaExceeded: the tenant has as many as there may be.
        """
        with self._database.write(leaving=RESERVE_PAGES, routine=True) as session:
            count = session.scalar(select(func.count()).select_from(Grid).where(Grid.tenant == tenant)) or 0
            if count >= MAX_GRIDS:
                raise QuotaExceeded(
                    f"This tenant has {count} grids and the limit is {MAX_GRIDS}; delete one first.",
                    details={"limit": MAX_GRIDS, "unit": "grids"},
                )
            numbers = session.get(GridNumbers, tenant)
            if numbers is None:
                numbers = GridNumbers(tenant=tenant, last_id=0)
                session.add(numbers)
            numbers.last_id += 1
            row = Grid(
                tenant=tenant,
                grid_id=numbers.last_id,
                bucket_size=bucket_size,
                density_threshold=density_threshold,
                min_field_nodes=min_field_nodes,
                members=0,
                revision=0,
                created_at=self._clock(),
            )
            session.add(row)
            session.flush()
            return _record(row)

    def get(self, tenant: str, grid_id: int) -> GridRecord | None:
        """Return a grid of the tenant; None when there is none of that number."""
        with self._database.read() as session:
            return _found(session, tenant, grid_id)

    def numbers(self, tenant: str) -> list[int]:
        """Return the numbers of all grids of the tenant, ascending."""
        with self._database.read() as session:
            return [*session.scalars(select(Grid.grid_id).where(Grid.tenant == tenant).order_by(Grid.grid_id))]

    def delete(self, tenant: str, grid_id: int) -> GridRecord | None:
        """Remove a grid with its members; returns it as it was, None when there was none."""
        with self._database.write(routine=True) as session:
            found = _found(session, tenant, grid_id)
            if found is not None:
                session.execute(delete(Grid).where(Grid.grid_key == found.key))
            return found

    def add(
        self, tenant: str, grid_id: int, tokens: Sequence[int], *, most: int = MAX_MEMBERS
    ) -> ChangedMembers | None:
        """Add tokens, those that are there already left out; None when there is no such grid.

        Args:
            tenant, grid_id: of the grid.
            tokens: their numbers.
            most: tokens that this grid may have.

        Raises:
            QuotaExceeded: the grid would have more than `most`, or the tenant more than all its grids may have.
        """
        with self._database.write(leaving=RESERVE_PAGES, routine=True) as session:
            found = _found(session, tenant, grid_id)
            if found is None:
                return None
            present: set[int] = set()
            for some in _parts(tokens):
                present.update(session.scalars(_members(found.key, some)))
            new = [token for token in dict.fromkeys(tokens) if token not in present]
            if not new:
                return ChangedMembers(found, ())
            all_members = session.scalar(select(func.sum(Grid.members)).where(Grid.tenant == tenant)) or 0
            _require_room(found.members + len(new), most, f"Grid {grid_id}")
            _require_room(int(all_members) + len(new), MAX_MEMBERS, "All grids of this tenant together")
            session.execute(insert(GridMember), [{"grid_key": found.key, "token_id": token} for token in new])
            return ChangedMembers(_changed(session, found, len(new)), tuple(new))

    def remove(self, grid: GridRecord, tokens: Iterable[int]) -> ChangedMembers | None:
        """Remove tokens, those that are not there left out; None when the grid is gone."""
        removed: list[int] = []
        with self._database.write(routine=True) as session:
            found = _found(session, grid.tenant, grid.grid_id)
            if found is None or found.key != grid.key:
                return None
            for some in _parts(tokens):
                there = [*session.scalars(_members(found.key, some))]
                if there:
                    session.execute(
                        delete(GridMember).where(GridMember.grid_key == found.key, GridMember.token_id.in_(there))
                    )
                    removed += there
            if not removed:
                return ChangedMembers(found, ())
            return ChangedMembers(_changed(session, found, -len(removed)), tuple(removed))

    def members(self, grid: GridRecord) -> tuple[int, NDArray[np.int64]]:
        """Return the numbers of all members, ascending, and the revision of the grid that they are of."""
        with self._database.read() as session:
            revision = session.scalar(select(Grid.revision).where(Grid.grid_key == grid.key))
            rows = session.scalars(
                select(GridMember.token_id).where(GridMember.grid_key == grid.key).order_by(GridMember.token_id)
            ).all()
            return -1 if revision is None else revision, np.array(rows, dtype=np.int64)


def _found(session: Session, tenant: str, grid_id: int) -> GridRecord | None:
    row = session.scalars(select(Grid).where(Grid.tenant == tenant, Grid.grid_id == grid_id)).first()
    return None if row is None else _record(row)


def _changed(session: Session, grid: GridRecord, members: int) -> GridRecord:
    """Count members of a grid that were added or, negative, removed; returns it as it is then."""
    session.execute(
        update(Grid)
        .where(Grid.grid_key == grid.key)
        .values(members=Grid.members + members, revision=Grid.revision + 1)
        .execution_options(synchronize_session=False)
    )
    row = session.get_one(Grid, grid.key, populate_existing=True)
    return _record(row)


def _members(key: int, tokens: Sequence[int]) -> Select[int]:
    return select(GridMember.token_id).where(GridMember.grid_key == key, GridMember.token_id.in_(tokens))


def _parts(tokens: Iterable[int]) -> Iterator[list[int]]:
    numbers = iter(tokens)
    while part := [*islice(numbers, _NUMBERS_A_STATEMENT)]:
        yield part


def _require_room(members: int, most: int, what: str) -> None:
    if members > most:
        raise QuotaExceeded(
            f"{what} would have {members} tokens and the limit is {most}; remove some first.",
            details={"limit": most, "unit": "tokens"},
        )


def _record(row: Grid) -> GridRecord:
    return GridRecord(
        key=row.grid_key,
        tenant=row.tenant,
        grid_id=row.grid_id,
        bucket_size=row.bucket_size,
        density_threshold=row.density_threshold,
        min_field_nodes=row.min_field_nodes,
        members=row.members,
        revision=row.revision,
        created_at=row.created_at,
    )
