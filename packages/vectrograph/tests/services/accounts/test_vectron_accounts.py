"""Vectron's registration and logins: failures counted, acts recorded, tenants kept apart, on both kinds of database."""

from collections.abc import Callable

import pytest
from services.house import House
from sqlalchemy import URL

from vectrograph.control.passwords import Passwords
from vectrograph.control.records import AuditRecord
from vectrograph.domain.errors import (
    AlreadyExists,
    InvalidApiKey,
    InvalidArgument,
    InvalidCredentials,
    InvalidToken,
    PermissionDenied,
    RateLimited,
)
from vectrograph.services.accounts.lockout import FOR_ADDRESS, FOR_PAIR
from vectrograph.services.accounts.registration import Registration
from vectrograph.services.call import Call, Origin

PASSWORD = "Correct-horse-7"
HERE = Origin("198.51.100.7", "r-1")
ELSEWHERE = Origin("203.0.113.9", "r-2")


@pytest.fixture
def control_url(either_control_url: str | URL) -> str | URL:
    return either_control_url


@pytest.fixture
def admin(house: House) -> Call:
    return house.login("admin")


@pytest.fixture
def registration(house: House) -> Registration:
    """Provide the one of development mode, which the house is in until somebody ends it."""
    return house.services.registration


def entries(house: House, admin: Call, action: str) -> list[AuditRecord]:
    """Return entries of an action, oldest first."""
    return [entry for entry in reversed(house.services.audit.list(admin, limit=1000)) if entry.action == action]


def fails(login: Callable[[], object], times: int) -> None:
    for _ in range(times):
        with pytest.raises(InvalidCredentials):
            login()


def test_failures_by_email_and_by_username_are_the_same_account(house: House) -> None:
    logins, sessions = house.services.logins, house.services.sessions
    fails(lambda: logins.login("dev@neurograph.dev", "wrong", HERE), FOR_PAIR.free - 2)
    fails(lambda: sessions.login("developer", "wrong", HERE), 2)
    for refused in (
        lambda: logins.login("dev@neurograph.dev", "developer123", HERE),
        lambda: sessions.login("developer", "developer123", HERE),
    ):
        with pytest.raises(RateLimited):
            refused()
    assert logins.login("dev@neurograph.dev", "developer123", ELSEWHERE).user.username == "developer"


def test_an_unknown_email_is_slowed_in_the_same_words(house: House) -> None:
    said = set()
    for email in ("viewer@neurograph.dev", "nobody@example.org"):
        origin = Origin(f"198.51.100.{len(email)}")
        fails(lambda e=email, o=origin: house.services.logins.login(e, "wrong", o), FOR_PAIR.free)  # type: ignore[misc]
        with pytest.raises(RateLimited) as caught:
            house.services.logins.login(email, "wrong", origin)
        said.add(caught.value.message)
    assert len(said) == 1


def test_one_address_cannot_try_many_emails(house: House) -> None:
    for number in range(FOR_ADDRESS.free):
        fails(lambda n=number: house.services.logins.login(f"u{n}@example.org", "wrong", HERE), 1)  # type: ignore[misc]
    with pytest.raises(RateLimited):
        house.services.logins.login("viewer@neurograph.dev", "viewer123", HERE)


def test_logins_and_registrations_are_recorded_whence_and_how_they_ended(
    house: House, admin: Call, registration: Registration
) -> None:
    user = registration.register(None, "Ada@Example.org", PASSWORD, HERE)
    with pytest.raises(AlreadyExists):
        registration.register(None, "ada@example.org", PASSWORD, HERE)
    house.services.development.end("the test says so")
    with pytest.raises(PermissionDenied):
        registration.register(None, "eve@example.org", PASSWORD, ELSEWHERE)
    house.services.logins.login("ada@example.org", PASSWORD, HERE)
    fails(lambda: house.services.logins.login("ada@example.org", "Wrong-horse-7", ELSEWHERE), 1)
    fails(lambda: house.services.logins.login("hunter2@example.org", "x", ELSEWHERE), 1)
    made = [(one.actor, one.target, one.outcome, one.address) for one in entries(house, admin, "user.create")]
    assert made == [
        ("", "ada@example.org", "ok", HERE.address),
        ("", "(no account)", "RESOURCE_ALREADY_EXISTS", HERE.address),
        ("", "(no account)", "PERMISSION_DENIED", ELSEWHERE.address),
    ]
    seen = [(one.actor, one.target, one.outcome, one.request_id) for one in entries(house, admin, "session.login")[-3:]]
    assert seen == [
        (user.user_id, "ada@example.org", "ok", "r-1"),
        (user.user_id, "ada@example.org", "INVALID_CREDENTIALS", "r-2"),
        ("", "(no such account)", "INVALID_CREDENTIALS", "r-2"),
    ]
    whole = repr(house.services.audit.list(admin, limit=1000))
    assert "hunter2" not in whole
    assert PASSWORD not in whole


