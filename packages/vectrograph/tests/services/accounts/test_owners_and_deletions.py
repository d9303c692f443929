"""Owners of collections, and the record of deletions and of what administrators read."""

import threading
from typing import Any

import numpy as np
import pytest
from services.house import House
from sqlalchemy import URL

from vectrograph.domain.errors import CollectionNotFound, DomainError, PermissionDenied, PointNotFound, Unavailable
from vectrograph.domain.filters.evaluation import Exists
from vectrograph.domain.points import Put
from vectrograph.services.call import Call


@pytest.fixture
def control_url(either_control_url: str | URL) -> str | URL:
    return either_control_url


@pytest.fixture
def developer(house: House) -> Call:
    return house.login()


@pytest.fixture
def admin(house: House) -> Call:
    return house.login("admin")


def record(house: House, admin: Call, action: str) -> list[tuple[str, str, str]]:
    """Return actor, target and outcome of the entries of an action, oldest first."""
    entries = reversed(house.services.audit.list(admin, limit=1000))
    return [(entry.actor, entry.target, entry.outcome) for entry in entries if entry.action == action]


def put(id: str) -> Put:
    return Put(id=id, vector=np.ones(2, np.float32), payload={"secret": "s3cret"})


def test_a_collection_has_the_owner_that_made_it_until_it_is_dropped(
    house: House, developer: Call, admin: Call
) -> None:
    catalog = house.services.catalog
    catalog.create(developer, "docs", 2, "cosine")
    assert catalog.owner(admin, "docs") == "developer"
    assert catalog.owner(admin, "tokens") is None
    catalog.drop(admin, "docs")
    with pytest.raises(CollectionNotFound):
        catalog.owner(admin, "docs")
    catalog.create(admin, "docs", 2, "cosine")
    assert catalog.owner(developer, "docs") == "admin"


def test_collections_of_two_tenants_with_one_name_have_owners_of_their_own(
    house: House, developer: Call, admin: Call
) -> None:
    users, catalog = house.services.users, house.services.catalog
    phrase = "a phrase of another house"
    other = users.create(admin, username="eve", password=phrase, role="developer", tenant="acme")
    eve = house.as_bearer(house.services.sessions.login("eve", phrase).access_token)
    catalog.create(developer, "docs", 2, "cosine")
    catalog.create(eve, "docs", 2, "cosine")
    assert (catalog.owner(developer, "docs"), catalog.owner(eve, "docs")) == ("developer", other.user_id)
    catalog.drop(eve, "docs")
    assert catalog.owner(developer, "docs") == "developer"


def test_a_collection_that_was_refused_has_no_owner(house: House, developer: Call, admin: Call) -> None:
    catalog = house.services.catalog
    catalog.create(developer, "docs", 2, "cosine")
    with pytest.raises(DomainError):
        catalog.create(admin, "docs", 3, "dot")
    assert catalog.owner(admin, "docs") == "developer"


def test_every_way_to_delete_is_recorded_with_its_outcome_and_no_content(
    house: House, developer: Call, admin: Call
) -> None:
    services = house.services
    services.catalog.create(developer, "docs", 2, "cosine")
    services.points.upsert(developer, "docs", [put("a"), put("b")])
    services.points.delete(developer, "docs", "a")
    services.bulk.delete_where(developer, "docs", Exists(("secret",)))
    first = int(services.tokens.create(developer, "a secret text", {"k": 1}).id)
    services.tokens.delete(developer, first)
    with pytest.raises(PointNotFound):
        services.tokens.delete(developer, first)
    services.tokens.delete_many(developer, [first, first + 1])
    services.tokens.delete_where(developer, Exists(("k",)))
    with pytest.raises(PermissionDenied):
        services.points.delete(house.login("viewer"), "docs", "b")
    assert record(house, admin, "point.delete") == [
        ("developer", "docs/a", "ok"),
        ("developer", "docs (by filter)", "ok"),
        ("developer", f"tokens/{first}", "ok"),
        ("developer", f"tokens/{first}", "POINT_NOT_FOUND"),
        ("developer", "tokens (2 by number)", "ok"),
        ("developer", "tokens (by filter)", "ok"),
        ("viewer", "docs/b", "PERMISSION_DENIED"),
    ]
    assert "secret" not in repr(services.audit.list(admin, limit=1000))


def test_what_an_administrator_reads_of_others_is_recorded_and_what_others_read_of_their_own_is_not(
    house: House, developer: Call, admin: Call
) -> None:
    services = house.services
    key = services.keys.create(developer, "k", None, None).record.key_id
    services.keys.list(developer)
    services.keys.get(developer, key)
    assert record(house, admin, "key.list") == record(house, admin, "key.get") == []
    services.keys.list(admin)
    services.keys.get(admin, key)
    services.users.list(admin)
    services.users.get(admin, "developer")
    assert record(house, admin, "key.list") == [("admin", "", "ok")]
    assert record(house, admin, "key.get") == [("admin", key, "ok")]
    assert record(house, admin, "user.list") == [("admin", "", "ok")]
    assert record(house, admin, "user.get") == [("admin", "developer", "ok")]
    assert record(house, admin, "audit.read") != []


def note(house: House, admin: Call, target: str) -> None:
    with house.services.audit.noting(admin, "test", target):
        pass


def test_entries_written_at_once_are_all_there_and_share_trips_to_the_disk(house: House, admin: Call) -> None:
    writes: list[int] = []
    database = house.store.audit._database
    whole = database.write

    def counted(**options: Any) -> object:
        writes.append(1)
        return whole(**options)

    house.store.audit.move()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vectrograph.control.audit._GATHER_SECONDS", 60.0)
        patch.setattr(database, "write", counted)
        threads = [threading.Thread(target=note, args=(house, admin, str(number))) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        house.store.audit.move()
    assert sorted(target for _, target, _ in record(house, admin, "test")) == sorted(map(str, range(20)))
    # The thread that moves entries had begun to gather before the time was prolonged, at most.
    assert len(writes) <= 2


def test_an_entry_that_the_database_refuses_now_is_there_later(house: House, admin: Call) -> None:
    def broken(**_: Any) -> object:
        raise Unavailable("no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.store.audit._database, "write", broken)
        note(house, admin, "early")
        with pytest.raises(Unavailable):
            house.store.audit.move()
        assert record(house, admin, "test") == []
    note(house, admin, "late")
    assert [target for _, target, _ in record(house, admin, "test")] == ["early", "late"]
