"""The same accounts, reached by their email: how Vectron's users log in, and how they leave."""

from sqlalchemy import delete, select

from vectrograph.control.accounts import keep_an_administrator, user_record
from vectrograph.control.database.connection import Database
from vectrograph.control.database.models import ApiKey, LoginSession, User
from vectrograph.control.records import StoredPassword
from vectrograph.domain.errors import InvalidCredentials


class Mailboxes:
    """Accounts by email, which is stored in lower case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def password(self, email: str) -> StoredPassword | None:
        """An account with its password hash, by lower-case email; None when there is none."""
        with self._database.read() as session:
            user = session.scalars(select(User).where(User.email == email)).one_or_none()
            return None if user is None else StoredPassword(user=user_record(user), encoded=user.password_hash)

    def remove(self, checked: StoredPassword) -> None:
        """Remove an account whose password was just checked, with its sessions and keys; all cease to work at once.

        Raises:
            InvalidCredentials: the account is gone, or its password was changed since it was checked.
            Conflict: it is the last administrator.
        """
        with self._database.write(invalidates=True) as session:
            user = session.get(User, checked.user.user_id, with_for_update=True)
            if user is None or user.password_hash != checked.encoded:
                raise InvalidCredentials("The password was changed meanwhile; log in again.")
            keep_an_administrator(session, user)
            session.execute(delete(LoginSession).where(LoginSession.user_id == user.user_id))
            session.execute(delete(ApiKey).where(ApiKey.owner_id == user.user_id))
            session.delete(user)
