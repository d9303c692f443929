"""The operator's own way in: whoever may write the data directory manages accounts without logging in."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from vectrograph.control.database.copies import COPIES, Copy, Safekeeping, is_whole
from vectrograph.control.passwords import Passwords
from vectrograph.control.store import ControlStore, safekeeping_of
from vectrograph.domain.access import ALL_SCOPES, Role
from vectrograph.domain.errors import StartupError
from vectrograph.domain.quotas import Quotas
from vectrograph.engines.embedded.disk.lock import DirectoryLock
from vectrograph.engines.embedded.engine import LOCK_FILE
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.users import Users
from vectrograph.services.call import Call, Principal

OPERATOR: Final = Call(Principal("operator", "operator", Role.ADMIN, ALL_SCOPES), "command-line")
# Groups of five characters in a password that is made: 120 random bits.
_PASSWORD_GROUPS: Final = 4
# Quotas bound what callers store. Whoever may write the data directory is none of them.
_UNBOUNDED: Final = Quotas(max_accounts=2**31)


class OperatorDesk:
    """Accounts and the audit record of one control database, with or without a server running on it."""

    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.audit = Audit(store.audit)
        # The collection of tokens of a new tenant is made by the server at its next start.
        self.users = Users(store.accounts, Passwords(), self.audit, lambda _: None)

    def user_id(self, username: str) -> str:
        """Return the id of an account by its username.

        Raises:
            StartupError: there is none.
        """
        found = self.store.accounts.find(username)
        if found is None:
            raise StartupError(f"There is no account {username!r}; `vectrograph users list` shows all accounts.")
        return found.user_id


@contextmanager
def operator_desk(url: str | URL, directory: Path) -> Iterator[OperatorDesk]:
    """Open the control database of a data directory, making both when missing.

    Raises:
        StartupError: it cannot be used.
    """
    directory.mkdir(parents=True, exist_ok=True)
    store = ControlStore.open(url, directory, operator=True, watched=True, quotas=_UNBOUNDED)
    try:
        yield OperatorDesk(store)
    finally:
        store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Outcome of restoring the accounts.

    Attributes:
        copy: what was put in place.
        replaced: where the database is that was there before, None when there was none.
        missing: changes that the data directory knows of and the copy lacks; None when it knows of none.
        keys: API keys in force now.
    """

    copy: Copy
    replaced: Path | None
    missing: int | None
    keys: int


def restore_accounts(url: str | URL, directory: Path, chosen: Path | None = None, *, revoke_keys: bool) -> Restored:
    """Put a copy in the place of the account database, while no server runs on the directory.

    Args:
        url: of the accounts.
        directory: the data directory.
        chosen: one of its copies; the newest whole one unless given.
        revoke_keys: whether to revoke every API key: what was revoked after the copy was made is in force again.

    Raises:
        StartupError: a server runs, there is no such copy, or the disk refuses.
    """
    keeping = _keeping(url, directory)
    with _alone(directory):
        copies = [copy for copy in keeping.copies() if chosen is None or copy.path == chosen.absolute()]
        if not copies:
            raise StartupError(
                f"There is no such copy in {directory / COPIES}; `vectrograph accounts copies` lists them."
            )
        copy = copies[0] if chosen is not None else next((each for each in copies if is_whole(each)), copies[0])
        record = keeping.recorded()
        missing = None if record is None or record.database != copy.database else record.generation - copy.generation
        replaced = keeping.restore(copy)
        with operator_desk(url, directory) as desk, desk.audit.noting(OPERATOR, "accounts.restore", copy.when):
            keys = desk.store.after_restoring(revoke_keys=revoke_keys)
        return Restored(copy=copy, replaced=replaced, missing=missing, keys=keys)


def accept_accounts(url: str | URL, directory: Path) -> bool:
    """Take the account database as it is, or that there is none (False), for the right one.

    Raises:
        StartupError: a server runs, or the database is damaged.
    """
    keeping = _keeping(url, directory)
    with _alone(directory):
        return keeping.accept()


def copies_of_accounts(url: str | URL, directory: Path) -> list[tuple[Copy, bool]]:
    """Return the copies of the account database, newest first, and whether each is whole."""
    return [(copy, is_whole(copy)) for copy in _keeping(url, directory).copies()]


def _keeping(url: str | URL, directory: Path) -> Safekeeping:
    keeping = safekeeping_of(url, directory)
    if keeping is None:
        raise StartupError("These accounts are not in SQLite but in a database of your own; restore it with its tools.")
    return keeping


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    if not directory.is_dir():
        raise StartupError(f"There is no data directory {directory}.")
    lock = DirectoryLock(directory / LOCK_FILE)
    try:
        yield
    finally:
        lock.release()


def random_password() -> str:
    """Return a password that nobody guesses: 120 random bits in four groups."""
    return "-".join(secrets.token_urlsafe(4)[:5] for _ in range(_PASSWORD_GROUPS))
