from collections.abc import Callable

import numpy as np
import pytest
from services.house import DIMENSION, House, call_as

from vectrograph.control.records import FeedbackItem
from vectrograph.domain.access import ALL_SCOPES, ROLE_SCOPES, Role, Scope, without_keys_and_administration
from vectrograph.domain.cdna import Wish
from vectrograph.domain.errors import DomainError, PermissionDenied
from vectrograph.domain.points import Put
from vectrograph.domain.queries import Include
from vectrograph.services import Services
from vectrograph.services.call import Call
from vectrograph.services.grid.grids import Ball
from vectrograph.services.points.tokens import NewToken

V = np.ones(DIMENSION, np.float32)
PUT = Put(id="1", vector=V)
ITEM = FeedbackItem(result_id="1", relevance_score=3)

NEEDS: list[tuple[str, Callable[[Services, Call], object]]] = [
    ("collections:write", lambda s, c: s.catalog.create(c, "docs", 4, "")),
    ("collections:delete", lambda s, c: s.catalog.drop(c, "docs")),
    ("collections:read", lambda s, c: s.catalog.describe(c, "docs")),
    ("tokens:read", lambda s, c: s.catalog.describe(c, "tokens")),
    ("tokens:write", lambda s, c: s.catalog.create(c, "tokens", 4, "")),
    ("tokens:delete", lambda s, c: s.catalog.drop(c, "tokens")),
    ("collections:write", lambda s, c: s.points.upsert(c, "docs", [PUT])),
    ("collections:read", lambda s, c: s.points.get(c, "docs", "1", Include())),
    ("collections:delete", lambda s, c: s.points.delete(c, "docs", "1")),
    ("tokens:write", lambda s, c: s.points.upsert(c, "tokens", [PUT])),
    ("tokens:read", lambda s, c: s.points.get(c, "tokens", "1", Include())),
    ("tokens:delete", lambda s, c: s.points.delete(c, "tokens", "1")),
    ("collections:read", lambda s, c: s.search.search(c, "docs", V[None], 1)),
    ("tokens:read", lambda s, c: s.search.search(c, "tokens", V[None], 1)),
    ("tokens:write", lambda s, c: s.tokens.create(c, "hello")),
    ("tokens:write", lambda s, c: s.tokens.create_many(c, [NewToken("hello")])),
    ("tokens:read", lambda s, c: s.tokens.get(c, 1)),
    ("tokens:read", lambda s, c: s.tokens.list(c, 1, 0)),
    ("tokens:write", lambda s, c: s.tokens.update(c, 1, text="x")),
    ("tokens:write", lambda s, c: s.tokens.update(c, 1)),
    ("tokens:delete", lambda s, c: s.tokens.delete(c, 1)),
    ("tokens:read", lambda s, c: s.tokens.query(c, V)),
    ("tokens:read", lambda s, c: s.embeddings.embed(c, ["hello"])),
    ("api_keys:write", lambda s, c: s.keys.create(c, "n", [], None)),
    ("api_keys:read", lambda s, c: s.keys.list(c)),
    ("api_keys:read", lambda s, c: s.keys.get(c, "k")),
    ("api_keys:write", lambda s, c: s.keys.revoke(c, "k")),
    ("api_keys:delete", lambda s, c: s.keys.delete(c, "k")),
    ("users:admin", lambda s, c: s.users.set_disabled(c, "viewer", True)),
    ("collections:read", lambda s, c: s.feedback.submit(c, "docs", "q", [ITEM], {})),
    ("tokens:read", lambda s, c: s.feedback.submit(c, "tokens", "q", [ITEM], {})),
    ("status:read", lambda s, c: s.health.status(c)),
    ("grid:read", lambda s, c: s.grids.numbers(c)),
    ("grid:write", lambda s, c: s.grids.create(c)),
    ("grid:read", lambda s, c: s.grids.get(c, 1)),
    ("grid:write", lambda s, c: s.grids.delete(c, 1)),
    ("grid:write", lambda s, c: s.grids.add(c, 1, 1)),
    ("grid:write", lambda s, c: s.grids.add_many(c, 1, [1])),
    ("grid:write", lambda s, c: s.grids.remove(c, 1, 1)),
    ("grid:read", lambda s, c: s.grids.neighbors(c, 1, 1, "0", 10, 10)),
    ("grid:read", lambda s, c: s.grids.range(c, 1, Ball())),
    ("grid:read", lambda s, c: s.grids.influence(c, 1, Ball())),
    ("grid:read", lambda s, c: s.grids.density(c, 1, Ball())),
    ("cdna:read", lambda s, c: s.cdna.status(c)),
    ("cdna:read", lambda s, c: s.cdna.profiles(c)),
    ("cdna:read", lambda s, c: s.cdna.profile(c, "explorer")),
    ("cdna:read", lambda s, c: s.cdna.validate(c, [1.0])),
    ("cdna:read", lambda s, c: s.cdna.quarantine(c)),
    ("cdna:read", lambda s, c: s.cdna.history(c)),
    ("cdna:read", lambda s, c: s.cdna.export(c)),
    ("cdna:write", lambda s, c: s.cdna.configure(c, Wish(profile="analyzer"))),
    ("cdna:write", lambda s, c: s.cdna.switch(c, "analyzer")),
    ("cdna:write", lambda s, c: s.cdna.start(c)),
    ("cdna:write", lambda s, c: s.cdna.stop(c, apply=True)),
    ("config:admin", lambda s, c: s.cdna.reset(c)),
]


