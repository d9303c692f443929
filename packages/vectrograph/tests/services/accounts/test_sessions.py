import threading
import time
from pathlib import Path

import jwt
import pytest
from services.house import House, build, call_as

from vectrograph.control.passwords import Passwords
from vectrograph.control.seeding import default_password_in_force
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.errors import (
    DomainError,
    InvalidApiKey,
    InvalidArgument,
    InvalidCredentials,
    InvalidToken,
    PermissionDenied,
    TokenExpired,
    Unauthenticated,
)
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services.accounts.sessions import Sessions, TokenPair


@pytest.fixture
def sessions(house: House) -> Sessions:
    return house.services.sessions


@pytest.fixture
def pair(sessions: Sessions) -> TokenPair:
    return sessions.login("developer", "developer123")


def test_a_login_gives_a_working_access_token_and_the_account(sessions: Sessions, pair: TokenPair) -> None:
    assert pair.expires_in == 900
    assert (pair.user.user_id, pair.user.role, pair.user.email) == ("developer", Role.DEVELOPER, "dev@neurograph.dev")
    assert pair.user.scopes == ROLE_SCOPES[Role.DEVELOPER]
    principal = sessions.authenticate(pair.access_token)
    assert (principal.user_id, principal.role, principal.tenant) == ("developer", Role.DEVELOPER, "default")
    assert principal.scopes == ROLE_SCOPES[Role.DEVELOPER]
    assert principal.key_id is None
    assert principal.token_id is not None


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("developer", "developer124"),
        ("developer", ""),
        ("Developer", "developer123"),
        ("nobody", "developer123"),
        ("", ""),
        ("x" * 1000, "developer123"),
        ("developer", "x" * 100_000),
        ("developer", "\ud800" * 8),
    ],
)
def test_wrong_name_and_wrong_password_read_the_same(sessions: Sessions, username: str, password: str) -> None:
    with pytest.raises(InvalidCredentials) as caught:
        sessions.login(username, password)
    assert caught.value.message == "Incorrect username or password."
    assert caught.value.details == {}


def test_an_unknown_name_takes_as_long_as_a_wrong_password(sessions: Sessions) -> None:
    def seconds(username: str) -> float:
        # Of this thread, which does the hashing: other work on the machine does not count.
        started = time.thread_time()
        with pytest.raises(InvalidCredentials):
            sessions.login(username, "wrong password")
        return time.thread_time() - started

    unknown, wrong = (min(seconds(name) for _ in range(3)) for name in ("nobody", "developer"))
    assert unknown > wrong / 2


def test_a_name_that_cannot_be_written_is_refused(house: House, sessions: Sessions) -> None:
    with pytest.raises(InvalidArgument, match="surrogate"):
        sessions.login("\ud800", "developer123")
    with pytest.raises(InvalidArgument):
        house.services.keys.get(call_as(), "\ud800")


@pytest.mark.parametrize("credential", ["garbage", "a.b.c", "x" * 5000, "\ud800"])
def test_what_is_no_token_is_an_invalid_token(sessions: Sessions, credential: str) -> None:
    with pytest.raises(InvalidToken):
        sessions.authenticate(credential)
    with pytest.raises(InvalidToken):
        sessions.refresh(credential)


def test_no_credential_at_all(sessions: Sessions) -> None:
    with pytest.raises(Unauthenticated, match="No credentials"):
        sessions.authenticate("")


def test_a_refresh_token_is_no_access_token(sessions: Sessions, pair: TokenPair) -> None:
    with pytest.raises(InvalidToken):
        sessions.authenticate(pair.refresh_token)
    with pytest.raises(InvalidToken):
        sessions.refresh(pair.access_token)


def test_access_ends_after_fifteen_minutes_also_when_remembered(
    house: House, sessions: Sessions, pair: TokenPair
) -> None:
    sessions.authenticate(pair.access_token)
    house.clock.advance(899)
    sessions.authenticate(pair.access_token)
    house.clock.advance(1)
    with pytest.raises(TokenExpired):
        sessions.authenticate(pair.access_token)


def test_refreshing_keeps_a_session_alive_week_after_week(house: House, sessions: Sessions, pair: TokenPair) -> None:
    for _ in range(3):
        house.clock.advance(6 * 24 * 3600)
        pair = sessions.refresh(pair.refresh_token)
        assert sessions.authenticate(pair.access_token).user_id == "developer"
    house.clock.advance(7 * 24 * 3600)
    with pytest.raises(TokenExpired):
        sessions.refresh(pair.refresh_token)


