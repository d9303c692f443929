"""Vectron's way in: a login by email for 24 hours, API keys named by their prefix, and tokens that stand for a key."""

from dataclasses import dataclass, field
from typing import Final

from vectrograph.control.api_keys import PREFIX_CHARACTERS
from vectrograph.control.clock import SECOND, Clock, now
from vectrograph.control.records import ApiKeyRecord, SessionRecord, StoredKey, UserRecord
from vectrograph.control.signing import LOGIN_SECONDS, TokenSigner
from vectrograph.control.store import ControlStore
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import (
    InvalidArgument,
    InvalidToken,
    PermissionDenied,
    Unauthenticated,
)
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.credentials import API_KEY_MARKS, Credentials
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.password_login import PasswordLogin
from vectrograph.services.accounts.rules import MAX_EMAIL_CHARACTERS, plain_email
from vectrograph.services.call import UNKNOWN_ORIGIN, Call, Origin

_LIFETIME: Final = LOGIN_SECONDS * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A token for 24 hours and whose it is. `expires_at` is microseconds."""

    token: str = field(repr=False)
    expires_at: int
    user: UserRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """An API key that holds, with the account that owns it."""

    key: ApiKeyRecord
    owner: UserRecord


class Logins:
    """Sessions and API keys as Vectron's AuthService has them, over the one account store."""

    def __init__(
        self,
        store: ControlStore,
        signer: TokenSigner,
        credentials: Credentials,
        audit: Audit,
        development: Development,
        password_login: PasswordLogin,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._signer = signer
        self._credentials = credentials
        self._audit = audit
        self._password_login = password_login
        self._development = development
        self._clock = clock

    def login(self, email: str, password: str, origin: Origin = UNKNOWN_ORIGIN) -> Login:
        """Begin a session by email. An unknown email takes as long to refuse as a wrong password and reads the same.

        Raises:
            InvalidCredentials: wrong email or password.
            PermissionDenied: both are right, but the account is disabled.
            RateLimited: too many failures for this account or from this address; the password was not looked at.
            Unavailable: too many logins at once.
        """
        address = plain_email(email)
        stored = self._store.accounts.password_by_email(address) if len(address) <= MAX_EMAIL_CHARACTERS else None
        checked, session = self._password_login.begin(
            stored, address, password, origin, lifetime=_LIFETIME, refusal="Incorrect email or password."
        )
        return self._login(session, checked.user)

    def renew(self, call: Call) -> Login:
        """Return a new token for 24 hours, of the same session; the old one goes on until its own end.

        Raises:
            PermissionDenied: the caller holds something else than a token of `login`.
            InvalidToken: the session is over.
        """
        session_id = call.principal.session_id
        if session_id is None or not call.principal.renewable:
            raise PermissionDenied("Only a token from AuthService.Login can be renewed here; log in with your email.")
        user = self._store.accounts.get(call.principal.user_id)
        session = None
        if not self._development.ends_session(user):
            session = self._store.sessions.prolong(session_id, _LIFETIME)
        if session is None:
            raise InvalidToken("The session of this token has ended; log in again.")
        return self._login(session, user)

    def sdk_token(self, call: Call, prefix: str) -> str:
        """Return a token for 7 days that does what an API key of the caller's does, and dies with it.

        Raises:
            PermissionDenied: api_keys:write is missing, or no key in force of that prefix is the caller's own. A key
                makes tokens of itself only: of a wider one they would be a way around its scopes.
            InvalidArgument: the prefix is empty.
        """
        with self._audit.noting(call, "key.sdk_token", _named(prefix)):
            call.require("api_keys:write")
            stored = self.managed_key(call, prefix)
            itself = call.principal.key_id in (None, stored.record.key_id)
            if stored.owner.user_id != call.principal.user_id or not itself:
                raise _no_such_key()
            return self._signer.sdk_token(stored.record)

    def delete_key(self, call: Call, prefix: str) -> None:
        """Remove a key of the caller's; it and its tokens cease to work at once.

        Raises:
            PermissionDenied: api_keys:delete is missing, or no key in force of that prefix is the caller's to manage.
            InvalidArgument: the prefix is empty.
        """
        with self._audit.noting(call, "key.delete", _named(prefix)):
            call.require("api_keys:delete")
            stored = self.managed_key(call, prefix)
            self._store.api_keys.delete(stored.record.key_id, stored.owner.user_id)

    def managed_key(self, call: Call, prefix: str) -> StoredKey:
        """Return the key in force of a prefix, if the caller manages it.

        Raises:
            PermissionDenied: it does not exist or is another's; the answer does not tell which.
            InvalidArgument: the prefix is empty.
        """
        if not prefix:
            raise InvalidArgument.of("api_key_id", "must not be empty; send the key's prefix", "string_too_short")
        stored = self._find(prefix)
        mine = stored is not None and stored.owner.user_id == call.principal.user_id
        if stored is None or not (mine or _manages_everyone(call)):
            raise _no_such_key()
        return stored

    def validate(self, secret: str) -> KeyHolder | None:
        """Return whose a whole API key is; None when it does not hold.

        Raises:
            InvalidArgument: it is empty.
        """
        if not secret:
            raise InvalidArgument.of("full_key", "must not be empty; send the whole key", "string_too_short")
        if not secret.startswith(API_KEY_MARKS):
            return None
        try:
            self._credentials.authenticate(secret)
        except Unauthenticated:
            return None
        stored = self._store.api_keys.find(secret)
        return None if stored is None else KeyHolder(key=stored.record, owner=stored.owner)

    def details(self, call: Call, prefix: str) -> KeyHolder | None:
        """Return whose the key of a prefix is, for the key itself, a token of it, or an administrator; else None, as
        for a key that does not exist.

        Raises:
            InvalidArgument: the prefix is empty.
        """
        if not prefix:
            raise InvalidArgument.of("api_key_id", "must not be empty; send the key's prefix", "string_too_short")
        stored = self._find(prefix)
        if stored is None:
            return None
        itself = call.principal.key_id == stored.record.key_id
        if not (itself or _manages_everyone(call)):
            return None
        return KeyHolder(key=stored.record, owner=stored.owner)

    def _find(self, prefix: str) -> StoredKey | None:
        """Return the key in force whose prefix is exactly this; a whole key is not taken for its prefix."""
        stored = self._store.api_keys.find(prefix)
        if stored is None or stored.record.key_prefix != prefix or not stored.record.is_active:
            return None
        return stored

    def _login(self, session: SessionRecord, user: UserRecord) -> Login:
        token = self._signer.login_token(session)
        return Login(token=token, expires_at=self._clock() // SECOND * SECOND + _LIFETIME, user=user)


def _manages_everyone(call: Call) -> bool:
    return "users:admin" in call.principal.scopes and call.principal.tenant == DEFAULT_TENANT


def _named(prefix: str) -> str:
    """Return how the audit record names a key: a whole key sent by mistake leaves no more than its prefix there."""
    return prefix[:PREFIX_CHARACTERS]


def _no_such_key() -> PermissionDenied:
    return PermissionDenied("You have no such API key; list your keys to see their prefixes.")
