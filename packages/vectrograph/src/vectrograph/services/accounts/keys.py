"""API keys of the caller."""

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

from vectrograph.control.api_keys import ApiKeys, CreatedKey
from vectrograph.control.clock import DAY, SECOND, Clock, now
from vectrograph.control.records import ApiKeyRecord
from vectrograph.domain.access import ALL_SCOPES, without_keys_and_administration
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import Conflict, InvalidArgument, PermissionDenied
from vectrograph.domain.limits import Limits
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.key_usage import KeyUsage
from vectrograph.services.call import Call
from vectrograph.services.limits.validation import utf8_bytes, validate_name

# Longest name of a key, in characters. Chosen: one line in a list.
MAX_NAME_CHARACTERS: Final = 100
# Longest life of a key that ends, in days: ten years. Chosen: wider than the 365 of the official API.
MAX_DAYS: Final = 3650
# Longest time that a rotated key stays valid when it is given in seconds. Chosen: a week to deploy the new one.
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600
# Collections that one key can be held to. Chosen: a key that needs more is better held to a tenant.
MAX_COLLECTIONS: Final = 100
# Largest limit of a key, in requests a second. Generous: above what one server answers.
MAX_RATE_LIMIT: Final = 100_000
# The same for an overlap given in hours: 30 days, for keys in devices that update once a month.
MAX_OVERLAP_HOURS: Final = 24 * 30
_HOUR: Final = 3600 * SECOND


class Keys:
    """API keys. A caller manages its account's keys; one with `users:admin` in the tenant `default` manages
    everyone's.
    """

    def __init__(self, keys: ApiKeys, usage: KeyUsage, audit: Audit, limits: Limits, clock: Clock = now) -> None:
        self._keys = keys
        self._usage = usage
        self._audit = audit
        self._limits = limits
        self._clock = clock

    def create(
        self,
        call: Call,
        name: str,
        scopes: Sequence[str] | None,
        expires_in_days: int | None,
        *,
        collections: Sequence[str] | None = None,
        rate_limit: int | None = None,
    ) -> CreatedKey:
        """Make a key. Its secret is in the answer and nowhere else.

        Args:
            call: who asks; owns the key.
            name: 1 to 100 characters.
            scopes: what the key may do; None is all that the caller may, less managing keys and administration; empty
                is nothing.
            expires_in_days: 1 to 3650; None never.
            collections: the only ones that the key reaches, existing or not yet; None is all that the caller does.
            rate_limit: requests a second, 1 to 100,000; None is what everyone may.

        Raises:
            PermissionDenied: api_keys:write is missing, or a scope, collection or rate is wider than the caller's own.
            InvalidArgument: the name, a scope, a collection or a number is not acceptable.
        """
        call.require("api_keys:write")
        _validate_name(name)
        granted = self._granted(call, scopes)
        reached = self._reached(call, collections)
        rate = _rate(call, rate_limit)
        if expires_in_days is not None and not 1 <= expires_in_days <= MAX_DAYS:
            raise InvalidArgument.of(
                "expires_in_days",
                f"is {expires_in_days} and must be from 1 to {MAX_DAYS}, or null for never",
                "out_of_range",
            )
        expires_at = None if expires_in_days is None else self._clock() + expires_in_days * DAY
        with self._audit.noting(call, "key.create", "") as act:
            created = self._keys.create(
                call.principal.user_id, name, sorted(granted), expires_at, collections=reached, rate_limit=rate
            )
            act.target = created.record.key_id
        return created

    def rotate(
        self, call: Call, key_id: str, overlap_hours: int | None = None, *, overlap_seconds: int | None = None
    ) -> CreatedKey:
        """Replace a key: a new one with the same name, rights and end, while the old one may work on for a while.

        Args:
            call: who asks.
            key_id: the key to replace.
            overlap_hours: how long the old one works on, 0 to 720. Without either number it ends at once.
            overlap_seconds: the same in seconds, 0 to 604,800 (a week); only one of the two may be given.

        Raises:
            PermissionDenied: api_keys:write is missing, or the key can do more than the caller.
            ApiKeyNotFound: there is none of that id among the caller's own.
            Conflict: the key is revoked or expired.
            InvalidArgument: the overlap is out of range, or given twice.
        """
        with self._audit.noting(call, "key.rotate", key_id):
            call.require("api_keys:write")
            overlap = _overlap(overlap_hours, overlap_seconds)
            old = self._keys.get(key_id, call.principal.user_id)
            if not old.is_active:
                raise Conflict(
                    f"API key {key_id!r} is revoked or expired; create a new one.", details={"key_id": key_id}
                )
            self._granted(call, old.scopes)
            self._reached(call, old.collections)
            if old.collections is None and call.principal.collections is not None:
                raise PermissionDenied(
                    "The key can access more collections than the caller; use credentials that can access them too."
                )
            return self._keys.replace(old, rate_limit=_rate(call, old.rate_limit), overlap=overlap)

    def list(self, call: Call) -> list[ApiKeyRecord]:
        """Return the keys that the caller manages, newest first.

        Raises:
            PermissionDenied: api_keys:read is missing.
        """
        call.require("api_keys:read")
        owner = _owner(call)
        with nullcontext() if owner is not None else self._audit.noting(call, "key.list", "", or_log=True):
            uses = self._usage.latest()
            return [_with_use(record, uses.get(record.key_id)) for record in self._keys.list(owner)]

    def get(self, call: Call, key_id: str) -> ApiKeyRecord:
        """Return one key.

        Raises:
            PermissionDenied: api_keys:read is missing.
            ApiKeyNotFound: there is none of that id among those the caller manages.
        """
        call.require("api_keys:read")
        found = self._keys.get(key_id, _owner(call))
        own = found.owner == call.principal.user_id
        with nullcontext() if own else self._audit.noting(call, "key.get", key_id, or_log=True):
            return _with_use(found, self._usage.latest().get(key_id))

    def revoke(self, call: Call, key_id: str) -> ApiKeyRecord:
        """Make a key useless from now on but keep its record; again is no error.

        Raises:
            PermissionDenied: api_keys:write is missing.
            ApiKeyNotFound: there is none of that id among those the caller manages.
        """
        call.require("api_keys:write")
        with self._audit.noting(call, "key.revoke", key_id):
            return _with_use(self._keys.revoke(key_id, _owner(call)), self._usage.latest().get(key_id))

    def delete(self, call: Call, key_id: str) -> None:
        """Remove a key for good.

        Raises:
            PermissionDenied: api_keys:delete is missing.
            ApiKeyNotFound: there is none of that id among those the caller manages.
        """
        call.require("api_keys:delete")
        with self._audit.noting(call, "key.delete", key_id):
            self._keys.delete(key_id, _owner(call))

    def _granted(self, call: Call, scopes: Sequence[str] | None) -> frozenset[str]:
        own = call.principal.scopes
        if scopes is None:
            return without_keys_and_administration(own)
        wanted = frozenset(str(scope) for scope in scopes)
        unknown = sorted(wanted - ALL_SCOPES)
        if unknown:
            raise InvalidArgument.of(
                "scopes", f"{unknown[0]!r} is not a scope; the scopes are {', '.join(sorted(ALL_SCOPES))}", "enum"
            )
        wider = sorted(wanted - own)
        if wider:
            raise PermissionDenied(
                f"A key cannot have more rights than its creator, who lacks {', '.join(wider)}; leave them out.",
                details={"required_scope": wider[0]},
            )
        return wanted

    def _reached(self, call: Call, collections: Sequence[str] | None) -> Sequence[str] | None:
        own = call.principal.collections
        if collections is None:
            return None if own is None else sorted(own)
        if len(collections) > MAX_COLLECTIONS:
            raise InvalidArgument.of("collections", f"holds more than {MAX_COLLECTIONS} names", "too_long")
        for position, name in enumerate(collections):
            validate_name(name, ("collections", position), self._limits)
        wider = [] if own is None else sorted(set(collections) - own)
        if wider:
            raise PermissionDenied(
                f"A key cannot access more collections than its creator, who cannot access {wider[0]!r}; leave it out.",
                details={"collection": wider[0]},
            )
        return collections


