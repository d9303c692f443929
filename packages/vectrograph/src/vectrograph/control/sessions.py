"""Login sessions in the control database: who is logged in, and which refresh token is the next one."""

import secrets
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, func, select

from vectrograph.control.accounts import user_record
from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database, concerns
from vectrograph.control.database.models import LoginSession, User
from vectrograph.control.records import SessionRecord, StoredPassword, UserRecord
from vectrograph.domain.errors import InvalidCredentials
from vectrograph.domain.quotas import Quotas

# Random bytes of the ids of sessions and refresh tokens: 128 bits, which nobody guesses (OWASP asks for 64).
_ID_BYTES: Final = 16


class Rotation(StrEnum):
    """Outcome of a refresh. ended: the session is over. reused: the token came again; its session is to end."""

    ROTATED = "rotated"
    ENDED = "ended"
    REUSED = "reused"


class LoginSessions:
    """Sessions: start, look up, rotate, end."""

    def __init__(self, database: Database, clock: Clock, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._clock = clock

    def start(self, checked: StoredPassword, lifetime: int) -> SessionRecord:
        """Begin a session of `lifetime` microseconds for an account whose password was just checked.

        Where the account has as many sessions as it may, its oldest login ends.

        Raises:
            InvalidCredentials: the password was changed, or the account disabled or removed, since it was checked.
        """
        at = self._clock()
        login = LoginSession(
            session_id=secrets.token_hex(_ID_BYTES),
            user_id=checked.user.user_id,
            refresh_id=secrets.token_hex(_ID_BYTES),
            created_at=at,
            expires_at=at + lifetime,
        )
        own = LoginSession.user_id == login.user_id
        count = select(func.count()).select_from(LoginSession).where(own)
        with self._database.read() as session:
            is_full = (session.scalar(count) or 0) >= self._quotas.max_sessions
        with self._database.write(invalidates=is_full, routine=True) as session:
            concerns(session, login.user_id)
            user = session.get(User, login.user_id, with_for_update=True)
            if user is None or user.disabled or user.password_hash != checked.encoded:
                raise InvalidCredentials("Incorrect username or password.")
            session.execute(delete(LoginSession).where(own, LoginSession.expires_at <= at))
            surplus = (session.scalar(count) or 0) + 1 - self._quotas.max_sessions
            if is_full and surplus > 0:
                oldest = select(LoginSession.session_id).where(own).order_by(LoginSession.created_at).limit(surplus)
                ended = [*session.scalars(oldest)]
                session.execute(delete(LoginSession).where(LoginSession.session_id.in_(ended)))
            session.add(login)
        return _record(login)

    def find(self, session_id: str) -> tuple[SessionRecord, UserRecord] | None:
        """Return a session that is not over, with its account; None when it is over."""
        query = select(LoginSession, User).join(User).where(LoginSession.session_id == session_id)
        with self._database.read() as session:
            row = session.execute(query).one_or_none()
            if row is None or row[0].expires_at <= self._clock():
                return None
            return _record(row[0]), user_record(row[1])

    def rotate(self, session_id: str, presented: str, lifetime: int) -> tuple[Rotation, SessionRecord | None]:
        """Exchange the refresh token that is due for the next one, and prolong the session to `lifetime` from now.

        Of several callers with the same token one succeeds. Any other token of the session has been used before:
        someone may have copied it, and the caller is to end the whole session, for the thief and for the owner.
        """
        at = self._clock()
        with self._database.write(routine=True) as session:
            login = session.get(LoginSession, session_id, with_for_update=True)
            if login is None or login.expires_at <= at:
                return Rotation.ENDED, None
            if secrets.compare_digest(login.refresh_id, presented):
                login.refresh_id = secrets.token_hex(_ID_BYTES)
                login.expires_at = at + lifetime
                return Rotation.ROTATED, _record(login)
        return Rotation.REUSED, None

    def prolong(self, session_id: str, lifetime: int) -> SessionRecord | None:
        """Let a session last at least `lifetime` microseconds from now; None when it is over."""
        at = self._clock()
        with self._database.write(routine=True) as session:
            login = session.get(LoginSession, session_id, with_for_update=True)
            if login is None or login.expires_at <= at:
                return None
            login.expires_at = max(login.expires_at, at + lifetime)
            return _record(login)

    def end(self, session_id: str) -> None:
        """End a session; all its tokens cease to work at once. One that is over is no error."""
        with self._database.write(invalidates=True, routine=True) as session:
            ended = LoginSession.session_id == session_id
            owner = session.scalar(select(LoginSession.user_id).where(ended))
            if owner is not None:
                concerns(session, owner)
                session.execute(delete(LoginSession).where(ended))


def _record(login: LoginSession) -> SessionRecord:
    return SessionRecord(
        session_id=login.session_id,
        user_id=login.user_id,
        refresh_id=login.refresh_id,
        created_at=login.created_at,
        expires_at=login.expires_at,
    )
