"""Administration of accounts, password policy, lockout, narrower keys, tenants, and the record of it all."""

from collections.abc import Callable

import pytest
from services.house import House, call_as
from sqlalchemy import URL, exc, text

from vectrograph.domain.access import ALL_SCOPES, Role
from vectrograph.domain.errors import (
    AlreadyExists,
    ApiKeyNotFound,
    CollectionNotFound,
    Conflict,
    InvalidApiKey,
    InvalidArgument,
    InvalidCredentials,
    InvalidToken,
    PermissionDenied,
    RateLimited,
    UserNotFound,
)
from vectrograph.services.accounts.lockout import FOR_ADDRESS, FOR_PAIR, Lockout
from vectrograph.services.accounts.rules import COMMON_PASSWORDS, validate_new_password
from vectrograph.services.call import Call, Origin

GOOD = "correct horse battery"


@pytest.fixture
def control_url(either_control_url: str | URL) -> str | URL:
    return either_control_url


@pytest.fixture
def admin(house: House) -> Call:
    return house.login("admin")


def log_in(house: House, username: str, password: str) -> Call:
    return house.as_bearer(house.services.sessions.login(username, password).access_token)


def test_an_account_is_made_used_changed_and_removed(house: House, admin: Call) -> None:
    users = house.services.users
    made = users.create(admin, username="ada", password=GOOD, role="viewer", email="ada@x.org", full_name="Ada L.")
    assert users.get(admin, made.user_id) == made
    assert [user.username for user in users.list(admin)] == ["ada", "admin", "developer", "viewer"]
    ada = log_in(house, "ada", GOOD)
    with pytest.raises(PermissionDenied):
        ada.require("tokens:write")
    token = house.services.sessions.login("ada", GOOD).access_token
    users.set_role(admin, made.user_id, "developer")
    # A token never does more than it says; the next one says more.
    with pytest.raises(PermissionDenied):
        house.as_bearer(token).require("tokens:write")
    token = house.services.sessions.login("ada", GOOD).access_token
    house.as_bearer(token).require("tokens:write")
    key = house.services.keys.create(house.as_bearer(token), "k", None, None).secret
    users.set_password(admin, made.user_id, "another good phrase")
    with pytest.raises(InvalidToken):
        house.as_bearer(token)
    with pytest.raises(InvalidCredentials):
        log_in(house, "ada", GOOD)
    log_in(house, "ada", "another good phrase")
    house.as_bearer(key)
    users.delete(admin, made.user_id)
    with pytest.raises(InvalidApiKey):
        house.as_bearer(key)
    with pytest.raises(UserNotFound):
        users.get(admin, made.user_id)


def test_an_account_that_cannot_be_is_refused_by_field(house: House, admin: Call) -> None:
    good = {"username": "ada", "password": GOOD, "role": "viewer", "email": None, "full_name": None}
    wrong = {
        "username": ["", "a b", "-a", "x" * 65, "né", "a'; DROP TABLE users; --"],
        "password": ["short", "x" * 1025, "password123", "11111111", "xx ADA xx yes ada"[:3] * 4],
        "role": ["root", ""],
        "email": ["ada", "a@b", "a b@c.org"],
        "full_name": ["x" * 201, "a\nb"],
    }
    for field, values in wrong.items():
        for value in values:
            with pytest.raises(InvalidArgument) as caught:
                house.services.users.create(admin, **{**good, field: value})  # type: ignore[arg-type]
            assert caught.value.details["errors"][0]["field"] == field, value
    house.services.users.create(admin, **good)  # type: ignore[arg-type]
    with pytest.raises(AlreadyExists):
        house.services.users.create(admin, **good)  # type: ignore[arg-type]


