"""Accounts, as their owners and administrators see them."""

from typing import Final

from vectrograph.control.accounts import Accounts
from vectrograph.control.records import UserRecord
from vectrograph.domain.errors import InvalidArgument
from vectrograph.services.call import Call

PLANS: Final = frozenset({"FREE", "PAID", ""})


class Users:
    """Accounts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

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

    def set_disabled(self, call: Call, user_id: str, disabled: bool) -> UserRecord:
        """Disable an account, so that its sessions and keys cease to work at once, or enable it again.

        Raises:
            PermissionDenied: users:admin is missing.
            UserNotFound: there is no such account.
            InvalidArgument: the caller would disable itself.
        """
        call.require("users:admin")
        if disabled and user_id == call.principal.user_id:
            raise InvalidArgument.of("user_id", "is your own account; another administrator must disable it")
        return self._accounts.set_disabled(user_id, disabled)
