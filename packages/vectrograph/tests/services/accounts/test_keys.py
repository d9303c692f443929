import pytest
from services.house import House, call_as

from vectrograph.domain.access import ALL_SCOPES, ROLE_SCOPES, Role
from vectrograph.domain.errors import ApiKeyNotFound, InvalidApiKey, InvalidArgument, PermissionDenied
from vectrograph.services.accounts.keys import Keys
from vectrograph.services.call import Call

DAY = 86_400


@pytest.fixture
def keys(house: House) -> Keys:
    return house.services.keys


def test_a_key_is_shown_once_and_works_as_its_owner(house: House, keys: Keys, call: Call) -> None:
    created = keys.create(call, "ci", ["tokens:read"], None)
    principal = house.services.sessions.authenticate(created.secret)
    assert (principal.user_id, principal.username, principal.role) == ("developer", "developer", Role.BOT)
    assert principal.key_id == created.record.key_id
    assert principal.scopes == {"tokens:read"}
    assert keys.get(call, created.record.key_id).owner == "developer"
    everything = repr(keys.list(call)) + repr(keys.get(call, created.record.key_id)) + repr(created)
    assert created.secret not in everything


def test_scopes_null_is_all_but_keys_and_administration(keys: Keys) -> None:
    admin = call_as(role=Role.ADMIN, user_id="admin")
    for call in (call_as(), admin):
        granted = set(keys.create(call, "k", None, None).record.scopes)
        expected = {s for s in call.principal.scopes if not s.startswith("api_keys:") and not s.endswith(":admin")}
        assert granted == expected
        assert {"tokens:write", "collections:delete"} < granted


def test_scopes_empty_is_nothing(house: House, keys: Keys, call: Call) -> None:
    created = keys.create(call, "k", [], None)
    assert created.record.scopes == ()
    powerless = house.as_bearer(created.secret)
    assert powerless.principal.scopes == frozenset()
    with pytest.raises(PermissionDenied, match="API key"):
        house.services.tokens.list(powerless, 1, 0)


def test_a_key_is_never_wider_than_its_creator(house: House, keys: Keys, call: Call) -> None:
    with pytest.raises(PermissionDenied, match="config:admin") as caught:
        keys.create(call, "k", ["tokens:read", "config:admin"], None)
    assert caught.value.details == {"required_scope": "config:admin"}
    parent = keys.create(call, "parent", ["api_keys:write", "tokens:read"], None)
    by_key = house.as_bearer(parent.secret)
    with pytest.raises(PermissionDenied, match="tokens:write"):
        keys.create(by_key, "child", ["tokens:write"], None)
    assert keys.create(by_key, "child", None, None).record.scopes == ("tokens:read",)


def test_unknown_scopes_are_refused_with_the_list(keys: Keys, call: Call) -> None:
    with pytest.raises(InvalidArgument, match="tokens:read") as caught:
        keys.create(call, "k", ["tokens:raed"], None)
    assert caught.value.details["errors"][0]["field"] == "scopes"
    assert "admin:config" not in ALL_SCOPES


def test_repeated_scopes_are_one(keys: Keys, call: Call) -> None:
    assert keys.create(call, "k", ["tokens:write", "tokens:read", "tokens:read"], None).record.scopes == (
        "tokens:read",
        "tokens:write",
    )


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "\ud800"])
def test_names_have_one_to_a_hundred_characters(keys: Keys, call: Call, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        keys.create(call, name, [], None)
    assert caught.value.details["errors"][0]["field"] == "name"
    assert keys.create(call, "é" * 100, [], None).record.name == "é" * 100


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_days_are_one_to_ten_years(keys: Keys, call: Call, days: int) -> None:
    with pytest.raises(InvalidArgument, match="3650"):
        keys.create(call, "k", [], days)
    keys.create(call, "k", [], 3650)


def test_a_key_expires_to_the_moment_also_when_remembered(house: House, keys: Keys, call: Call) -> None:
    created = keys.create(call, "k", [], 1)
    assert created.record.expires_at == house.clock() + DAY * 1_000_000
    house.services.sessions.authenticate(created.secret)
    house.clock.advance(DAY - 1)
    house.services.sessions.authenticate(created.secret)
    assert keys.get(call, created.record.key_id).is_active
    house.clock.advance(1)
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            house.services.sessions.authenticate(created.secret)
    assert not keys.get(call, created.record.key_id).is_active


def test_a_revoked_key_is_listed_and_useless_a_deleted_one_is_gone(house: House, keys: Keys, call: Call) -> None:
    created = keys.create(call, "k", [], None)
    house.services.sessions.authenticate(created.secret)
    revoked = keys.revoke(call, created.record.key_id)
    assert not revoked.is_active
    assert keys.revoke(call, created.record.key_id) == revoked
    with pytest.raises(InvalidApiKey):
        house.services.sessions.authenticate(created.secret)
    assert [record.key_id for record in keys.list(call)] == [created.record.key_id]
    keys.delete(call, created.record.key_id)
    assert keys.list(call) == []
    with pytest.raises(InvalidApiKey):
        house.services.sessions.authenticate(created.secret)
    with pytest.raises(ApiKeyNotFound):
        keys.delete(call, created.record.key_id)


def test_everyone_manages_their_own_and_an_administrator_all(house: House, keys: Keys, call: Call) -> None:
    other = call_as(*ROLE_SCOPES[Role.DEVELOPER], user_id="viewer")
    mine = keys.create(call, "mine", [], None).record
    theirs = keys.create(other, "theirs", [], None).record
    assert [record.key_id for record in keys.list(call)] == [mine.key_id]
    for act in (keys.get, keys.revoke, keys.delete):
        with pytest.raises(ApiKeyNotFound, match=theirs.key_id):
            act(call, theirs.key_id)
    admin = call_as(role=Role.ADMIN, user_id="admin")
    assert {record.key_id for record in keys.list(admin)} == {mine.key_id, theirs.key_id}
    assert not keys.revoke(admin, theirs.key_id).is_active
