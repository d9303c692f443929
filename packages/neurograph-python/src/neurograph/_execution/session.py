"""Login, refresh before expiry, and renewal after a 401, as a flow without I/O."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from neurograph._execution.exchange import Exchange
from neurograph._options import ApiKey, Credentials, Password
from neurograph._protocol import operations
from neurograph._protocol.call import Call
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.flow import Flow
from neurograph.exceptions import AuthenticationError, NeuroGraphError, TimeoutError
from neurograph.models import LoginResponse

T = TypeVar("T")

# Seconds before its end at which an access token is renewed: time for clocks that differ and for slow requests.
_LEEWAY_SECONDS = 30.0
# The same as a share of the token's life, for tokens that live a minute or two; the smaller one counts.
_LEEWAY_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens of a login or a refresh.

    Attributes:
        refresh_at: when to renew, on the session's clock.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    refresh_at: float


@dataclass(frozen=True, slots=True)
class Authenticate:
    """The effect "get me a credential": the shell drives `Session.renew` under its lock and answers with the bearer.

    Attributes:
        stale: a bearer that the server has refused.
        seen: `Session.renewals` when the need arose, so that a renewal in the meantime counts for this
            caller too.
    """

    stale: str | None
    seen: int
    deadline: Deadline


class Session:
    """The credentials of a client and what they have bought; shared by all its threads and tasks.

    Reading is free of locks: a grant is an immutable value, replaced as a whole. Renewing happens under
    the lock of the shell, so that any number of calls makes one login; those who waited while a login
    failed get its error instead of trying again in a row.

    Args:
        credentials: None allows public calls only.
        clock: seconds, never going back.
    """

    def __init__(self, credentials: Credentials, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._clock = clock
        self._grant: Grant | None = None
        self._failure: NeuroGraphError | None = None
        self.renewals = 0

    @property
    def signed_in(self) -> bool:
        """Return whether there is a session on the server to end: a password has bought a token."""
        return self._grant is not None

    def forget(self, password: str | None = None) -> None:
        """Drop what the credentials have bought; the next call logs in again, with this password if given."""
        self._grant = self._failure = None
        if password is not None and isinstance(self._credentials, Password):
            self._credentials = Password(self._credentials.username, password)

    def bearer(self) -> str | None:
        """Return the credential to send, or None when it must be renewed first."""
        if isinstance(self._credentials, ApiKey):
            return self._credentials.api_key
        grant = self._grant
        return grant.access_token if grant is not None and self._clock() < grant.refresh_at else None

    @property
    def renewable(self) -> bool:
        """Return whether a refused credential can be replaced: a password can buy another token, an API key is what it
        is.
        """
        return isinstance(self._credentials, Password)

    def renew(self, request: Authenticate, exchange: Exchange) -> Flow[str]:
        """Refresh or logs in, unless somebody else just did; to be driven under a lock.

        Raises:
            AuthenticationError: there are no credentials, or the server refuses them.
            NeuroGraphError: whatever else went wrong, as in any call.
        """
        bearer = self.bearer()
        if bearer is not None and bearer != request.stale:
            return bearer
        if self.renewals != request.seen and self._failure is not None:
            raise copy.copy(self._failure)
        try:
            grant = yield from self._obtain(request, exchange)
        except TimeoutError:
            raise  # this caller's time was up; the next one may have more
        except NeuroGraphError as error:
            self._failure = copy.copy(error)
            self.renewals += 1
            raise
        self._grant, self._failure = grant, None
        self.renewals += 1
        return grant.access_token

    def _obtain(self, request: Authenticate, exchange: Exchange) -> Flow[Grant]:
        if not isinstance(self._credentials, Password):
            raise AuthenticationError(
                "This call needs credentials: pass api_key, or username and password, to the client, "
                "or set NEUROGRAPH_API_KEY, or NEUROGRAPH_USERNAME and NEUROGRAPH_PASSWORD",
                error_code="MISSING_CREDENTIALS",
                request_sent=False,
            )
        held = self._grant.refresh_token if self._grant is not None else None
        if held is not None:
            try:
                answer = yield from exchange(operations.refresh(held), request.deadline, secrets=(held,))
                return self._keep(answer, held)
            except NeuroGraphError:
                self._grant = None  # used up, revoked or unreachable: the password decides
        name, password = self._credentials.username, self._credentials.password
        login = operations.login(name, password)
        return self._keep((yield from exchange(login, request.deadline, secrets=(password,))))

    def _keep(self, answer: LoginResponse, held: str | None = None) -> Grant:
        lifetime = answer.expires_in
        leeway = 0.0 if lifetime is None else min(_LEEWAY_SECONDS, lifetime * _LEEWAY_SHARE)
        refresh_at = float("inf") if lifetime is None else self._clock() + lifetime - leeway
        return Grant(answer.access_token, answer.refresh_token or held, refresh_at)


def authorized(call: Call[T], session: Session, exchange: Exchange, deadline: Deadline) -> Flow[T]:
    """Return one call with whatever login it needs.

    A credential is renewed before its time is up, and once more when the server refuses it all the same.

    Yields:
        Authenticate, besides the effects of the exchange.

    Raises:
        NeuroGraphError: the call failed, or the login did.
    """
    if call.public:
        return (yield from exchange(call, deadline))
    bearer = session.bearer()
    if bearer is None:
        bearer = yield Authenticate(None, session.renewals, deadline)
    seen = session.renewals
    try:
        return (yield from exchange(call, deadline, bearer=bearer))
    except AuthenticationError:
        if not session.renewable:
            raise
    bearer = yield Authenticate(bearer, seen, deadline)
    return (yield from exchange(call, deadline, bearer=bearer))
