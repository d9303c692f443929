"""New accounts, made by those who will use them, and the end of an account by its owner's hand."""

import uuid
from typing import Final

from vectrograph.control.accounts import NewUser
from vectrograph.control.passwords import MAX_PASSWORD_BYTES, Passwords
from vectrograph.control.records import UserRecord
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import InvalidArgument, PermissionDenied
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.lockout import Lockout
from vectrograph.services.accounts.rules import (
    validate_email,
    validate_new_password,
    validate_registered_password,
)
from vectrograph.services.call import UNKNOWN_ORIGIN, Call, Origin, Principal

# Longest username, as `sessions` accepts it; who registers with a longer address is named by their id.
_MAX_USERNAME_CHARACTERS: Final = 64


class Registration:
    """Registers accounts by email.

    In development mode registration is open, and a new account is a developer: the demos of both clients register, then
    write. Otherwise only an administrator registers others, and a new account is a viewer until an administrator says
    more. An anonymous caller is then refused before anything is looked up, so that nothing tells who has an account.
    """

    def __init__(
        self, store: ControlStore, passwords: Passwords, audit: Audit, lockout: Lockout, development: Development
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._audit = audit
        self._lockout = lockout
        self._development = development

    def register(
        self, caller: Principal | None, email: str, password: str, origin: Origin = UNKNOWN_ORIGIN
    ) -> UserRecord:
        """Make an account; its username is the email, or its id when the email is long.

        Args:
            caller: whose credentials came with the request, None for an anonymous caller.
            email: local@domain.tld, stored trimmed and in lower case.
            password: 8 to 128 bytes with three of four kinds of characters, and none that anyone would try first.
            origin: where the request came from.

        An administrator's accounts belong to its own tenant, all others to `default`.

        Raises:
            PermissionDenied: registration is by invitation, and the caller is no administrator or may do less than a
                viewer.
            InvalidArgument: email or password is not acceptable.
            AlreadyExists: there is an account of that email.
            Unavailable: too many passwords are being hashed.
        """
        actor = "" if caller is None else caller.user_id
        tenant = DEFAULT_TENANT if caller is None or "users:admin" not in caller.scopes else caller.tenant
        with self._audit.noting_anonymous("user.create", "(no account)", origin, actor=actor, tenant=tenant) as act:
            user = self._register(caller, email, password, tenant)
            act.target = user.username
            return user

    def _register(self, caller: Principal | None, email: str, password: str, tenant: str) -> UserRecord:
        is_open = self._development.is_on()
        if not is_open and (caller is None or "users:admin" not in caller.scopes):
            raise PermissionDenied(
                "Registration is closed; ask an administrator to register you.",
                details={"required_scope": "users:admin"},
            )
        wider = [] if is_open or caller is None else sorted(ROLE_SCOPES[Role.VIEWER] - caller.scopes)
        if wider:
            raise PermissionDenied(
                f"A viewer has more rights than the caller, who lacks {', '.join(wider)}; ask an admin.",
                details={"required_scope": wider[0]},
            )
        address = validate_email(email)
        validate_registered_password(password)
        validate_new_password(password, "password", address)
        user_id = f"user-{uuid.uuid4()}"
        return self._store.accounts.create(
            NewUser(
                user_id=user_id,
                username=address if len(address) <= _MAX_USERNAME_CHARACTERS else user_id,
                role=Role.DEVELOPER if is_open else Role.VIEWER,
                email=address,
                encoded_password=self._passwords.encode(password),
                registered_in_development=is_open,
                tenant=tenant,
            )
        )

    def remove(self, call: Call, password: str) -> None:
        """Remove the caller's own account with its sessions and API keys; all cease to work at once.

        Raises:
            PermissionDenied: the caller holds an API key.
            InvalidArgument: the password is wrong.
            Conflict: it is the last administrator's account.
            RateLimited: too many wrong passwords.
            Unavailable: too many passwords are being hashed.
        """
        if call.principal.session_id is None:
            raise PermissionDenied("An API key cannot remove an account; log in with email and password for this.")
        with self._audit.noting(call, "user.delete", call.principal.user_id):
            self._lockout.begin(call.principal.username, call.origin.address)
            checked = self._store.accounts.password_of(call.principal.user_id)
            # The development accounts and those of NeuroGraph may have longer passwords than registration takes.
            if len(password) > MAX_PASSWORD_BYTES or not self._passwords.matches(checked.encoded, password):
                raise InvalidArgument.of("password", "is not the current password")
            self._lockout.succeed(call.principal.username, call.origin.address)
            self._store.accounts.remove(checked)
