"""The login by password that both account APIs share: lockout, audit, password check, rehash, new session."""

from dataclasses import replace

from vectrograph.control.passwords import MAX_PASSWORD_BYTES, Passwords
from vectrograph.control.records import SessionRecord, StoredPassword
from vectrograph.control.store import ControlStore
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import InvalidCredentials, PermissionDenied
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.lockout import Lockout
from vectrograph.services.call import Origin


class PasswordLogin:
    """Begins sessions by password. How an account is found, and which tokens it is given, is for the APIs to say."""

    def __init__(
        self, store: ControlStore, passwords: Passwords, audit: Audit, lockout: Lockout, development: Development
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._audit = audit
        self._lockout = lockout
        self._development = development

    def begin(
        self, stored: StoredPassword | None, name: str, password: str, origin: Origin, *, lifetime: int, refusal: str
    ) -> tuple[StoredPassword, SessionRecord]:
        """Check the password of an account and begin a session.

        An unknown account takes as long to refuse as a wrong password, and the answer is the same.

        Args:
            stored: the account with its password hash, None when there is no such account.
            name: the name that was given, for the count of failures. Failures of a known account count under its
                username, so that email and username share their attempts.
            password: the password that was given.
            origin: where the request came from.
            lifetime: microseconds until the session ends.
            refusal: the message for a wrong name or password.

        Raises:
            InvalidCredentials: there is no such account, or the password is wrong.
            PermissionDenied: the password is right, but the account is disabled.
            RateLimited: too many failures for this account or from this address; the password was not looked at.
            Unavailable: too many logins at once.
        """
        counted = name if stored is None else stored.user.username
        self._lockout.begin(counted, origin.address, exists=stored is not None)
        # A name that no account has may be a password in the wrong field, and is not written down.
        target = "(no such account)" if stored is None else stored.user.username
        actor = "" if stored is None else stored.user.user_id
        tenant = DEFAULT_TENANT if stored is None else stored.user.tenant
        with self._audit.noting_anonymous("session.login", target, origin, actor=actor, tenant=tenant):
            checked = self._checked(stored, password, origin, refusal)
            session = self._store.sessions.start(checked, lifetime)
        self._lockout.succeed(counted, origin.address)
        return checked, session

    def matches(self, stored: StoredPassword | None, password: str) -> bool:
        """Compare a password with the stored hash; no account, and a password that is too long, take as long.

        Raises:
            Unavailable: too many passwords are being hashed.
        """
        encoded = None if stored is None else stored.encoded
        return self._passwords.matches(encoded, password[:MAX_PASSWORD_BYTES]) and len(password) <= MAX_PASSWORD_BYTES

    def _checked(self, stored: StoredPassword | None, password: str, origin: Origin, refusal: str) -> StoredPassword:
        matches = self.matches(stored, password)
        if stored is None or not matches or self._development.refuses(stored, password, origin):
            raise InvalidCredentials(refusal)
        if stored.user.disabled:
            raise PermissionDenied(f"The account {stored.user.username} is disabled; ask an administrator.")
        if not self._passwords.is_outdated(stored.encoded):
            return stored
        encoded = self._passwords.encode(password)
        self._store.accounts.rehash_password(stored.user.user_id, stored.encoded, encoded)
        return replace(stored, encoded=encoded)
