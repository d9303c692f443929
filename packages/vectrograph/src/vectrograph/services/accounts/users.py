"""Accounts, as their owners and administrators see them."""

import builtins
import re
import secrets
from collections.abc import Callable
from typing import Final

from vectrograph.control.accounts import Accounts, NewUser
from vectrograph.control.passwords import Passwords
from vectrograph.control.records import UserRecord
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import InvalidArgument, PermissionDenied
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.rules import validate_new_password
from vectrograph.services.call import Call

PLANS: Final = frozenset({"FREE", "PAID", ""})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,180}\.[^@\s.\x00-\x1f]{1,63}")
# Longest full name. Chosen: room for any name of a person.
_MAX_FULL_NAME_CHARACTERS: Final = 200


class Users:
    """Accounts. An administrator manages those of its own tenant; one of the tenant `default`, those of all.

    Nobody gives away or takes over more than they hold themselves: an API key with `users:admin` alone can disable
    anyone, but can neither make an administrator nor set the password of one.
    """

    def __init__(
        self, accounts: Accounts, passwords: Passwords, audit: Audit, prepare_tenant: Callable[[str], object]
    ) -> None:
        """`prepare_tenant` makes what a tenant needs before its first account can work; again is no error."""
        self._accounts = accounts
        self._prepare_tenant = prepare_tenant
        self._passwords = passwords
        self._audit = audit

    def create(
        self,
        call: Call,
        *,
        username: str,
        password: str,
        role: str,
        email: str | None = None,
        full_name: str | None = None,
        tenant: str | None = None,
    ) -> UserRecord:
        """Make an account that can log in at once; `tenant` None is the caller's own.

        Raises:
            PermissionDenied: users:admin is missing, the role is wider than the caller, or the tenant is not its own.
            InvalidArgument: a name, the role, the email or the password is not acceptable.
            AlreadyExists: the username or email is taken.
        """
        with self._audit.noting(call, "user.create", username):
            call.require("users:admin")
            wanted = _role(role)
            _refuse_wider(call, wanted)
            home = _tenant(call, tenant)
            _validate_identity(username, email, full_name)
            validate_new_password(password, "password", username)
            new = NewUser(
                user_id=f"user-{secrets.token_hex(8)}",
                username=username,
                role=wanted,
                encoded_password=self._passwords.encode(password),
                email=email,
                full_name=full_name,
                tenant=home,
            )
            self._prepare_tenant(home)
            return self._accounts.create(new)

    def list(self, call: Call) -> builtins.list[UserRecord]:
        """Return the accounts that the caller manages, by username.

        Raises:
            PermissionDenied: users:admin is missing.
        """
        with self._audit.noting(call, "user.list", "", or_log=True):
            call.require("users:admin")
            return self._accounts.list(call.principal.governed_tenant)

    def get(self, call: Call, user_id: str) -> UserRecord:
        """Return one account.

        Raises:
            PermissionDenied: users:admin is missing.
            UserNotFound: there is none of that id among those the caller manages.
        """
        with self._audit.noting(call, "user.get", user_id, or_log=True):
            call.require("users:admin")
            return self._accounts.get(user_id, call.principal.governed_tenant)

    def set_role(self, call: Call, user_id: str, role: str) -> UserRecord:
        """Give an account another role, effective at once for its sessions and keys.

        Raises:
            PermissionDenied: users:admin is missing, or the old or new role is wider than the caller.
            UserNotFound: there is none of that id among those the caller manages.
            InvalidArgument: there is no such role, or the account is the caller's own.
            Conflict: it is the last administrator.
        """
        with self._audit.noting(call, "user.role", f"{user_id} {role}"):
            self._require_changeable(call, user_id)
            _refuse_own(call, user_id, "change its role")
            wanted = _role(role)
            _refuse_wider(call, wanted)
            return self._accounts.set_role(user_id, wanted, call.principal.governed_tenant)

    def set_password(self, call: Call, user_id: str, password: str) -> UserRecord:
        """Give an account a new password and end all its sessions at once. Its API keys go on.

        Raises:
            PermissionDenied: users:admin is missing, or the account's role is wider than the caller.
            UserNotFound: there is none of that id among those the caller manages.
            InvalidArgument: the password may not be chosen.
        """
        with self._audit.noting(call, "user.password", user_id):
            user = self._require_changeable(call, user_id)
            validate_new_password(password, "password", user.username)
            encoded = self._passwords.encode(password)
            return self._accounts.set_password(user_id, encoded, call.principal.governed_tenant)

    def delete(self, call: Call, user_id: str) -> None:
        """Remove an account with its sessions and keys, at once; what it stored stays with its tenant.

        Raises:
            PermissionDenied: users:admin is missing.
            UserNotFound: there is none of that id among those the caller manages.
            InvalidArgument: the account is the caller's own.
            Conflict: it is the last administrator.
        """
        with self._audit.noting(call, "user.delete", user_id):
            call.require("users:admin")
            _refuse_own(call, user_id, "delete it")
            self._accounts.delete(user_id, call.principal.governed_tenant)

    def set_disabled(self, call: Call, user_id: str, disabled: bool) -> UserRecord:
        """Disable an account, so that its sessions and keys cease to work at once, or enable it again.

        Raises:
            PermissionDenied: users:admin is missing.
            UserNotFound: there is no such account among those the caller manages.
            InvalidArgument: the caller would disable itself.
            Conflict: it is the last administrator.
        """
        with self._audit.noting(call, "user.disable" if disabled else "user.enable", user_id):
            call.require("users:admin")
            if disabled:
                _refuse_own(call, user_id, "disable it")
            return self._accounts.set_disabled(user_id, disabled, call.principal.governed_tenant)

    def set_plan(self, call: Call, plan: str) -> UserRecord:
        """Store the caller's own plan; "" is unspecified. A plan changes no limit.

        Raises:
            PermissionDenied: the caller holds an API key without collections:write.
            InvalidArgument: there is no such plan.
        """
        if call.principal.key_id is not None:
            call.require("collections:write")
        if plan not in PLANS:
            raise InvalidArgument.of("plan", "must be FREE, PAID or empty", "enum")
        return self._accounts.set_plan(call.principal.user_id, plan)

    def _require_changeable(self, call: Call, user_id: str) -> UserRecord:
        call.require("users:admin")
        user = self._accounts.get(user_id, call.principal.governed_tenant)
        _refuse_wider(call, user.role)
        return user


