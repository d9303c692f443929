"""From a credential to the caller it stands for, remembered until anything is revoked."""

import dataclasses
import hashlib
import hmac
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from vectrograph.control.api_keys import digest
from vectrograph.control.clock import Clock, now
from vectrograph.control.records import StoredKey, UserRecord
from vectrograph.control.signing import Claims, TokenSigner, TokenType
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.errors import InvalidApiKey, InvalidToken, TokenExpired, Unauthenticated
from vectrograph.services.accounts.key_usage import KeyUsage
from vectrograph.services.call import Principal

API_KEY_MARKS: Final = ("ng_", "vkey-")
# Credentials of all accounts in memory. Chosen: as many as `max_accounts` by default, one each.
MAX_REMEMBERED: Final = 10_000
MAX_REMEMBERED_OF_ACCOUNT: Final = 256
"""Credentials of one account in memory. One that makes tokens without end forgets its own and never those of others."""
# Longest credential that is looked at. Generous: keys have some 50 characters, tokens some hundred.
MAX_CREDENTIAL_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class _Remembered:
    principal: Principal
    epoch: int


class Credentials:
    """Checks API keys and tokens.

    A checked credential is remembered by its SHA-256, together with the store's epoch as it was before the check. Every
    revocation, password change and deletion raises the epoch before it is acknowledged, and an entry of another epoch
    is checked anew: revocation is effective at once however warm this memory is. RefusalLog are not remembered.
    """

    def __init__(self, store: ControlStore, signer: TokenSigner, usage: KeyUsage, clock: Clock = now) -> None:
        self._store = store
        self._signer = signer
        self._usage = usage
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._of_account: dict[str, OrderedDict[bytes, None]] = {}

    def authenticate(self, credential: str) -> Principal:
        """Return the caller that a raw API key, an access token, a login token or an SDK token stands for.

        Raises:
            Unauthenticated: it is empty.
            InvalidApiKey: no such key, or it is revoked or expired, or its owner is disabled.
            InvalidToken, TokenExpired: no token of ours, or its time or session is over.
        """
        if not credential:
            raise Unauthenticated("No credentials were sent; send an API key or log in.")
        if len(credential) > MAX_CREDENTIAL_CHARACTERS:
            raise InvalidToken("The credential is too long to be valid; send an API key or log in.")
        name = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        epoch = self._store.epoch()
        known = self._remembered.get(name)
        if known is None or known.epoch != epoch:
            known = self._check(credential, epoch)
            self._remember(name, known)
        if known.principal.is_over(self._clock()):
            raise _expired(known.principal)
        if known.principal.key_id is not None:
            self._usage.touch(known.principal.key_id)
        return known.principal

    def _remember(self, name: bytes, entry: _Remembered) -> None:
        with self._lock:
            self._forget(name)
            self._remembered[name] = entry
            own = self._of_account.setdefault(entry.principal.user_id, OrderedDict())
            own[name] = None
            if len(own) > MAX_REMEMBERED_OF_ACCOUNT:
                self._forget(next(iter(own)))
            elif len(self._remembered) > MAX_REMEMBERED:
                self._forget(next(iter(self._remembered)))

    def _forget(self, name: bytes) -> None:
        entry = self._remembered.pop(name, None)
        if entry is None:
            return
        own = self._of_account[entry.principal.user_id]
        del own[name]
        if not own:
            del self._of_account[entry.principal.user_id]

    def _check(self, credential: str, epoch: int) -> _Remembered:
        if credential.startswith(API_KEY_MARKS):
            return self._check_key(credential, epoch)
        return self._check_token(credential, epoch)

    def _check_key(self, secret: str, epoch: int) -> _Remembered:
        stored = self._store.api_keys.find(secret)
        if stored is None or not hmac.compare_digest(stored.digest, digest(secret)):
            raise InvalidApiKey("The API key is unknown; check it, or create a new one.")
        return _key_holder(stored, epoch)

    def _check_sdk(self, claims: Claims, epoch: int) -> _Remembered:
        key_id, _, prefix = claims.session_id.partition(".")
        stored = self._store.api_keys.find(prefix)
        if stored is None or stored.record.key_id != key_id:
            raise InvalidApiKey("The API key of this SDK token does not exist any more; create a new token.")
        holder = _key_holder(stored, epoch)
        key_ends = holder.principal.expires_at
        ends = claims.expires_at if key_ends is None else min(claims.expires_at, key_ends)
        return _Remembered(dataclasses.replace(holder.principal, expires_at=ends), epoch)

    def _check_token(self, token: str, epoch: int) -> _Remembered:
        claims = self._signer.verify(token, TokenType.ACCESS, TokenType.LOGIN, TokenType.SDK)
        if claims.token_type is TokenType.SDK:
            return self._check_sdk(claims, epoch)
        found = self._store.sessions.find(claims.session_id)
        if found is None or found[0].user_id != claims.user_id or found[1].disabled:
            raise InvalidToken("The session of this token has ended; log in again.")
        user = found[1]
        role, scopes = _narrower(user, claims)
        principal = Principal(
            user_id=user.user_id,
            username=user.username,
            role=role,
            scopes=scopes,
            tenant=user.tenant,
            token_id=claims.token_id,
            session_id=claims.session_id,
            renewable=claims.token_type is TokenType.LOGIN,
            expires_at=claims.expires_at,
        )
        return _Remembered(principal, epoch)


def _narrower(user: UserRecord, claims: Claims) -> tuple[Role, frozenset[str]]:
    """Return the scopes of a token: no more than it names, and no more than its account has now."""
    if claims.role is None or claims.scopes is None:
        return user.role, user.scopes
    return claims.role if claims.scopes <= user.scopes else user.role, user.scopes & claims.scopes


def _key_holder(stored: StoredKey, epoch: int) -> _Remembered:
    record, owner = stored.record, stored.owner
    if not record.is_active or owner.disabled:
        raise InvalidApiKey(
            f"The API key {record.key_prefix}… is revoked, expired, or its account is disabled; create a new one."
        )
    principal = Principal(
        user_id=owner.user_id,
        username=owner.username,
        role=Role.BOT,
        scopes=owner.scopes.intersection(record.scopes),
        tenant=owner.tenant,
        key_id=record.key_id,
        collections=None if record.collections is None else frozenset(record.collections),
        rate_limit=record.rate_limit,
        expires_at=record.expires_at,
    )
    return _Remembered(principal, epoch)


def _expired(principal: Principal) -> Unauthenticated:
    if principal.key_id is not None:
        return InvalidApiKey("The API key has expired; create a new one.")
    return TokenExpired("The token has expired; refresh it or log in again.")