def test_an_administrator_of_a_tenant_registers_into_it(house: House, admin: Call) -> None:
    phrase = "a phrase of one who governs"
    house.services.users.create(admin, username="boss", password=phrase, role="admin", tenant="acme")
    boss = house.as_bearer(house.services.sessions.login("boss", phrase).access_token)
    made = house.services.registration.register(boss.principal, "bob@acme.org", PASSWORD)
    assert (made.tenant, made.role.value) == ("acme", "viewer")
    assert "bob@acme.org" not in {user.email for user in house.services.users.list(admin)} - {made.email}
    login = house.services.logins.login("bob@acme.org", PASSWORD, HERE)
    assert house.as_bearer(login.token).principal.tenant == "acme"
    assert {one.tenant for one in entries(house, boss, "session.login")} == {"acme"}


def test_wrong_passwords_before_the_end_of_an_account_are_counted(house: House, registration: Registration) -> None:
    registration.register(None, "ada@example.org", PASSWORD)
    call = house.as_bearer(house.services.logins.login("ada@example.org", PASSWORD).token)
    for _ in range(FOR_PAIR.free):
        with pytest.raises(InvalidArgument):
            registration.remove(call, "Wrong-horse-7")
    with pytest.raises(RateLimited):
        registration.remove(call, PASSWORD)


def test_a_token_of_an_account_that_ended_ends_with_it(house: House, registration: Registration) -> None:
    registration.register(None, "ada@example.org", PASSWORD)
    login = house.services.logins.login("ada@example.org", PASSWORD)
    registration.remove(house.as_bearer(login.token), PASSWORD)
    with pytest.raises(InvalidToken):
        house.as_bearer(login.token)


def test_an_sdk_token_ends_with_its_key_however_that_ends(house: House, admin: Call) -> None:
    """Revoked, deleted, replaced, expired, its owner disabled, its owner gone: the token holds no longer."""
    keys, logins, users = house.services.keys, house.services.logins, house.services.users
    ends: list[Callable[[str, Call], object]] = [
        lambda key, call: keys.revoke(call, key),
        lambda key, call: keys.delete(call, key),
        lambda key, call: keys.rotate(call, key),
        lambda key, call: house.clock.advance(25 * 3600),
        lambda key, call: users.set_disabled(house.login("admin"), "developer", True),
    ]
    for end in ends:
        call = house.login()
        made = keys.create(call, "k", None, 1)
        token = logins.sdk_token(call, made.record.key_prefix)
        assert house.as_bearer(token).principal.key_id == made.record.key_id
        end(made.record.key_id, call)
        with pytest.raises(InvalidApiKey):
            house.as_bearer(token)


def test_the_bearer_of_an_sdk_token_is_told_nothing_of_others(house: House) -> None:
    call = house.login()
    made = house.services.keys.create(call, "k", ["tokens:read"], None)
    bearer = house.as_bearer(house.services.logins.sdk_token(call, made.record.key_prefix))
    assert bearer.principal.scopes == {"tokens:read"}
    with pytest.raises(PermissionDenied):
        house.services.keys.list(bearer)
    with pytest.raises(PermissionDenied):
        house.services.logins.sdk_token(bearer, made.record.key_prefix)


def test_a_hash_of_other_parameters_is_replaced_at_a_login_by_email(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins, stronger = house.services.logins, Passwords(time_cost=3)
    before = house.store.accounts.password_of("developer").encoded
    monkeypatch.setattr(logins._password_login, "_passwords", stronger)
    login = logins.login("dev@neurograph.dev", "developer123")
    after = house.store.accounts.password_of("developer").encoded
    assert (stronger.is_outdated(before), stronger.is_outdated(after)) == (True, False)
    house.as_bearer(login.token)
    logins.login("dev@neurograph.dev", "developer123")
    assert house.store.accounts.password_of("developer").encoded == after