def test_a_refresh_token_used_again_ends_the_session_for_everyone(sessions: Sessions, pair: TokenPair) -> None:
    newer = sessions.refresh(pair.refresh_token)
    sessions.authenticate(newer.access_token)
    with pytest.raises(InvalidToken, match="used before"):
        sessions.refresh(pair.refresh_token)
    for token in (pair.access_token, newer.access_token):
        with pytest.raises(InvalidToken):
            sessions.authenticate(token)
    with pytest.raises(InvalidToken):
        sessions.refresh(newer.refresh_token)
    sessions.authenticate(sessions.login("developer", "developer123").access_token)


def test_of_two_refreshes_at_once_exactly_one_wins(sessions: Sessions, pair: TokenPair) -> None:
    gate = threading.Barrier(2)
    won: list[TokenPair] = []
    lost: list[DomainError] = []

    def refresh() -> None:
        gate.wait(20)
        try:
            won.append(sessions.refresh(pair.refresh_token))
        except DomainError as error:
            lost.append(error)

    threads = [threading.Thread(target=refresh) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 1)
    assert isinstance(lost[0], InvalidToken)
    with pytest.raises(InvalidToken):
        sessions.authenticate(won[0].access_token)


def test_logout_ends_this_session_at_once_and_no_other(house: House, sessions: Sessions, pair: TokenPair) -> None:
    other = sessions.login("developer", "developer123")
    call = house.as_bearer(pair.access_token)
    sessions.logout(call)
    with pytest.raises(InvalidToken, match="ended"):
        sessions.authenticate(pair.access_token)
    with pytest.raises(InvalidToken):
        sessions.refresh(pair.refresh_token)
    sessions.authenticate(other.access_token)
    sessions.logout(call)


def test_me_is_the_account_with_the_scopes_of_the_credentials(house: House, sessions: Sessions) -> None:
    call = house.login()
    assert sessions.me(call).scopes == ROLE_SCOPES[Role.DEVELOPER]
    key = house.services.keys.create(call, "k", ["tokens:read"], None)
    mine = sessions.me(house.as_bearer(key.secret))
    assert (mine.user_id, mine.role) == ("developer", Role.DEVELOPER)
    assert mine.scopes == {"tokens:read"}


def test_a_changed_password_ends_all_sessions_but_no_keys(house: House, sessions: Sessions) -> None:
    first, second = (sessions.login("developer", "developer123") for _ in range(2))
    call = house.as_bearer(first.access_token)
    house.as_bearer(second.access_token)
    key = house.services.keys.create(call, "k", ["tokens:read"], None)
    sessions.change_password(call, "developer123", "a better password")
    for old in (first, second):
        with pytest.raises(InvalidToken):
            sessions.authenticate(old.access_token)
        with pytest.raises(InvalidToken):
            sessions.refresh(old.refresh_token)
    with pytest.raises(InvalidCredentials):
        sessions.login("developer", "developer123")
    sessions.login("developer", "a better password")
    assert sessions.authenticate(key.secret).key_id == key.record.key_id
    assert default_password_in_force(house.store) == ["admin", "viewer"]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("wrong", "a better password", "old_password"),
        ("developer123", "short", "new_password"),
        ("developer123", "", "new_password"),
        ("developer123", "x" * 1025, "new_password"),
        ("developer123", "developer123", "new_password"),
        ("developer123", "admin123", "new_password"),
        ("developer123", "\ud800 eight characters", "new_password"),
    ],
)
def test_password_changes_that_are_refused_change_nothing(
    house: House, sessions: Sessions, pair: TokenPair, old: str, new: str, field: str
) -> None:
    call = house.as_bearer(pair.access_token)
    with pytest.raises(InvalidArgument) as caught:
        sessions.change_password(call, old, new)
    assert caught.value.details["errors"][0]["field"] == field
    assert old not in caught.value.message
    assert not new or new not in caught.value.message
    sessions.authenticate(pair.access_token)
    sessions.login("developer", "developer123")


def test_a_key_has_neither_session_nor_password(house: House, sessions: Sessions) -> None:
    key = house.services.keys.create(house.login(), "k", None, None)
    by_key = house.as_bearer(key.secret)
    with pytest.raises(PermissionDenied):
        sessions.logout(by_key)
    with pytest.raises(PermissionDenied):
        sessions.change_password(by_key, "developer123", "a better password")


