"""The control store: one database with accounts, sessions, API keys and feedback."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from sqlalchemy import URL, exc, make_url

from vectrograph.control.accounts import Accounts
from vectrograph.control.api_keys import ApiKeys
from vectrograph.control.audit import AuditLog
from vectrograph.control.cdna import CdnaStates
from vectrograph.control.clock import Clock, now
from vectrograph.control.database.connection import Database
from vectrograph.control.database.copies import Safekeeping
from vectrograph.control.database.schema import bring_to_head
from vectrograph.control.development import DevelopmentStore
from vectrograph.control.feedback import FeedbackLog
from vectrograph.control.grids import GridStore
from vectrograph.control.owners import CollectionOwners
from vectrograph.control.sessions import LoginSessions
from vectrograph.domain.errors import StartupError
from vectrograph.domain.quotas import Quotas

DEFAULT_QUOTAS: Final = Quotas()


class ControlStore:
    """An open control database. Thread-safe.

    Attributes:
        accounts: who there is.
        sessions: who is logged in.
        api_keys: which keys there are.
        feedback: what was said about search results.
        audit: what was done, by whom; only grows.
        owners: who made which collection.
        grids: which grids there are, and which tokens are in them.
        development: whether development mode is on.
        cdna: scales of each tenant, with their history.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock = now,
        safekeeping: Safekeeping | None = None,
        quotas: Quotas = DEFAULT_QUOTAS,
    ) -> None:
        self._database = database
        self._safekeeping = safekeeping
        self.accounts = Accounts(database, clock, quotas)
        self.sessions = LoginSessions(database, clock, quotas)
        self.api_keys = ApiKeys(database, clock, quotas)
        self.feedback = FeedbackLog(database, clock, quotas)
        self.audit = audit
        self.owners = CollectionOwners(database, clock)
        self.grids = GridStore(database, clock)
        self.development = DevelopmentStore(database, clock)
        self.cdna = CdnaStates(database, clock)

    @classmethod
    def open(
        cls,
        url: str | URL,
        directory: Path | None = None,
        *,
        shared: bool | None = None,
        clock: Clock = now,
        operator: bool = False,
        watched: bool = False,
        quotas: Quotas = DEFAULT_QUOTAS,
    ) -> Self:
        """Open a control database, creating or upgrading its tables.

        Args:
            url: SQLAlchemy URL, such as `sqlite:////var/lib/vectrograph/control.sqlite`; of a path with odd characters
                use `sqlite_url`.
            directory: where the journal of the audit record is; beside the file of SQLite unless given.
            shared: whether other processes use the same database; by default true for all but SQLite. In a shared
                database a revocation made elsewhere is seen at once too, for one query for each authentication.
            clock: microseconds since 1970-01-01 UTC.
            quotas: the most that is stored for callers.
            operator: this is a command beside a server, which has the first journal.
            watched: keep record and copies of a SQLite file in `directory`; see `safekeeping`.

        Raises:
            StartupError: `watched`, and the database is not the one that was there, or not whole.
            StartupError: the URL cannot be used, or is not SQLite and there is no `directory`.
            UnsupportedFormat: a newer version wrote the database.
            Unavailable: the database does not answer.
        """
        safekeeping = safekeeping_of(url, directory) if watched and directory is not None else None
        if safekeeping is not None:
            safekeeping.require()
        database = Database(url, shared=shared)
        try:
            bring_to_head(database)
            database.prepare()
            if safekeeping is not None:
                safekeeping.adopt(database.changes)
                database.on_commit = safekeeping.committed
            audit = AuditLog(database, directory or _beside(database), clock, first_journal=int(operator))
        except BaseException:
            database.close()
            raise
        return cls(database, audit, clock, safekeeping, quotas)

    @staticmethod
    def copy_of(template: Path, path: Path) -> None:
        """Begin the SQLite file `path` as a copy of a prepared one that nobody has open; faster than building it.

        Raises:
            StartupError: `path` exists already, or the template is missing or was not closed.
        """
        if _is_hot(template.with_name(f"{template.name}-journal")):
            raise StartupError(f"The prepared control database {template} was not closed; close it before copying it.")
        try:
            with template.open("rb") as source:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(descriptor, "wb") as target:
                    shutil.copyfileobj(source, target)
                    target.flush()
                    os.fsync(target.fileno())
        except OSError as error:
            raise StartupError(
                f"Cannot copy the prepared control database {template} to {path}: {error.strerror}."
            ) from error

    def epoch(self) -> int:
        """Return a number that is another one once a revocation is acknowledged; guards caches of credentials."""
        return self._database.epoch()

    def epoch_of_others(self) -> int:
        """Return a number that is another one once another process has acknowledged a revocation."""
        return self._database.epoch_of_others()

    def on_invalidation(self, call: Callable[[str | None], object]) -> None:
        """Let a function be called whenever this process ends credentials, before that is acknowledged.

        Args:
            call: is given the account that it concerns, None for all. Quick, and waits for nothing.
        """
        self._database.on_invalidation = call

    @property
    def shared(self) -> bool:
        """Return whether servers with other data may use the same database."""
        return self._database.shared

    @property
    def began_before(self) -> bool:
        """Return whether the data directory had accounts before this start; False where nobody watches over the
        database.
        """
        return self._safekeeping is not None and self._safekeeping.began_before

    def after_restoring(self, *, revoke_keys: bool) -> int:
        """End every session, which may have been ended after the copy was made, and every key if wanted.

        Returns:
            How many keys are in force.
        """
        return self.api_keys.after_restoring(revoke=revoke_keys)

    def has_users(self) -> bool:
        """Return whether there is any account at all."""
        return self.accounts.any()

    def close(self) -> None:
        """Move what the audit record still owes the database, and release both."""
        self.audit.close()
        if self._safekeeping is not None:
            self._safekeeping.close()
        self._database.close()


def sqlite_url(path: Path) -> URL:
    """Return the URL of a SQLite file whatever its path holds: `%`, `?`, `#` and the like mean themselves."""
    return URL.create("sqlite", database=str(path.absolute()))


def safekeeping_of(url: str | URL, directory: Path) -> Safekeeping | None:
    """Return the object that watches over the database of a URL; None where it is no SQLite file, and its own operator
    does.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        return None
    if parsed.get_backend_name() != "sqlite" or "uri" in parsed.query or parsed.database in (None, "", ":memory:"):
        return None
    return Safekeeping(Path(str(parsed.database)).absolute(), directory.absolute())


def _is_hot(journal: Path) -> bool:
    """Return whether a rollback journal belongs to a transaction that did not end; one that begins with a zero does
    not.
    """
    try:
        with journal.open("rb") as file:
            return file.read(1) not in (b"", b"\0")
    except FileNotFoundError:
        return False


def _beside(database: Database) -> Path:
    if database.url.get_backend_name() != "sqlite":
        raise StartupError("The audit log of a database that is not SQLite needs a directory for its journal.")
    return Path(str(database.url.database).removeprefix("file:")).absolute().parent
