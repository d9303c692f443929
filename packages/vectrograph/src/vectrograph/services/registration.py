"""New accounts, made by those who will use them, and the end of an account by its owner's hand."""

import uuid
from typing import Final

from vectrograph.control.accounts import NewUser
from vectrograph.control.passwords import Passwords
from vectrograph.control.records import UserRecord
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import InvalidArgument, PermissionDenied
from vectrograph.services.account_rules import MAX_PASSWORD_BYTES, admit_email, admit_new_password
from vectrograph.services.call import Call, Principal

_MAX_USERNAME_CHARACTERS: Final = 64


class Registration:
    """Registers accounts by email. A new account is a viewer until an administrator says more.

    Open to everyone in development mode; elsewhere only an administrator registers others. In the closed case a
    stranger is refused before anything is looked up, so that nothing tells who has an account.
    """

    def __init__(self, store: ControlStore, passwords: Passwords, *, is_open: bool) -> None:
        self._store = store
        self._passwords = passwords
        self._is_open = is_open

    def register(self, caller: Principal | None, email: str, password: str) -> UserRecord:
        """Make an account; its username is the email, or its id when the email is long.

        Args:
            caller: whose credentials came with the request, None for a stranger.
            email: local@domain.tld, stored trimmed and in lower case.
            password: 8 to 128 bytes with three of four kinds of characters.

        Raises:
            PermissionDenied: registration is by invitation, and the caller is no administrator.
            InvalidArgument: email or password is not acceptable.
            AlreadyExists: there is an account of that email.
            Unavailable: too many passwords are being hashed.
        """
        if not self._is_open and (caller is None or "users:admin" not in caller.scopes):
            raise PermissionDenied(
                "Registration here is by invitation; ask an administrator to register you.",
                details={"required_scope": "users:admin"},
            )
        address = admit_email(email)
        admit_new_password(password)
        user_id = f"user-{uuid.uuid4()}"
        return self._store.accounts.create(
            NewUser(
                user_id=user_id,
                username=address if len(address) <= _MAX_USERNAME_CHARACTERS else user_id,
                role=Role.VIEWER,
                email=address,
                encoded_password=self._passwords.encode(password),
            )
        )

    def remove(self, call: Call, password: str) -> None:
        """Remove the caller's own account with its sessions and API keys; all cease to work at once.

        Raises:
            PermissionDenied: the caller holds an API key.
            InvalidArgument: the password is wrong.
            Conflict: it is the last administrator's account.
            Unavailable: too many passwords are being hashed.
        """
        if call.principal.session_id is None:
            raise PermissionDenied("An API key cannot remove an account; log in with email and password for this.")
        checked = self._store.accounts.password_of(call.principal.user_id)
        # The development accounts and those of NeuroGraph may have longer passwords than registration takes.
        if len(password) > 8 * MAX_PASSWORD_BYTES or not self._passwords.matches(checked.encoded, password):
            raise InvalidArgument.of("password", "is not the current password")
        self._store.mailboxes.remove(checked)
