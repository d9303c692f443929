"""API keys of the caller."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from vectrograph.control.api_keys import ApiKeys, CreatedKey
from vectrograph.control.clock import DAY, SECOND, Clock, now
from vectrograph.control.records import ApiKeyRecord
from vectrograph.domain.access import ALL_SCOPES, without_keys_and_administration
from vectrograph.domain.errors import Conflict, InvalidArgument, PermissionDenied
from vectrograph.services.admission import utf8_bytes
from vectrograph.services.call import Call
from vectrograph.services.usage import KeyUsage

MAX_NAME_CHARACTERS: Final = 100
MAX_DAYS: Final = 3650
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600


class Keys:
    """API keys. A caller manages its account's keys; one with `users:admin` manages everyone's."""

    def __init__(self, keys: ApiKeys, usage: KeyUsage, clock: Clock = now) -> None:
        self._keys = keys
        self._usage = usage
        self._clock = clock

    def create(self, call: Call, name: str, scopes: Sequence[str] | None, expires_in_days: int | None) -> CreatedKey:
        """Make a key. Its secret is in the answer and nowhere else.

        Args:
            call: who asks; owns the key.
            name: 1 to 100 characters.
            scopes: what the key may do; None is all that the caller may, less managing keys and administration; empty
                is nothing.
            expires_in_days: 1 to 3650; None never.

        Raises:
            PermissionDenied: api_keys:write is missing, or a scope is wider than the caller's own.
            InvalidArgument: the name, a scope or the number of days is not acceptable.
        """
        call.require("api_keys:write")
        _admit_name(name)
        granted = self._granted(call, scopes)
        if expires_in_days is not None and not 1 <= expires_in_days <= MAX_DAYS:
            raise InvalidArgument.of(
                "expires_in_days",
                f"is {expires_in_days} and must be from 1 to {MAX_DAYS}, or null for never",
                "out_of_range",
            )
        expires_at = None if expires_in_days is None else self._clock() + expires_in_days * DAY
        return self._keys.create(call.principal.user_id, name, sorted(granted), expires_at)

    def list(self, call: Call) -> list[ApiKeyRecord]:
        """The keys that the caller manages, newest first.

        Raises:
            PermissionDenied: api_keys:read is missing.
        """
        call.require("api_keys:read")
        uses = self._usage.latest()
        return [_with_use(record, uses.get(record.key_id)) for record in self._keys.list(_owner(call))]

    def get(self, call: Call, key_id: str) -> ApiKeyRecord:
        """One key.

        Raises:
            PermissionDenied: api_keys:read is missing.
            ApiKeyNotFound: there is none of that id among those the caller manages.
        """
        call.require("api_keys:read")
        return _with_use(self._keys.get(key_id, _owner(call)), self._usage.latest().get(key_id))

    def revoke(self, call: Call, key_id: str) -> ApiKeyRecord:
        """Make a key useless from now on but keep its record; again is no error.

        Raises:
            PermissionDenied: api_keys:write is missing.
            ApiKeyNotFound: there is none of that id among those the caller manages.
        """
        call.require("api_keys:write")
        return _with_use(self._keys.revoke(key_id, _owner(call)), self._usage.latest().get(key_id))

    def rotate(self, call: Call, key_id: str, overlap_seconds: int = 0) -> CreatedKey:
        """Replace a key by a new one of the same owner, name, scopes and remaining lifetime.

        Args:
            call: who asks.
            key_id: the key to replace.
            overlap_seconds: how long the old key goes on working, 0 to 604,800 (a week).

        Raises:
            PermissionDenied: api_keys:write is missing, or the key can do more than the caller.
            ApiKeyNotFound: there is none of that id among those the caller manages.
            Conflict: the key is revoked or expired.
            InvalidArgument: the overlap is out of range.
        """
        call.require("api_keys:write")
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise InvalidArgument.of(
                "overlap_seconds", f"is {overlap_seconds} and must be from 0 to {MAX_OVERLAP_SECONDS}", "out_of_range"
            )
        old = self._keys.get(key_id, _owner(call))
        if not old.is_active:
            raise Conflict(f"API key {key_id!r} is revoked or expired; create a new one.", details={"key_id": key_id})
        self._granted(call, old.scopes)
        created = self._keys.create(old.owner, old.name, old.scopes, old.expires_at)
        if overlap_seconds == 0:
            self._keys.revoke(key_id, _owner(call))
        else:
            self._keys.expire(key_id, _owner(call), self._clock() + overlap_seconds * SECOND)
        return created

    def delete(self, call: Call, key_id: str) -> None:
        """Remove a key for good.

        Raises:
            PermissionDenied: api_keys:delete is missing.
            ApiKeyNotFound: there is none of that id among those the caller manages.
        """
        call.require("api_keys:delete")
        self._keys.delete(key_id, _owner(call))

    def _granted(self, call: Call, scopes: Sequence[str] | None) -> frozenset[str]:
        own = call.principal.scopes
        if scopes is None:
            return without_keys_and_administration(own)
        wanted = frozenset(str(scope) for scope in scopes)
        unknown = sorted(wanted - ALL_SCOPES)
        if unknown:
            raise InvalidArgument.of(
                "scopes", f"{unknown[0]!r} is no scope; the scopes are {', '.join(sorted(ALL_SCOPES))}", "enum"
            )
        wider = sorted(wanted - own)
        if wider:
            raise PermissionDenied(
                f"A key cannot do more than its creator, who lacks {', '.join(wider)}; leave them out.",
                details={"required_scope": wider[0]},
            )
        return wanted


def _owner(call: Call) -> str | None:
    """Whose keys the caller manages: its own account's, or everyone's (None)."""
    return None if "users:admin" in call.principal.scopes else call.principal.user_id


def _admit_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise InvalidArgument.of("name", f"must have 1 to {MAX_NAME_CHARACTERS} characters, not only white space")
    utf8_bytes(name, "name")


def _with_use(record: ApiKeyRecord, used_at: int | None) -> ApiKeyRecord:
    return record if used_at is None else dataclasses.replace(record, last_used_at=used_at)
