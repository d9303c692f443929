"""Development mode in the control database: on, or ended for good, with the reason."""

from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import Development, LoginSession, User
from vectrograph.domain.access import Role

DEVELOPMENT_USERS: Final = ("admin", "developer", "viewer")
"""Ids of the accounts with published passwords. Ids never change, whatever the accounts are called later."""

# Id of the only row of the table.
_ROW_ID: Final = 1
# Longest reason kept, in characters. Chosen: a sentence or two.
_MAX_REASON_CHARACTERS: Final = 512


class DevelopmentState(StrEnum):
    """undecided: no server has started on this database yet, or only one of a version without this record."""

    UNDECIDED = "undecided"
    ON = "on"
    ENDED = "ended"


class DevelopmentRecord(NamedTuple):
    """The stored state and, once the mode has ended, the reason."""

    state: DevelopmentState
    reason: str


class DevelopmentStore:
    """The stored state of development mode. Once it has ended, nothing turns it on again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self) -> DevelopmentRecord:
        """Return the state. What no start has decided yet is judged from the accounts.

        A database of an earlier version counts as development mode while it holds nothing but the three published
        accounts or some of them, and no administrator has a password of its own.
        """
        with self._database.read() as session:
            row = session.get_one(Development, _ROW_ID)
            state = DevelopmentState(row.state)
            if state is not DevelopmentState.UNDECIDED:
                return DevelopmentRecord(state, row.reason)
            users = session.execute(select(User.user_id, User.role, User.password_is_default)).all()
        if not users:
            return DevelopmentRecord(DevelopmentState.UNDECIDED, "")
        for user_id, role, is_published in users:
            if user_id not in DEVELOPMENT_USERS:
                return DevelopmentRecord(DevelopmentState.ENDED, "there are accounts besides the published ones")
            if role == Role.ADMIN.value and not is_published:
                return DevelopmentRecord(DevelopmentState.ENDED, "the administrator has a password of its own")
        if not any(is_published for _, _, is_published in users):
            return DevelopmentRecord(DevelopmentState.ENDED, "no account has its published password any more")
        return DevelopmentRecord(DevelopmentState.ON, "")

    def begin(self) -> None:
        """Turn the mode on unless it has ended.

        Raises:
            Unavailable: the database does not take it.
        """
        with self._database.write() as session:
            _set(session, DevelopmentState.ON, "", self._clock())

    def end(self, reason: str) -> None:
        """End the mode for good, and with it every session of an account whose published password is in force.

        Raises:
            Unavailable: the database does not take it.
        """
        with self._database.write(invalidates=True) as session:
            end_development(session, reason, self._clock())
            published = select(User.user_id).where(User.password_is_default)
            session.execute(delete(LoginSession).where(LoginSession.user_id.in_(published)))


def end_development(session: Session, reason: str, at: int) -> None:
    """End the mode in the transaction that makes the first real account."""
    _set(session, DevelopmentState.ENDED, reason, at)


def end_for_administrator(session: Session, user: User, at: int) -> None:
    """End the mode when an administrator has a password that nobody published."""
    if user.role == Role.ADMIN.value and not user.password_is_default:
        end_development(session, f"the administrator {user.username} has a password of its own", at)


def is_development(session: Session) -> bool:
    """Return whether the mode is on, as the transaction sees it."""
    return session.get_one(Development, _ROW_ID, with_for_update=True).state == DevelopmentState.ON.value


def has_ended(session: Session) -> bool:
    """Return whether the mode is off for good."""
    return session.get_one(Development, _ROW_ID).state == DevelopmentState.ENDED.value


def _set(session: Session, state: DevelopmentState, reason: str, at: int) -> None:
    session.execute(
        update(Development)
        .where(Development.row_id == _ROW_ID, Development.state != DevelopmentState.ENDED.value)
        .values(state=state.value, reason=reason[:_MAX_REASON_CHARACTERS], changed_at=at)
    )
