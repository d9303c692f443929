"""Every audited or multi-step action, once: how to prepare it, do it, and see whether it was done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from services.house import LIMITS, WordEmbedder, call_as

from vectrograph.control.records import FeedbackItem
from vectrograph.control.store import ControlStore, sqlite_url
from vectrograph.domain.access import Role
from vectrograph.domain.cdna import CdnaState, Wish
from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import DomainError, NotFound
from vectrograph.domain.filters.evaluation import Exists
from vectrograph.domain.points import Put
from vectrograph.engines.base import Engine
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.services import Services
from vectrograph.services.call import Call, Origin
from vectrograph.services.wiring import build_services

PASSWORD: Final = "Correct-horse-7"
ORIGIN: Final = Origin(address="198.51.100.7", request_id="the-request")


@dataclass
class Place:
    """Services over the embedded engine and a control store in one directory, as a server opens them."""

    directory: Path
    engine: Engine
    store: ControlStore
    services: Services

    @classmethod
    def open(cls, directory: Path) -> "Place":
        engine = EmbeddedEngine.open(directory, ballast_bytes=1 << 20)
        store = ControlStore.open(sqlite_url(directory / "control.sqlite"), directory)
        services = build_services(
            engine=engine,
            store=store,
            embedder=WordEmbedder(),
            secret_file=directory / "signing.key",
            limits=LIMITS,
            version="1",
        )
        services.tokens.ensure()
        services.catalog.tidy()
        return cls(directory, engine, store, services)

    def close(self) -> None:
        self.services.close()
        self.store.close()
        self.engine.close()

    def entries(self, action: str) -> list[tuple[str, str]]:
        """Return target and outcome of the entries of one action, oldest first."""
        found = self.store.audit.list(None, limit=1000)
        return [(entry.target, entry.outcome) for entry in reversed(found) if entry.action == action]


ADMIN: Final = Call(call_as(role=Role.ADMIN, user_id="admin").principal, "the-request", origin=ORIGIN)
DEVELOPER: Final = Call(call_as().principal, "the-request", origin=ORIGIN)


@dataclass(frozen=True)
class Action:
    """One action.

    Attributes:
        audited: name of the action in the record, "" for one that is not audited.
        prepare: what has to be there; its result goes to the others.
        act: the action.
        done: whether it was done, as the state says; None where it changes nothing.
        adds: whether it stores something that a full disk may refuse.
    """

    name: str
    audited: str
    prepare: Callable[[Place], Any]
    act: Callable[[Place, Any], Any]
    done: Callable[[Place, Any], bool] | None
    adds: bool = False


def _cdna(place: Place, second: float) -> list[str]:
    """Return the actions of the history, if the scale of L2 is this one, else nothing."""
    entries, total = place.store.cdna.history("default", 100)
    assert len(entries) == total
    changed = place.store.cdna.get("default").scales[1] == second
    return [entry.action for entry in entries] if changed else []


def _quarantine(place: Place) -> None:
    place.services.cdna.start(DEVELOPER)
    place.services.cdna.configure(DEVELOPER, Wish(factors={"curiosity_scale": 1.1}))


def _quarantined(place: Place) -> bool:
    """Return whether there is a quarantine; the history says the same, and without one all is as it was before."""
    state = place.store.cdna.get("default")
    last = place.store.cdna.history("default", 1)[0]
    assert (state.quarantine is None) is (not last or last[0].action == "quarantine_stop")
    assert (state.scales == CdnaState().scales) is (state.quarantine is None or not state.is_modified)
    return state.quarantine is not None


def nothing(_: Place) -> None:
    return None


def user(place: Place) -> str:
    return place.services.users.create(ADMIN, username="zoe", password=PASSWORD, role="viewer").user_id


def _disabled_user(place: Place) -> str:
    user_id = user(place)
    place.services.users.set_disabled(ADMIN, user_id, True)
    return user_id


def _user_with_key(place: Place) -> tuple[str, str]:
    user_id = place.services.users.create(ADMIN, username="zoe", password=PASSWORD, role="developer").user_id
    pair = place.services.sessions.login("zoe", PASSWORD)
    call = Call(place.services.sessions.authenticate(pair.access_token), "r")
    return user_id, place.services.keys.create(call, "k", None, None).secret


def key(place: Place) -> tuple[str, str]:
    made = place.services.keys.create(DEVELOPER, "k", None, None)
    return made.record.key_id, made.secret


def session(place: Place) -> tuple[str, str]:
    pair = place.services.sessions.login("developer", "developer123")
    return pair.access_token, pair.refresh_token


def _registered(place: Place) -> str:
    place.services.registration.register(None, "zoe@example.org", PASSWORD)
    pair = place.services.sessions.login("zoe@example.org", PASSWORD)
    return pair.access_token


def docs(place: Place) -> CollectionRef:
    place.services.catalog.create(DEVELOPER, "docs", 2, "cosine")
    points = [Put(id=str(n), vector=np.array([1, n], np.float32), payload={"n": n}) for n in range(5)]
    place.services.points.upsert(DEVELOPER, "docs", points)
    return CollectionRef("default", "docs")


def tokens(place: Place) -> None:
    from vectrograph.services.points.tokens import NewToken

    place.services.tokens.create_many(DEVELOPER, [NewToken(f"text {n}", {"n": n}) for n in range(5)])


def grid(place: Place) -> None:
    tokens(place)
    place.services.grids.create(DEVELOPER)
    place.services.grids.add_many(DEVELOPER, 1, [1, 2])


def _members(place: Place) -> list[int]:
    """Return the tokens of the grid; all of a change are there, or none."""
    found = place.store.grids.get("default", 1)
    assert found is not None
    members: list[int] = place.store.grids.members(found)[1].tolist()
    assert members in ([1], [1, 2], [1, 2, 3, 4, 5])
    assert found.members == len(members)
    return members


def _caller(place: Place, credential: str) -> Call:
    return Call(place.services.sessions.authenticate(credential), "the-request", origin=ORIGIN)


def _works(place: Place, credential: str) -> bool:
    try:
        place.services.sessions.authenticate(credential)
    except DomainError:
        return False
    return True


def _exists(place: Place, user_id: str) -> bool:
    try:
        place.store.accounts.get(user_id)
    except NotFound:
        return False
    return True


def _logs_in(place: Place, password: str, username: str = "zoe") -> bool:
    stored = place.store.accounts.password(username)
    return stored is not None and place.services.sessions._passwords.matches(stored.encoded, password)


def _sessions(place: Place) -> int:
    from sqlalchemy import func, select

    from vectrograph.control.database.models import LoginSession

    with place.store._database.read() as opened:
        return opened.scalars(select(func.count()).select_from(LoginSession)).one()


def _active(place: Place) -> list[str]:
    return [record.key_id for record in place.store.api_keys.list("developer") if record.is_active]


def _count(place: Place, name: str) -> int:
    return place.engine.count(CollectionRef("default", name))


def _rotated(place: Place, made: tuple[str, str]) -> bool:
    """Return both halves or none."""
    active = _active(place)
    assert len(active) == 1, "the old key and the new one are both in force, or none is"
    return active != [made[0]]


def _deleted_with_key(place: Place, made: tuple[str, str]) -> bool:
    gone = not _exists(place, made[0])
    assert gone is not _works(place, made[1])
    return gone


def _created(place: Place, _: Any) -> bool:
    """Return a collection that is there has its owner, and one that is not has none."""
    there = any(info.spec.ref.name == "new" for info in place.engine.list("default"))
    assert (place.store.owners.get("default", "new") == "developer") is there
    return there


def _dropped(place: Place, _: Any) -> bool:
    return not any(info.spec.ref.name == "docs" for info in place.engine.list("default"))


EVERYTHING: Final = Exists(path=("n",))
ITEM: Final = FeedbackItem(result_id="1", relevance_score=5, clicked=True, position=0, comment="")

ACTIONS: Final = [
    Action(
        "user.create",
        "user.create",
        nothing,
        lambda p, _: p.services.users.create(ADMIN, username="zoe", password=PASSWORD, role="viewer"),
        lambda p, _: p.store.accounts.find("zoe") is not None,
        adds=True,
    ),
    Action(
        "user.role",
        "user.role",
        user,
        lambda p, u: p.services.users.set_role(ADMIN, u, "developer"),
        lambda p, u: p.store.accounts.get(u).role is Role.DEVELOPER,
    ),
    Action(
        "user.password",
        "user.password",
        user,
        lambda p, u: p.services.users.set_password(ADMIN, u, "Other-horse-8"),
        lambda p, _: _logs_in(p, "Other-horse-8"),
    ),
    Action(
        "user.delete",
        "user.delete",
        _user_with_key,
        lambda p, made: p.services.users.delete(ADMIN, made[0]),
        _deleted_with_key,
    ),
    Action(
        "user.disable",
        "user.disable",
        user,
        lambda p, u: p.services.users.set_disabled(ADMIN, u, True),
        lambda p, u: p.store.accounts.get(u).disabled,
    ),
    Action(
        "user.enable",
        "user.enable",
        _disabled_user,
        lambda p, u: p.services.users.set_disabled(ADMIN, u, False),
        lambda p, u: not p.store.accounts.get(u).disabled,
    ),
    Action(
        "user.plan",
        "",
        nothing,
        lambda p, _: p.services.users.set_plan(DEVELOPER, "PAID"),
        lambda p, _: p.store.accounts.get("developer").plan == "PAID",
    ),
    Action(
        "register",
        "user.create",
        nothing,
        lambda p, _: p.services.registration.register(None, "zoe@example.org", PASSWORD, ORIGIN),
        lambda p, _: p.store.accounts.find("zoe@example.org") is not None,
        adds=True,
    ),
    Action(
        "remove own account",
        "user.delete",
        _registered,
        lambda p, token: p.services.registration.remove(_caller(p, token), PASSWORD),
        lambda p, _: p.store.accounts.find("zoe@example.org") is None,
    ),
    Action(
        "login",
        "session.login",
        nothing,
        lambda p, _: p.services.sessions.login("developer", "developer123", ORIGIN),
        lambda p, _: _sessions(p) == 1,
    ),
    Action(
        "login by email",
        "session.login",
        nothing,
        lambda p, _: p.services.logins.login("dev@neurograph.dev", "developer123", ORIGIN),
        lambda p, _: _sessions(p) == 1,
    ),
    Action(
        "logout",
        "session.logout",
        session,
        lambda p, made: p.services.sessions.logout(_caller(p, made[0])),
        lambda p, made: not _works(p, made[0]),
    ),
    Action(
        "password.change",
        "password.change",
        session,
        lambda p, made: p.services.sessions.change_password(_caller(p, made[0]), "developer123", PASSWORD),
        lambda p, made: _logs_in(p, PASSWORD, "developer") and not _works(p, made[0]),
    ),
    Action(
        "key.create",
        "key.create",
        nothing,
        lambda p, _: p.services.keys.create(DEVELOPER, "k", None, None),
        lambda p, _: len(_active(p)) == 1,
        adds=True,
    ),
    Action("key.rotate", "key.rotate", key, lambda p, made: p.services.keys.rotate(DEVELOPER, made[0]), _rotated),
    Action(
        "key.revoke",
        "key.revoke",
        key,
        lambda p, made: p.services.keys.revoke(DEVELOPER, made[0]),
        lambda p, made: not _works(p, made[1]),
    ),
    Action(
        "key.delete",
        "key.delete",
        key,
        lambda p, made: p.services.keys.delete(DEVELOPER, made[0]),
        lambda p, made: not _works(p, made[1]),
    ),
    Action(
        "key.delete by prefix",
        "key.delete",
        key,
        lambda p, made: p.services.logins.delete_key(DEVELOPER, made[1][:16]),
        lambda p, made: not _works(p, made[1]),
    ),
    Action(
        "key.sdk_token",
        "key.sdk_token",
        key,
        lambda p, made: p.services.logins.sdk_token(DEVELOPER, made[1][:16]),
        None,
    ),
    Action(
        "collection.create",
        "",
        nothing,
        lambda p, _: p.services.catalog.create(DEVELOPER, "new", 2, "cosine"),
        _created,
        adds=True,
    ),
    Action(
        "collection.delete",
        "collection.delete",
        docs,
        lambda p, _: p.services.catalog.drop(DEVELOPER, "docs"),
        _dropped,
    ),
    Action(
        "point.delete",
        "point.delete",
        docs,
        lambda p, _: p.services.points.delete(DEVELOPER, "docs", "3"),
        lambda p, _: _count(p, "docs") == 4,
    ),
    Action(
        "point.delete where",
        "point.delete",
        docs,
        lambda p, _: p.services.bulk.delete_where(DEVELOPER, "docs", EVERYTHING),
        lambda p, _: _count(p, "docs") == 0,
    ),
    Action(
        "token.delete",
        "point.delete",
        tokens,
        lambda p, _: p.services.tokens.delete(DEVELOPER, 3),
        lambda p, _: _count(p, "tokens") == 4,
    ),
    Action(
        "token.delete many",
        "point.delete",
        tokens,
        lambda p, _: p.services.tokens.delete_many(DEVELOPER, [1, 2]),
        lambda p, _: _count(p, "tokens") == 3,
    ),
    Action(
        "token.delete where",
        "point.delete",
        tokens,
        lambda p, _: p.services.tokens.delete_where(DEVELOPER, EVERYTHING),
        lambda p, _: _count(p, "tokens") == 0,
    ),
    Action(
        "cdna.configure",
        "cdna.configure",
        nothing,
        lambda p, _: p.services.cdna.configure(DEVELOPER, Wish(factors={"curiosity_scale": 2.0})),
        lambda p, _: _cdna(p, 3.0) == ["config_update"],
        adds=True,
    ),
    Action(
        "cdna.switch",
        "cdna.switch",
        nothing,
        lambda p, _: p.services.cdna.switch(DEVELOPER, "creative"),
        lambda p, _: _cdna(p, 2.0) == ["profile_switch"],
        adds=True,
    ),
    Action(
        "cdna.quarantine",
        "cdna.quarantine",
        nothing,
        lambda p, _: p.services.cdna.start(DEVELOPER),
        lambda p, _: _quarantined(p),
        adds=True,
    ),
    Action(
        "cdna.release",
        "cdna.release",
        _quarantine,
        lambda p, _: p.services.cdna.stop(DEVELOPER, apply=False),
        lambda p, _: not _quarantined(p),
    ),
    Action(
        "cdna.reset",
        "cdna.reset",
        lambda p: p.services.cdna.switch(DEVELOPER, "creative"),
        lambda p, _: p.services.cdna.reset(ADMIN),
        lambda p, _: _cdna(p, 1.5) == ["reset"],
        adds=True,
    ),
    Action(
        "grid.create",
        "",
        nothing,
        lambda p, _: p.services.grids.create(DEVELOPER),
        lambda p, _: p.store.grids.numbers("default") == [1],
        adds=True,
    ),
    Action(
        "grid.add",
        "",
        grid,
        lambda p, _: p.services.grids.add_many(DEVELOPER, 1, [3, 4, 5]),
        lambda p, _: _members(p) == [1, 2, 3, 4, 5],
        adds=True,
    ),
    Action(
        "grid.remove",
        "",
        grid,
        lambda p, _: p.services.grids.remove(DEVELOPER, 1, 2),
        lambda p, _: _members(p) == [1],
    ),
    Action(
        "grid.delete",
        "grid.delete",
        grid,
        lambda p, _: p.services.grids.delete(DEVELOPER, 1),
        lambda p, _: p.store.grids.numbers("default") == [],
    ),
    Action(
        "feedback",
        "",
        docs,
        lambda p, _: p.services.feedback.submit(DEVELOPER, "docs", "q", [ITEM], {}),
        lambda p, _: len(p.store.feedback.list("default", "docs")) == 1,
        adds=True,
    ),
]

EVERY_ACTION: Final = pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)


def outcome(place: Place, action: Action, made: Any) -> str:
    """Do the action; return "ok", or the code of its error."""
    try:
        action.act(place, made)
    except DomainError as error:
        return error.code
    return "ok"


def require_agreement(place: Place, action: Action, made: Any, answer: str, before: list[tuple[str, str]]) -> None:
    """Require that state and record say what the answer said."""
    if action.done is not None:
        assert action.done(place, made) is (answer == "ok")
    if action.audited:
        new = place.entries(action.audited)[len(before) :]
        # What was refused because it could not be recorded has no entry, and nothing else may be without one.
        assert [code for _, code in new] == [answer] or (answer != "ok" and not new)
