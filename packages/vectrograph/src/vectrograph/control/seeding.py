"""The accounts of development mode, whose passwords are published."""

from typing import Final

from vectrograph.control.accounts import NewUser
from vectrograph.control.passwords import Passwords
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import AlreadyExists

_ACCOUNTS: Final = (
    ("admin", "admin123", "admin@neurograph.dev", Role.ADMIN),
    ("developer", "developer123", "dev@neurograph.dev", Role.DEVELOPER),
    ("viewer", "viewer123", "viewer@neurograph.dev", Role.VIEWER),
)

DEFAULT_PASSWORDS: Final = frozenset(password for _, password, _, _ in _ACCOUNTS)


def seed_development_accounts(store: ControlStore) -> None:
    """Make the accounts admin, developer and viewer where they are missing, and turn development mode on.

    Existing accounts keep what they have.
    """
    passwords = Passwords()
    for username, password, email, role in _ACCOUNTS:
        if store.accounts.password(username) is not None:
            continue
        new = NewUser(
            user_id=username,
            username=username,
            role=role,
            email=email,
            encoded_password=passwords.encode(password),
            password_is_default=True,
        )
        try:
            store.accounts.create(new)
        except AlreadyExists:
            # Another server on the same database seeded at the same moment.
            continue
    store.development.begin()


def default_password_in_force(store: ControlStore) -> list[str]:
    """Return the usernames whose password is still the published one; while there are any, only loopback is safe."""
    return store.accounts.usernames_with_default_password()
