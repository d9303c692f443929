"""Development mode: published passwords and open registration, for people at this machine and nobody else.

The mode is decided once, when a server starts on a data directory, and stored with the accounts. It ends for good when
anything shows that others may reach the server: a setting that lets them, a request through a proxy or from another
address, or an account that is not the mode's own. Everything that depends on the mode asks this module.
"""

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import structlog

from vectrograph.control.development import DevelopmentState
from vectrograph.control.records import StoredPassword, UserRecord
from vectrograph.control.seeding import DEFAULT_PASSWORDS, default_password_in_force, seed_development_accounts
from vectrograph.control.store import ControlStore
from vectrograph.domain.errors import DomainError, OutOfSpace, StorageReadOnly
from vectrograph.services.call import Origin

log = structlog.get_logger("vectrograph.development")

_FORWARDED_PREFIX: Final = "x-forwarded"
# Headers that reverse proxies and load balancers add besides X-Forwarded-*: RFC 7239, RFC 9110 (Via), nginx, Envoy,
# Cloudflare, Akamai, Fastly, Google and Amazon.
PROXY_HEADERS: Final = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "x-original-host",
        "x-envoy-external-address",
        "x-envoy-original-path",
        "x-proxyuser-ip",
        "x-amzn-trace-id",
        "x-cloud-trace-context",
        "cf-connecting-ip",
        "cf-ray",
        "true-client-ip",
        "fastly-client-ip",
        "client-ip",
    }
)
_LOCAL: Final = frozenset({"", "127.0.0.1", "::1"})


class Development:
    """Development mode of one server. Thread-safe.

    Args:
        store: the accounts.
        elsewhere: the setting that lets others reach the server, such as "--trusted-proxy is set"; None when there is
            none.
    """

    def __init__(self, store: ControlStore, elsewhere: str | None = None) -> None:
        self._store = store
        record = store.development.get()
        self._is_watching = record.state is DevelopmentState.ON
        self._unsaved: str | None = None
        if self._is_watching and elsewhere is not None:
            self.end(elsewhere)

    @classmethod
    def start(cls, store: ControlStore, elsewhere: str | None) -> "Development":
        """Decide the mode of a server that starts, and make the published accounts of a fresh directory.

        Accounts are made once in the life of a directory: one that was deleted never comes back.

        Raises:
            Unavailable: the database does not take it.
        """
        state = store.development.get().state
        if state is DevelopmentState.UNDECIDED and elsewhere is not None:
            store.development.end(elsewhere)
        elif state is DevelopmentState.UNDECIDED:
            seed_development_accounts(store)
        elif state is DevelopmentState.ON:
            # A directory of an earlier version is judged by its accounts; from now on the answer is stored, unless the
            # disk takes no writes.
            with suppress(StorageReadOnly, OutOfSpace):
                store.development.begin()
        return cls(store, elsewhere)

    @property
    def is_watching(self) -> bool:
        """Return whether requests must be looked at for signs of a proxy or another address; costs nothing to ask."""
        return self._is_watching

    def is_on(self) -> bool:
        """Return whether the mode is on, from the database: another process may have ended it.

        Raises:
            Unavailable: the database does not answer.
        """
        if not self._is_watching:
            return False
        record = self._store.development.get()
        if record.state is DevelopmentState.ON:
            return True
        self._stop_watching(record.reason)
        return False

    def look(self, address: str, headers: Iterable[str]) -> None:
        """End the mode when a request came through a proxy or from another machine. `headers` are lower-case names."""
        if self._is_watching and (sign := sign_of_others(address, headers)) is not None:
            self.end(sign)

    def end(self, reason: str) -> None:
        """End the mode at once and for good; sessions of accounts with a published password end with it.

        A database that does not take it is told again by `close`; this server treats the mode as ended anyway.
        """
        if not self._is_watching:
            return
        self._stop_watching(reason)
        self._save(reason)

    def close(self) -> None:
        """Store the end of the mode, if the database did not take it before."""
        if self._unsaved is not None:
            self._save(self._unsaved)

    def usable_passwords(self) -> list[str]:
        """Return usernames whose published password works here now."""
        return default_password_in_force(self._store) if self.is_on() else []

    def refuses(self, stored: StoredPassword, password: str, origin: Origin) -> bool:
        """Return whether a password that was just found right must not be accepted, because it is a published one.

        The log says why. The caller is told no more than about any wrong password.
        """
        is_published = stored.user.password_is_published or password in DEFAULT_PASSWORDS
        if not is_published or self.is_on():
            return False
        log.warning(
            "published password refused",
            username=stored.user.username,
            address=origin.address,
            reason=f"development mode is over: {self.reason()}",
            advice=f"set a password with `vectrograph users set-password {stored.user.username}`",
            request_id=origin.request_id,
        )
        return True

    def ends_session(self, user: UserRecord) -> bool:
        """Return whether a session may not be prolonged, because it began with a published password."""
        return user.password_is_published and not self.is_on()

    def reason(self) -> str:
        """Return why the mode is not on; "" while it is, and where it never was."""
        return self._unsaved or self._store.development.get().reason

    def _stop_watching(self, reason: str) -> None:
        if self._is_watching:
            self._is_watching = False
            log.warning(
                "development mode has ended: registration is closed, published passwords do not work any more",
                reason=reason,
                advice="set passwords with `vectrograph users set-password NAME`; API keys stay valid until revoked",
            )

    def _save(self, reason: str) -> None:
        try:
            self._store.development.end(reason)
            self._unsaved = None
        except DomainError as error:
            self._unsaved = reason
            log.error("the end of development mode could not be stored yet", problem=error.message)


def sign_of_others(address: str, headers: Iterable[str]) -> str | None:
    """Return the sign that a request was not sent at this machine, or None.

    Args:
        address: of the other end of the connection.
        headers: names of the request's headers, lower case.

    >>> sign_of_others("127.0.0.1", ["host", "x-forwarded-for"])
    'a request came through a proxy (it has the header x-forwarded-for)'
    >>> sign_of_others("192.0.2.7", ["host"])
    'a request came from 192.0.2.7'
    >>> sign_of_others("::ffff:127.0.0.1", ["host", "accept"])
    """
    if address not in _LOCAL and not _is_loopback(address):
        return f"a request came from {address}"
    for name in headers:
        if name.startswith(_FORWARDED_PREFIX) or name in PROXY_HEADERS:
            return f"a request came through a proxy (it has the header {name[:64]})"
    return None


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # Not an address: a Unix socket, or a test client.
        return True
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback
