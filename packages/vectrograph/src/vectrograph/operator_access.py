"""The operator's own way in: whoever may write the data directory manages accounts without logging in."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from vectrograph.control.passwords import Passwords
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import ALL_SCOPES, Role
from vectrograph.domain.errors import StartupError
from vectrograph.services.audit import Audit
from vectrograph.services.call import Call, Principal
from vectrograph.services.users import Users

OPERATOR: Final = Call(Principal("operator", "operator", Role.ADMIN, ALL_SCOPES), "command-line")
_PASSWORD_WORDS: Final = 4


class OperatorDesk:
    """Accounts and the audit record of one control database, with or without a server running on it."""

    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.audit = Audit(store.audit)
        # The collection of tokens of a new tenant is made by the server at its next start.
        self.users = Users(store.accounts, Passwords(), self.audit, lambda _: None)

    def user_id(self, username: str) -> str:
        """The id of an account by its username.

        Raises:
            StartupError: there is none.
        """
        found = self.store.accounts.find(username)
        if found is None:
            raise StartupError(f"There is no account {username!r}; `vectrograph users list` shows those that exist.")
        return found.user_id


@contextmanager
def operator_desk(url: str | URL, directory: Path) -> Iterator[OperatorDesk]:
    """Open the control database of a data directory, making both when missing.

    Raises:
        StartupError: it cannot be used.
    """
    directory.mkdir(parents=True, exist_ok=True)
    store = ControlStore.open(url, directory, operator=True)
    try:
        yield OperatorDesk(store)
    finally:
        store.close()


def random_password() -> str:
    """A password that nobody guesses: 120 random bits in four groups."""
    return "-".join(secrets.token_urlsafe(4)[:5] for _ in range(_PASSWORD_WORDS))