@pytest.mark.parametrize("password", ["1234567", *sorted(COMMON_PASSWORDS)[:3], "aaaaaaaabbb", "my-lovelace-phrase"])
def test_a_weak_password_is_refused_without_being_repeated(password: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_new_password(password, "password", "lovelace")
    assert password not in str(caught.value.details)


def test_the_last_administrator_stays(house: House, admin: Call) -> None:
    users = house.services.users
    second = users.create(admin, username="second", password=GOOD, role="admin")
    other = log_in(house, "second", GOOD)
    users.set_disabled(other, "admin", True)
    operator = call_as(*ALL_SCOPES, user_id="operator", role=Role.ADMIN)
    ways: list[Callable[[], object]] = [
        lambda: users.delete(operator, second.user_id),
        lambda: users.set_disabled(operator, second.user_id, True),
        lambda: users.set_role(operator, second.user_id, "viewer"),
    ]
    for lose in ways:
        with pytest.raises(Conflict, match="last administrator"):
            lose()


def test_nobody_acts_on_their_own_account_or_beyond_their_own_rights(house: House, admin: Call) -> None:
    users = house.services.users
    own: list[Callable[[], object]] = [
        lambda: users.delete(admin, "admin"),
        lambda: users.set_role(admin, "admin", "viewer"),
    ]
    for act in own:
        with pytest.raises(InvalidArgument, match="your own account"):
            act()
    narrow = call_as("users:admin", user_id="admin", key_id="k")
    wider: list[Callable[[], object]] = [
        lambda: users.create(narrow, username="eve", password=GOOD, role="admin"),
        lambda: users.set_role(narrow, "viewer", "admin"),
        lambda: users.set_password(narrow, "admin", GOOD),
    ]
    for widen in wider:
        with pytest.raises(PermissionDenied):
            widen()
    assert house.store.accounts.find("eve") is None
    assert house.store.accounts.get("viewer").role is Role.VIEWER


def test_guessing_waits_longer_each_time_and_says_the_same_for_a_name_that_nobody_has(house: House) -> None:
    said = []
    for name in ("viewer", "nobody-of-that-name"):
        for _ in range(FOR_PAIR.free):
            with pytest.raises(InvalidCredentials):
                house.services.sessions.login(name, "wrong")
        with pytest.raises(RateLimited) as caught:
            house.services.sessions.login(name, "viewer123")
        said.append((caught.value.message, caught.value.code))
    assert said[0] == said[1]


def test_the_delay_doubles_and_ends_and_success_forgets() -> None:
    at = 0.0
    lockout = Lockout(lambda: at)
    for _ in range(FOR_PAIR.free):
        lockout.begin("Ada", "")
    delays = []
    for _ in range(12):
        with pytest.raises(RateLimited) as caught:
            lockout.begin("ada", "")
        assert caught.value.retry_after is not None
        delays.append(caught.value.retry_after)
        at += delays[-1]
        lockout.begin("ada", "")
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    lockout.succeed("ada", "")
    lockout.begin("ada", "")


def test_one_address_cannot_try_many_names(house: House) -> None:
    origin = Origin("203.0.113.9")
    for number in range(FOR_ADDRESS.free):
        with pytest.raises(InvalidCredentials):
            house.services.sessions.login(f"name{number}", "wrong", origin)
    with pytest.raises(RateLimited):
        house.services.sessions.login("viewer", "viewer123", origin)
    house.services.sessions.login("viewer", "viewer123", Origin("203.0.113.10"))


def test_every_act_is_recorded_with_who_what_whence_and_outcome(house: House, admin: Call) -> None:
    services = house.services
    with pytest.raises(InvalidCredentials):
        services.sessions.login("viewer", "my-secret-guess", Origin("198.51.100.7", "r-1"))
    with pytest.raises(InvalidCredentials):
        services.sessions.login("hunter2hunter2", "x", Origin("198.51.100.7", "r-2"))
    key = services.keys.create(admin, "k", None, None)
    services.keys.revoke(admin, key.record.key_id)
    services.catalog.create(admin, "docs", 2, "cosine")
    services.catalog.drop(admin, "docs")
    developer = house.login()
    with pytest.raises(PermissionDenied):
        services.users.list(developer)
    entries = services.audit.list(admin)
    seen = [(entry.actor, entry.action, entry.target, entry.outcome, entry.address) for entry in reversed(entries)]
    assert seen[-7:] == [
        ("viewer", "session.login", "viewer", "INVALID_CREDENTIALS", "198.51.100.7"),
        ("", "session.login", "(no such account)", "INVALID_CREDENTIALS", "198.51.100.7"),
        ("admin", "key.create", key.record.key_id, "ok", ""),
        ("admin", "key.revoke", key.record.key_id, "ok", ""),
        ("admin", "collection.delete", "docs", "ok", ""),
        ("developer", "session.login", "developer", "ok", ""),
        ("developer", "user.list", "", "PERMISSION_DENIED", ""),
    ]
    whole = repr(entries)
    assert "my-secret-guess" not in whole
    assert "hunter2" not in whole
    assert key.secret not in whole
    assert services.audit.list(admin)[0].action == "audit.read"
    with pytest.raises(PermissionDenied):
        services.audit.list(developer)


def test_the_record_is_read_in_pages(house: House, admin: Call) -> None:
    for number in range(5):
        with house.services.audit.noting(admin, "test", str(number)):
            pass
    first = house.services.audit.list(admin, limit=2)
    rest = house.services.audit.list(admin, limit=2, before=first[-1].entry_id)
    assert [entry.target for entry in first if entry.action == "test"] == ["4", "3"]
    assert [entry.target for entry in rest if entry.action == "test"] == ["2", "1"]
    for wrong in ({"limit": 0}, {"limit": 1001}, {"before": 0}):
        with pytest.raises(InvalidArgument):
            house.services.audit.list(admin, **wrong)


def test_the_database_itself_refuses_to_change_the_record(house: House, admin: Call) -> None:
    with house.services.audit.noting(admin, "test", "x"):
        pass
    house.store.audit.move()
    for statement in ("UPDATE audit SET outcome = 'ok'", "DELETE FROM audit"):
        with pytest.raises(exc.DBAPIError, match="only grows"):
            with house.store._database.write() as session:
                session.execute(text(statement))


def test_a_key_reaches_only_its_collections(house: House) -> None:
    developer = house.login()
    catalog = house.services.catalog
    for name in ("mine", "other"):
        catalog.create(developer, name, 2, "cosine")
    key = house.services.keys.create(developer, "k", None, None, collections=["mine", "later"])
    assert key.record.collections == ("later", "mine")
    caller = house.as_bearer(key.secret)
    assert [info.spec.ref.name for info in catalog.list(caller)] == ["mine"]
    catalog.describe(caller, "mine")
    catalog.create(caller, "later", 2, "cosine")
    for act in (
        lambda: catalog.describe(caller, "other"),
        lambda: catalog.drop(caller, "other"),
        lambda: house.services.tokens.list(caller, 1, 0),
    ):
        with pytest.raises(PermissionDenied, match="cannot access"):
            act()


def test_a_key_made_by_a_key_is_no_wider(house: House) -> None:
    keys = house.services.keys
    parent = keys.create(
        house.login(), "p", ["api_keys:write", "collections:read"], None, collections=["a"], rate_limit=5
    )
    caller = house.as_bearer(parent.secret)
    child = keys.create(caller, "c", None, None)
    assert (child.record.collections, child.record.rate_limit) == (("a",), 5)
    assert keys.create(caller, "c", None, None, rate_limit=9).record.rate_limit == 5
    with pytest.raises(PermissionDenied):
        keys.create(caller, "c", None, None, collections=["a", "b"])


def test_a_rotated_key_overlaps_and_then_ends(house: House) -> None:
    developer = house.login()
    keys = house.services.keys
    old = keys.create(developer, "k", ["tokens:read"], None, collections=["tokens"], rate_limit=7)
    new = keys.rotate(developer, old.record.key_id, 2)
    assert new.record.key_id != old.record.key_id
    for field in ("name", "scopes", "collections", "rate_limit", "expires_at"):
        assert getattr(new.record, field) == getattr(old.record, field)
    house.as_bearer(old.secret)
    house.as_bearer(new.secret)
    house.clock.advance(2 * 3600)
    with pytest.raises(InvalidApiKey):
        house.as_bearer(old.secret)
    house.as_bearer(new.secret)
    keys.rotate(house.login(), new.record.key_id, 0)
    with pytest.raises(InvalidApiKey):
        house.as_bearer(new.secret)


def test_only_the_owner_rotates_a_key(house: House, admin: Call) -> None:
    key = house.services.keys.create(house.login(), "k", None, None)
    with pytest.raises(ApiKeyNotFound):
        house.services.keys.rotate(admin, key.record.key_id)


def test_a_tenant_sees_nothing_of_another(house: House, admin: Call) -> None:
    users = house.services.users
    developer = house.login()
    users.create(admin, username="boss", password=GOOD, role="admin", tenant="acme")
    boss = log_in(house, "boss", GOOD)
    catalog = house.services.catalog
    catalog.create(developer, "docs", 2, "cosine")
    secret = house.services.tokens.create(developer, "a secret of default")
    key = house.services.keys.create(developer, "k", None, None)

    assert [info.spec.ref.name for info in catalog.list(boss)] == ["tokens"]
    assert house.services.tokens.list(boss, 10, 0).tokens == []
    assert house.services.tokens.query(boss, secret.vector, 5) == []  # type: ignore[arg-type]
    with pytest.raises(CollectionNotFound):
        catalog.describe(boss, "docs")
    with pytest.raises(CollectionNotFound):
        catalog.drop(boss, "docs")
    with pytest.raises(ApiKeyNotFound):
        house.services.keys.get(boss, key.record.key_id)
    with pytest.raises(UserNotFound):
        users.set_disabled(boss, "viewer", True)
    with pytest.raises(UserNotFound):
        users.set_password(boss, "admin", "a phrase of the boss")
    with pytest.raises(PermissionDenied):
        users.create(boss, username="spy", password=GOOD, role="viewer", tenant="default")
    assert [user.username for user in users.list(boss)] == ["boss"]
    assert {entry.tenant for entry in house.services.audit.list(boss)} == {"acme"}
    assert house.services.health.status(boss).collections_count == 1

    catalog.create(boss, "docs", 3, "dot")
    assert catalog.describe(developer, "docs").spec.dimension == 2