def test_a_disabled_account_is_shut_out_at_once_and_back_when_enabled(house: House, sessions: Sessions) -> None:
    call = house.login("viewer")
    pair = sessions.login("viewer", "viewer123")
    sessions.authenticate(pair.access_token)
    secret = house.store.api_keys.create("viewer", "k", ["tokens:read"], None).secret
    sessions.authenticate(secret)
    admin = call_as(role=Role.ADMIN, user_id="admin")
    assert house.services.users.set_disabled(admin, "viewer", True).disabled
    with pytest.raises(InvalidToken):
        sessions.authenticate(pair.access_token)
    with pytest.raises(InvalidApiKey):
        sessions.authenticate(secret)
    with pytest.raises(PermissionDenied, match="disabled"):
        sessions.login("viewer", "viewer123")
    with pytest.raises(InvalidCredentials):
        sessions.login("viewer", "a wrong password")
    with pytest.raises(InvalidToken):
        sessions.refresh(pair.refresh_token)
    house.services.users.set_disabled(admin, "viewer", False)
    sessions.login("viewer", "viewer123")
    sessions.authenticate(secret)
    assert call.principal.user_id == "viewer"


def test_what_was_ended_stays_ended_after_a_restart_and_what_was_not_goes_on(
    house: House, sessions: Sessions, tmp_path: Path
) -> None:
    ended, alive = (sessions.login("developer", "developer123") for _ in range(2))
    call = house.as_bearer(ended.access_token)
    revoked = house.services.keys.create(call, "revoked", None, None)
    kept = house.services.keys.create(call, "kept", None, None)
    house.services.keys.revoke(call, revoked.record.key_id)
    sessions.logout(call)
    house.store.close()
    again = build(tmp_path, house.clock, ReferenceEngine())
    restarted = again.services.sessions
    with pytest.raises(InvalidToken):
        restarted.authenticate(ended.access_token)
    with pytest.raises(InvalidToken):
        restarted.refresh(ended.refresh_token)
    with pytest.raises(InvalidApiKey):
        restarted.authenticate(revoked.secret)
    assert restarted.authenticate(alive.access_token).user_id == "developer"
    assert restarted.authenticate(kept.secret).user_id == "developer"
    assert restarted.refresh(alive.refresh_token).user.username == "developer"
    again.store.close()


def test_a_hash_with_old_parameters_is_renewed_at_login(
    house: House, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.store.accounts.password_of("developer").encoded
    stronger = Passwords(time_cost=3)
    monkeypatch.setattr(sessions._password_login, "_passwords", stronger)
    pair = sessions.login("developer", "developer123")
    after = house.store.accounts.password_of("developer").encoded
    assert stronger.is_outdated(before)
    assert not stronger.is_outdated(after)
    sessions.authenticate(pair.access_token)
    sessions.login("developer", "developer123")
    assert house.store.accounts.password_of("developer").encoded == after


def test_nothing_shows_a_token(pair: TokenPair) -> None:
    shown = f"{pair!r} {pair}"
    assert pair.access_token not in shown
    assert pair.refresh_token not in shown


def test_a_token_does_no_more_than_it_says_and_no_more_than_its_account_may_now(house: House) -> None:
    sessions, admin = house.services.sessions, house.login("admin")
    kept = sessions.login("viewer", "viewer123")
    house.services.users.set_role(admin, "viewer", Role.DEVELOPER)
    narrow = sessions.authenticate(kept.access_token)
    assert (narrow.role, narrow.scopes) == (Role.VIEWER, ROLE_SCOPES[Role.VIEWER])
    wide = sessions.refresh(kept.refresh_token)
    assert sessions.authenticate(wide.access_token).scopes == ROLE_SCOPES[Role.DEVELOPER]
    house.services.users.set_role(admin, "viewer", Role.BOT)
    for pair in (kept, wide):
        now = sessions.authenticate(pair.access_token)
        assert now.scopes == ROLE_SCOPES[Role.BOT] & jwt_scopes(pair)
        assert now.role is Role.BOT


def jwt_scopes(pair: TokenPair) -> frozenset[str]:
    return frozenset(jwt.decode(pair.access_token, options={"verify_signature": False})["scopes"])
