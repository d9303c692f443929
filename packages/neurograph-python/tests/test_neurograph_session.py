"""Login, refresh and renewal as a flow, on a clock of the test's own and without any socket."""

import json
import re
from typing import Any

import pytest

from neurograph import AuthenticationError, ConnectionError, ServerError, TimeoutError
from neurograph._execution.exchange import Exchange
from neurograph._execution.session import Authenticate, Session, authorized
from neurograph._options import ApiKey, Password
from neurograph._protocol import operations
from neurograph._wirekit.deadline import Deadline
from neurograph._wirekit.flow import Send, run
from neurograph._wirekit.retry import RetryPolicy
from neurograph.wire import Request, Response

NEVER = Deadline.after(None)


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Shell:
    """Performs effects against answers in memory, and remembers them."""

    def __init__(self, session: Session, expires_in: float | None = 900) -> None:
        self.session = session
        self.exchange = Exchange(RetryPolicy(max_retries=0))
        self.expires_in = expires_in
        self.sent: list[str] = []
        self.failing: dict[str, Exception] = {}

    def call(self) -> None:
        run(authorized(operations.get_token(7), self.session, self.exchange, NEVER), self.perform)

    def perform(self, effect: Any) -> Any:
        if isinstance(effect, Authenticate):
            return run(self.session.renew(effect, self.exchange), self.perform)
        assert isinstance(effect, Send)
        request: Request = effect.request
        self.sent.append(request.target.rpartition("/")[2])
        if self.sent[-1] in self.failing:
            raise self.failing[self.sent[-1]]
        if request.method == "GET":
            return Response(request, 200, {}, b'{"id": 7}')
        number = sum(name != "7" for name in self.sent)
        body: dict[str, Any] = {"access_token": f"a{number}", "refresh_token": f"r{number}"}
        if self.expires_in is not None:
            body["expires_in"] = self.expires_in
        return Response(request, 200, {}, json.dumps(body).encode())


def password_session(clock: Clock) -> Session:
    return Session(Password("me", "secret"), clock)


@pytest.mark.parametrize(("lifetime", "renewed_after"), [(900.0, 870.0), (100.0, 80.0), (2.0, 1.6)])
def test_a_token_is_renewed_shortly_before_its_time(lifetime: float, renewed_after: float) -> None:
    clock = Clock()
    shell = Shell(password_session(clock), lifetime)
    shell.call()
    clock.now = renewed_after - 0.01
    shell.call()
    assert shell.sent == ["login", "7", "7"]
    clock.now = renewed_after
    shell.call()
    assert shell.sent == ["login", "7", "7", "refresh", "7"]


def test_a_token_without_a_lifetime_is_kept() -> None:
    clock = Clock()
    shell = Shell(password_session(clock), expires_in=None)
    shell.call()
    clock.now = 1e9
    shell.call()
    assert shell.sent == ["login", "7", "7"]


@pytest.mark.parametrize("error", [AuthenticationError("used up", status_code=401), ConnectionError("lost")])
def test_a_failed_refresh_falls_back_to_the_password(error: Exception) -> None:
    clock = Clock()
    shell = Shell(password_session(clock))
    shell.call()
    clock.now = 1000
    shell.failing["refresh"] = error
    shell.call()
    assert shell.sent == ["login", "7", "refresh", "login", "7"]


def test_a_failed_login_counts_for_all_who_waited_but_not_for_the_next() -> None:
    session = password_session(Clock())
    shell = Shell(session)
    shell.failing["login"] = ServerError("down", status_code=503)
    waiting = Authenticate(None, session.renewals, NEVER)
    with pytest.raises(ServerError) as first:
        run(session.renew(waiting, shell.exchange), shell.perform)
    with pytest.raises(ServerError) as second:
        run(session.renew(waiting, shell.exchange), shell.perform)
    assert shell.sent == ["login"]
    assert second.value is not first.value
    del shell.failing["login"]
    shell.call()
    assert shell.sent == ["login", "login", "7"]


def test_one_callers_impatience_is_not_anothers_failure() -> None:
    session = password_session(Clock())
    shell = Shell(session)
    shell.failing["login"] = TimeoutError("too slow for me")
    waiting = Authenticate(None, session.renewals, NEVER)
    with pytest.raises(TimeoutError):
        run(session.renew(waiting, shell.exchange), shell.perform)
    del shell.failing["login"]
    assert run(session.renew(waiting, shell.exchange), shell.perform) == "a2"


def test_a_renewal_in_the_meantime_serves_those_with_the_stale_token() -> None:
    session = password_session(Clock())
    shell = Shell(session)
    shell.call()
    stale = Authenticate("a1", session.renewals, NEVER)
    assert run(session.renew(stale, shell.exchange), shell.perform) == "a2"
    assert run(session.renew(stale, shell.exchange), shell.perform) == "a2"
    assert shell.sent == ["login", "7", "refresh"]


def test_a_key_needs_no_login() -> None:
    shell = Shell(Session(ApiKey("ng_key")))
    shell.call()
    assert shell.sent == ["7"]


def test_no_credentials_are_told_without_sending_anything() -> None:
    shell = Shell(Session(None))
    with pytest.raises(AuthenticationError, match="pass api_key") as caught:
        shell.call()
    assert shell.sent == []
    assert caught.value.error_code == "MISSING_CREDENTIALS"


def test_nothing_shows_a_secret() -> None:
    session = password_session(Clock())
    shell = Shell(session)
    shell.call()
    seen = " ".join(repr(value) for value in vars(session).values()) + repr(operations.login("me", "secret"))
    seen = re.sub("0x[0-9a-f]+", "", seen)  # an address in memory may spell anything
    assert "secret" not in seen.replace("secrets", "")
    assert "a1" not in seen
    assert "r1" not in seen
    assert "a1" not in repr(Request("GET", "/x", bearer="a1"))