@pytest.mark.parametrize(("scope", "act"), NEEDS, ids=[f"{i}-{scope}" for i, (scope, _) in enumerate(NEEDS)])
def test_each_use_case_needs_exactly_one_scope(
    house: House, scope: str, act: Callable[[Services, Call], object]
) -> None:
    everything_else = call_as(*(ALL_SCOPES - {scope}))
    with pytest.raises(PermissionDenied) as caught:
        act(house.services, everything_else)
    assert caught.value.details == {"required_scope": scope}
    assert scope in caught.value.message
    try:
        act(house.services, call_as(scope))
    except PermissionDenied as error:
        pytest.fail(f"{scope} should be enough: {error}")
    except DomainError:
        pass


def test_scopes_are_the_official_strings_and_collections() -> None:
    assert len(ALL_SCOPES) == len(Scope) == 23
    assert {"tokens:delete", "config:admin", "collections:read", "api_keys:write"} < ALL_SCOPES


def test_roles_have_the_scopes_that_were_decided() -> None:
    assert ROLE_SCOPES[Role.ADMIN] == ALL_SCOPES
    developer, viewer = ROLE_SCOPES[Role.DEVELOPER], ROLE_SCOPES[Role.VIEWER]
    for action in ("read", "write", "delete"):
        assert {f"tokens:{action}", f"collections:{action}", f"api_keys:{action}"} <= developer
    assert not {scope for scope in developer if scope.endswith(":admin")}
    assert all(scope.endswith(":read") for scope in viewer)
    assert "api_keys:read" not in viewer
    assert ROLE_SCOPES[Role.BOT] == {"tokens:write", "health:read", "status:read"}


def test_a_key_without_named_scopes_gets_no_keys_and_no_administration() -> None:
    granted = without_keys_and_administration(ALL_SCOPES)
    assert {"tokens:delete", "collections:write", "status:read"} < granted
    assert not {scope for scope in granted if scope.startswith("api_keys:") or scope.endswith(":admin")}


def test_a_principal_sees_only_its_tenant(house: House) -> None:
    mine = call_as()
    other = Call(type(mine.principal)("u", "u", Role.ADMIN, ALL_SCOPES, tenant="other"), "r")
    house.services.catalog.create(mine, "docs", 4, "")
    assert house.services.catalog.list(other) == []
    house.services.catalog.create(other, "docs", 7, "")
    assert house.services.catalog.describe(mine, "docs").spec.dimension == 4
    assert house.services.catalog.describe(other, "docs").spec.dimension == 7
