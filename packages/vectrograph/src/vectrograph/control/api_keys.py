"""API keys in the control database. The secret is shown once and kept only as a digest."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, exc, func, or_, select, update
from sqlalchemy.orm import Session

from vectrograph.control.accounts import user_record
from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database, concerns
from vectrograph.control.database.models import ApiKey, LoginSession, User
from vectrograph.control.database.reserved_space import RESERVE_PAGES
from vectrograph.control.records import ApiKeyRecord, StoredKey
from vectrograph.domain.errors import ApiKeyNotFound, Conflict, QuotaExceeded, Unavailable, UserNotFound
from vectrograph.domain.quotas import Quotas

KEY_MARK: Final = "ng_live_"
# Characters of a key that lists show and look-ups use: its mark and 8 random ones, as the official API has it.
PREFIX_CHARACTERS: Final = 16
# Random bytes of a secret: 256 bits, so that a plain digest is enough to keep.
_SECRET_BYTES: Final = 32
# Times that other random names are tried after a collision. Two prefixes collide once in 2^48, so that one more try
# is enough.
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key with its secret, which exists nowhere else and is never shown again."""

    record: ApiKeyRecord
    secret: str = field(repr=False)


def digest(secret: str) -> str:
    """Return hexadecimal SHA-256 of a key. A key holds 256 random bits, so a slow password hash would add nothing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKeys:
    """API keys: make, read, revoke, delete."""

    def __init__(self, database: Database, clock: Clock, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._clock = clock

    def create(
        self,
        owner: str,
        name: str,
        scopes: Sequence[str],
        expires_at: int | None,
        *,
        collections: Sequence[str] | None = None,
        rate_limit: int | None = None,
    ) -> CreatedKey:
        """Store a new key of an account; two keys never share their first 16 characters.

        Raises:
            UserNotFound: there is no such account.
            QuotaExceeded: the account has as many keys as it may.
            Unavailable: the random numbers of this machine keep repeating.
        """
        return self._create(
            ApiKey(
                owner_id=owner,
                name=name,
                scopes=sorted(scopes),
                expires_at=expires_at,
                collections=None if collections is None else sorted(set(collections)),
                rate_limit=rate_limit,
            )
        )

    def replace(self, old: ApiKeyRecord, *, rate_limit: int | None, overlap: int) -> CreatedKey:
        """Store a new key with the name, rights and end of another, which works on for `overlap` microseconds.

        One transaction: there are both changes or none.

        Raises:
            ApiKeyNotFound: the old key is gone.
            Conflict: the old key was revoked in the meantime.
            QuotaExceeded: the account has as many keys as it may.
            Unavailable: the random numbers of this machine keep repeating.
        """

        def end_old(session: Session) -> None:
            key = _load(session, old.key_id, old.owner)
            at = self._clock()
            if key.revoked_at is not None:
                raise Conflict(f"API key {old.key_id!r} was revoked in the meantime.", details={"key_id": old.key_id})
            if overlap:
                key.expires_at = at + overlap if key.expires_at is None else min(at + overlap, key.expires_at)
            else:
                key.revoked_at = at

        new = ApiKey(
            owner_id=old.owner,
            name=old.name,
            scopes=sorted(old.scopes),
            expires_at=old.expires_at,
            collections=None if old.collections is None else sorted(old.collections),
            rate_limit=rate_limit,
        )
        return self._create(new, end_old)

    def _create(self, new: ApiKey, also: Callable[[Session], None] | None = None) -> CreatedKey:
        """Store a key under random names, together with another change."""
        for _ in range(_ATTEMPTS):
            secret = KEY_MARK + secrets.token_urlsafe(_SECRET_BYTES)
            key = ApiKey(
                key_id=secrets.token_hex(8),
                owner_id=new.owner_id,
                name=new.name,
                key_prefix=secret[:PREFIX_CHARACTERS],
                digest=digest(secret),
                scopes=new.scopes,
                created_at=self._clock(),
                expires_at=new.expires_at,
                collections=new.collections,
                rate_limit=new.rate_limit,
            )
            try:
                with self._database.write(
                    invalidates=also is not None, leaving=RESERVE_PAGES if also is None else 0
                ) as session:
                    concerns(session, new.owner_id)
                    if session.get(User, new.owner_id, with_for_update=True) is None:
                        raise UserNotFound(
                            f"Account {new.owner_id!r} does not exist.", details={"user_id": new.owner_id}
                        )
                    if also is not None:
                        also(session)
                        session.flush()
                    self._require_room(session, new.owner_id)
                    session.add(key)
            except exc.IntegrityError:
                continue
            return CreatedKey(self._record(key), secret)
        raise Unavailable("No unused API key could be generated; try again.")

    def _require_room(self, session: Session, owner: str) -> None:
        """Make room for one more key of an account: forget the keys that were revoked or expired first.

        Only keys that work count against the account for good, so rotating a key never locks its owner out.
        """
        limit = self._quotas.max_api_keys
        count = session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.owner_id == owner)) or 0
        if count < limit:
            return
        now = self._clock()
        over = or_(ApiKey.revoked_at.is_not(None), ApiKey.expires_at <= now)
        ended_at = func.coalesce(ApiKey.revoked_at, ApiKey.expires_at)
        oldest = (
            select(ApiKey.key_id)
            .where(ApiKey.owner_id == owner, over)
            .order_by(ended_at, ApiKey.created_at, ApiKey.key_id)
            .limit(count - limit + 1)
        )
        forgotten = session.scalars(oldest).all()
        if len(forgotten) <= count - limit:
            working = count - len(forgotten)
            raise QuotaExceeded(
                f"This account has {working} valid API keys, and max_api_keys is {limit}; "
                "delete or revoke some of them.",
                details={"limit": limit, "unit": "api_keys", "used": working},
            )
        session.execute(delete(ApiKey).where(ApiKey.key_id.in_(forgotten)))

    def find(self, secret: str) -> StoredKey | None:
        """Return the key that begins as `secret` does, with its owner, for comparing digests; None when there
        is none.
        """
        if not secret.isascii():
            return None
        query = select(ApiKey, User).join(User).where(ApiKey.key_prefix == secret[:PREFIX_CHARACTERS])
        with self._database.read() as session:
            row = session.execute(query).one_or_none()
            if row is None:
                return None
            return StoredKey(record=self._record(row[0]), digest=row[0].digest, owner=user_record(row[1]))

    def list(self, owner: str | None) -> list[ApiKeyRecord]:
        """Return the keys of an account, or of all (None), newest first."""
        query = select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.key_id)
        if owner is not None:
            query = query.where(ApiKey.owner_id == owner)
        with self._database.read() as session:
            return [self._record(key) for key in session.scalars(query)]

    def get(self, key_id: str, owner: str | None) -> ApiKeyRecord:
        """Return one key of an account, or of any (None).

        Raises:
            ApiKeyNotFound: there is none of that id.
        """
        with self._database.read() as session:
            return self._record(_load(session, key_id, owner))

    def revoke(self, key_id: str, owner: str | None) -> ApiKeyRecord:
        """Make a key useless but keep its record; again is no error.

        Raises:
            ApiKeyNotFound: there is none of that id.
        """
        with self._database.write(invalidates=True) as session:
            key = _load(session, key_id, owner)
            concerns(session, key.owner_id)
            if key.revoked_at is None:
                key.revoked_at = self._clock()
            return self._record(key)

    def expire(self, key_id: str, owner: str | None, at: int) -> ApiKeyRecord:
        """Let a key work until `at` (microseconds) and no longer; an earlier end stays.

        Raises:
            ApiKeyNotFound: there is none of that id.
        """
        with self._database.write(invalidates=True) as session:
            key = _load(session, key_id, owner)
            concerns(session, key.owner_id)
            key.expires_at = at if key.expires_at is None else min(at, key.expires_at)
            return self._record(key)

    def after_restoring(self, *, revoke: bool) -> int:
        """End every login session, and revoke every key if wanted; answers how many keys are in force."""
        with self._database.write(invalidates=True) as session:
            session.execute(delete(LoginSession))
            if revoke:
                session.execute(update(ApiKey).where(ApiKey.revoked_at.is_(None)).values(revoked_at=self._clock()))
        return sum(record.is_active for record in self.list(None))

    def delete(self, key_id: str, owner: str | None) -> None:
        """Remove a key for good.

        Raises:
            ApiKeyNotFound: there is none of that id.
        """
        with self._database.write(invalidates=True) as session:
            key = _load(session, key_id, owner)
            concerns(session, key.owner_id)
            session.delete(key)

    def record_use(self, last_used: Mapping[str, int]) -> None:
        """Store when keys were last used, in one transaction; keys that are gone are passed over."""
        with self._database.write(routine=True) as session:
            for key_id, at in last_used.items():
                session.execute(update(ApiKey).where(ApiKey.key_id == key_id).values(last_used_at=at))

    def _record(self, key: ApiKey) -> ApiKeyRecord:
        expired = key.expires_at is not None and key.expires_at <= self._clock()
        return ApiKeyRecord(
            key_id=key.key_id,
            name=key.name,
            key_prefix=key.key_prefix,
            scopes=_texts(key.scopes),
            owner=key.owner_id,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
            is_active=key.revoked_at is None and not expired,
            collections=None if key.collections is None else _texts(key.collections),
            rate_limit=key.rate_limit,
        )


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _load(session: Session, key_id: str, owner: str | None) -> ApiKey:
    key = session.get(ApiKey, key_id)
    if key is None or (owner is not None and key.owner_id != owner):
        raise ApiKeyNotFound(f"You have no API key {key_id!r}.", details={"key_id": key_id})
    return key