def _role(name: str) -> Role:
    """Return the role of that name."""
    try:
        return Role(name)
    except ValueError as error:
        known = ", ".join(role.value for role in Role)
        raise InvalidArgument.of("role", f"must be one of {known}", "enum") from error


def _refuse_wider(call: Call, role: Role) -> None:
    wider = sorted(ROLE_SCOPES[role] - call.principal.scopes)
    if wider:
        raise PermissionDenied(
            f"The role {role.value} has more rights than the caller, who lacks {', '.join(wider)}; ask an admin.",
            details={"required_scope": wider[0]},
        )


def _refuse_own(call: Call, user_id: str, what: str) -> None:
    if user_id == call.principal.user_id:
        raise InvalidArgument.of("user_id", f"is your own account; another administrator must {what}")


def _tenant(call: Call, tenant: str | None) -> str:
    if tenant is None or tenant == call.principal.tenant:
        return call.principal.tenant
    if call.principal.tenant != DEFAULT_TENANT:
        raise PermissionDenied("Accounts of another tenant are made by an administrator of the tenant default.")
    if not _TENANT.fullmatch(tenant):
        raise InvalidArgument.of("tenant", "must be 1 to 63 of a-z, 0-9, _ and -", "string_pattern_mismatch")
    return tenant


def _validate_identity(username: str, email: str | None, full_name: str | None) -> None:
    if not _NAME.fullmatch(username):
        raise InvalidArgument.of(
            "username",
            "must be 1 to 64 of letters, digits, dot, underscore, @, + and -, beginning with a letter or digit",
            "string_pattern_mismatch",
        )
    if email is not None and not (_EMAIL.fullmatch(email) and len(email) <= 254):
        raise InvalidArgument.of("email", "must look like name@domain.tld", "string_pattern_mismatch")
    if full_name is not None and (len(full_name) > _MAX_FULL_NAME_CHARACTERS or not full_name.isprintable()):
        raise InvalidArgument.of("full_name", f"must be at most {_MAX_FULL_NAME_CHARACTERS} printable characters")