def _rate(call: Call, rate_limit: int | None) -> int | None:
    own = call.principal.rate_limit
    if rate_limit is None:
        return own
    if not 1 <= rate_limit <= MAX_RATE_LIMIT:
        raise InvalidArgument.of(
            "rate_limit", f"is {rate_limit} and must be from 1 to {MAX_RATE_LIMIT} requests per second", "out_of_range"
        )
    return rate_limit if own is None else min(own, rate_limit)


def _overlap(hours: int | None, seconds: int | None) -> int:
    """Return microseconds for which a replaced key works on."""
    if hours is not None and seconds is not None:
        raise InvalidArgument.of("overlap_seconds", "must not be given together with overlap_hours")
    if hours is not None:
        if not 0 <= hours <= MAX_OVERLAP_HOURS:
            raise InvalidArgument.of(
                "overlap_hours", f"is {hours} and must be from 0 to {MAX_OVERLAP_HOURS}", "out_of_range"
            )
        return hours * _HOUR
    if seconds is not None and not 0 <= seconds <= MAX_OVERLAP_SECONDS:
        raise InvalidArgument.of(
            "overlap_seconds", f"is {seconds} and must be from 0 to {MAX_OVERLAP_SECONDS}", "out_of_range"
        )
    return (seconds or 0) * SECOND


def _owner(call: Call) -> str | None:
    """Return whose keys the caller manages: its own account's, or everyone's (None)."""
    everyone = "users:admin" in call.principal.scopes and call.principal.tenant == DEFAULT_TENANT
    return None if everyone else call.principal.user_id


def _validate_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS:
        raise InvalidArgument.of("name", f"must have 1 to {MAX_NAME_CHARACTERS} characters, not only white space")
    utf8_bytes(name, "name")


def _with_use(record: ApiKeyRecord, used_at: int | None) -> ApiKeyRecord:
    return record if used_at is None else dataclasses.replace(record, last_used_at=used_at)
