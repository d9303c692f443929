"""Who did what: every security-relevant act is written down, done or refused."""

import builtins
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from vectrograph.control.audit import AuditLog
from vectrograph.control.records import AuditRecord
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import DomainError, InternalError, InvalidArgument
from vectrograph.services.call import Call, Origin

MAX_ENTRIES: Final = 1_000
_OK: Final = "ok"


class Audit:
    """Notes acts and shows them to administrators. Entries name things by id: no secret, no vector, no payload."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    @contextmanager
    def noting(self, call: Call, action: str, target: str) -> Iterator[None]:
        """Write down what the block does: "ok", or the code of the error that ended it.

        Raises:
            Unavailable: the entry cannot be written; what the block did is done.
        """
        try:
            yield
        except DomainError as error:
            self.note(call, action, target, error.code)
            raise
        except Exception:
            self.note(call, action, target, InternalError.code)
            raise
        self.note(call, action, target)

    def deleting(self, call: Call, target: str) -> AbstractContextManager[None]:
        """Write down the deletion that the block does, of points or tokens: `noting` under the action point.delete."""
        return self.noting(call, "point.delete", target)

    def note(self, call: Call, action: str, target: str, outcome: str = _OK) -> None:
        """Write down what an authenticated caller did.

        Raises:
            Unavailable: the entry cannot be written.
        """
        who = call.principal
        self._log.add(
            action=action,
            target=target,
            outcome=outcome,
            tenant=who.tenant,
            actor=who.user_id,
            key_id=who.key_id,
            address=call.origin.address,
            request_id=call.request_id,
        )

    def note_stranger(
        self, action: str, target: str, outcome: str, origin: Origin, *, actor: str = "", tenant: str = DEFAULT_TENANT
    ) -> None:
        """Write down what someone did who had not been authenticated when it began, as a login.

        Raises:
            Unavailable: the entry cannot be written.
        """
        self._log.add(
            action=action,
            target=target,
            outcome=outcome,
            tenant=tenant,
            actor=actor,
            address=origin.address,
            request_id=origin.request_id,
        )

    def list(self, call: Call, *, before: int | None = None, limit: int = 100) -> builtins.list[AuditRecord]:
        """Entries newest first; reading them is an entry too. Administrators of the tenant `default` see all tenants.

        Args:
            call: who asks.
            before: only entries with a smaller number; the last one's number continues the list.
            limit: 1 to 1,000.

        Raises:
            PermissionDenied: logs:admin is missing.
            InvalidArgument: `limit` or `before` is out of range.
        """
        with self.noting(call, "audit.read", "" if before is None else str(before)):
            call.require("logs:admin")
            if not 1 <= limit <= MAX_ENTRIES:
                raise InvalidArgument.of("limit", f"is {limit} and must be from 1 to {MAX_ENTRIES}", "out_of_range")
            if before is not None and not 1 <= before < 2**63:
                raise InvalidArgument.of("before", "must be the number of an entry", "out_of_range")
            return self._log.list(call.principal.governed_tenant, before=before, limit=limit)
