"""Logging in, staying in, logging out."""

import dataclasses
from dataclasses import dataclass, field
from typing import Final

from vectrograph.control.clock import SECOND
from vectrograph.control.passwords import Passwords
from vectrograph.control.records import SessionRecord, UserRecord
from vectrograph.control.sessions import Rotation
from vectrograph.control.signing import ACCESS_SECONDS, REFRESH_SECONDS, TokenSigner, TokenType
from vectrograph.control.store import ControlStore
from vectrograph.domain.errors import (
    InvalidArgument,
    InvalidToken,
    PermissionDenied,
)
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.credentials import Credentials
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.lockout import Lockout
from vectrograph.services.accounts.password_login import PasswordLogin
from vectrograph.services.accounts.rules import validate_new_password
from vectrograph.services.call import UNKNOWN_ORIGIN, Call, Origin, Principal

# Longest username, in characters; a longer one names no account and is not looked up.
_MAX_USERNAME_CHARACTERS: Final = 64
_LIFETIME: Final = REFRESH_SECONDS * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """Tokens of a login or refresh. `expires_in` is the access token's life in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    user: UserRecord


class Sessions:
    """Sessions of accounts, and who a credential stands for.

    A refresh token works once. Presenting one again ends its whole session, because either its owner or a thief holds a
    copy; this also meets a client that lost the answer to its refresh and repeats it, or two that share one token and
    refresh at the same moment: they log in again. That is the price of noticing theft, and the reason why a client
    should refresh in one place.
    """

    def __init__(
        self,
        store: ControlStore,
        signer: TokenSigner,
        credentials: Credentials,
        passwords: Passwords,
        audit: Audit,
        lockout: Lockout,
        development: Development,
        password_login: PasswordLogin,
    ) -> None:
        self._store = store
        self._signer = signer
        self._credentials = credentials
        self._passwords = passwords
        self._audit = audit
        self._lockout = lockout
        self._development = development
        self._password_login = password_login

    def login(self, username: str, password: str, origin: Origin = UNKNOWN_ORIGIN) -> TokenPair:
        """Begin a session. An unknown username takes as long to refuse as a wrong password and reads the same.

        Raises:
            InvalidCredentials: wrong username or password.
            PermissionDenied: both are right, but the account is disabled.
            RateLimited: too many failures for this username or from this address; the password was not looked at.
            Unavailable: too many logins at once.
        """
        stored = self._store.accounts.password(username) if len(username) <= _MAX_USERNAME_CHARACTERS else None
        checked, session = self._password_login.begin(
            stored, username, password, origin, lifetime=_LIFETIME, refusal="Incorrect username or password."
        )
        return self._pair(session, checked.user)

    def refresh(self, refresh_token: str, origin: Origin = UNKNOWN_ORIGIN) -> TokenPair:
        """Exchange a refresh token for a new pair; see the class for what happens to a token that is used again.

        Raises:
            InvalidToken: it is no refresh token of ours, was used before, or its session is over.
            TokenExpired: its seven days are over.
        """
        claims = self._signer.verify(refresh_token, TokenType.REFRESH)
        rotation, session = self._store.sessions.rotate(claims.session_id, claims.token_id, _LIFETIME)
        if rotation is Rotation.REUSED:
            with self._audit.noting_anonymous(
                "session.reuse", claims.user_id, origin, actor=claims.user_id, or_log=True
            ):
                self._store.sessions.end(claims.session_id)
                raise InvalidToken("This refresh token was used before, so its session was ended; log in again.")
        if session is None:
            raise InvalidToken("The session of this refresh token has ended; log in again.")
        user = self._store.accounts.get(session.user_id)
        if user.disabled or self._development.ends_session(user):
            raise InvalidToken("The session of this refresh token has ended; log in again.")
        return self._pair(session, user)

    def authenticate(self, credential: str) -> Principal:
        """Return the caller that a raw API key or an access token stands for, checked live.

        Raises:
            Unauthenticated: it does not hold; the subclass says why.
        """
        return self._credentials.authenticate(credential)

    def logout(self, call: Call) -> None:
        """End the caller's session: its access and refresh tokens cease to work at once. Other sessions go on.

        Raises:
            PermissionDenied: the caller holds an API key, which has no session.
        """
        with self._audit.noting(call, "session.logout", call.principal.username):
            self._store.sessions.end(_session_of(call))

    def me(self, call: Call) -> UserRecord:
        """Return the caller's account; `scopes` are those of the credentials presented.

        Raises:
            UserNotFound: the account is gone.
        """
        record = self._store.accounts.get(call.principal.user_id)
        return dataclasses.replace(record, scopes=call.principal.scopes)

    def change_password(self, call: Call, old: str, new: str) -> None:
        """Replace the caller's password and end all sessions of the account, this one too. API keys go on.

        Raises:
            PermissionDenied: the caller holds an API key.
            InvalidArgument: the old password is wrong, or the new one too short, too long, the old one again, or a
                published one.
            RateLimited: too many wrong passwords.
            Unavailable: too many passwords are being hashed.
        """
        _session_of(call)
        with self._audit.noting(call, "password.change", call.principal.username):
            self._lockout.begin(call.principal.username, call.origin.address)
            stored = self._store.accounts.password_of(call.principal.user_id)
            if not self._password_login.matches(stored, old):
                raise InvalidArgument.of("old_password", "is not the current password")
            self._lockout.succeed(call.principal.username, call.origin.address)
            if new == old:
                raise InvalidArgument.of("new_password", "must differ from the old one")
            validate_new_password(new, "new_password", stored.user.username)
            encoded = self._passwords.encode(new)
            self._store.accounts.change_password(stored.user.user_id, stored.encoded, encoded)

    def _pair(self, session: SessionRecord, user: UserRecord) -> TokenPair:
        return TokenPair(
            access_token=self._signer.access_token(session, user),
            refresh_token=self._signer.refresh_token(session),
            expires_in=ACCESS_SECONDS,
            user=user,
        )


def _session_of(call: Call) -> str:
    if call.principal.session_id is None:
        raise PermissionDenied("An API key has no session and no password; log in with username and password for this.")
    return call.principal.session_id
