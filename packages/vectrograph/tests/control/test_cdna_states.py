"""CDNA in the control database, on either kind of it."""

import threading

import pytest
from control.hand_clock import HandClock
from sqlalchemy import insert

from vectrograph.control.cdna import CdnaStates
from vectrograph.control.database.models import CdnaRow
from vectrograph.control.store import ControlStore
from vectrograph.domain.cdna import MAX_HISTORY, CdnaState, Entry, Step, Wish, configured, reset, started, switched
from vectrograph.domain.errors import Conflict


@pytest.fixture
def store(store_on_either: ControlStore) -> ControlStore:
    return store_on_either


def test_a_tenant_without_a_row_has_the_state_of_the_beginning(store: ControlStore) -> None:
    assert store.cdna.get("default") == CdnaState()
    assert store.cdna.history("default", 10) == ([], 0)
    assert store.cdna.quarantined() == {}


def test_states_come_back_bit_for_bit_and_apart(store: ControlStore, clock: HandClock) -> None:
    odd = (0.1, 1 / 3, 2**-30, 1.1, 29.999999999999996, 7e-7, 2.5, 49.3)
    store.cdna.change("a", lambda state: configured(state, Wish(scales=odd), clock()))
    store.cdna.change("b", lambda state: switched(state, "creative", clock()))
    held = store.cdna.change("a", lambda state: started(state, 60, clock(), 123.25))
    assert store.cdna.get("a") == held
    assert held.scales == odd
    assert held.quarantine is not None
    assert (held.quarantine.scales, held.quarantine.memory_mb) == (odd, 123.25)
    assert store.cdna.get("b").quarantine is None
    assert store.cdna.quarantined() == {"a": store.cdna.get("a")}
    entries, total = store.cdna.history("a", 10)
    assert ([entry.action for entry in entries], total) == (["quarantine_start", "config_update"], 2)
    assert entries[0].at == clock()
    assert store.cdna.count("b") == 1


def test_an_action_that_is_refused_stores_nothing(store: ControlStore) -> None:
    def refuse(_: CdnaState) -> Step:
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.cdna.change("a", refuse)
    assert store.cdna.get("a") == CdnaState()
    assert store.cdna.count("a") == 0


def test_of_the_history_the_newest_thousand_are_kept(store: ControlStore, clock: HandClock) -> None:
    store.cdna.change("other", lambda state: switched(state, "creative", clock()))
    many = tuple(Entry("config_update", {"changes": {"n": n}}) for n in range(MAX_HISTORY + 5))
    store.cdna.change("a", lambda state: Step(state, many))
    entries, total = store.cdna.history("a", MAX_HISTORY + 10)
    assert total == len(entries) == MAX_HISTORY
    numbers = [entry.details["changes"]["n"] for entry in entries]
    assert numbers == list(range(MAX_HISTORY + 4, 4, -1))
    store.cdna.change("a", lambda state: Step(state, (Entry("reset"),)))
    assert store.cdna.count("a") == MAX_HISTORY
    assert store.cdna.count("other") == 1
    store.cdna.change("a", lambda state: reset(state, clock()))
    assert [entry.action for entry in store.cdna.history("a", 10)[0]] == ["reset"]
    assert store.cdna.count("other") == 1


def test_changes_at_once_are_all_there(store: ControlStore, clock: HandClock) -> None:
    def push() -> None:
        for _ in range(10):
            store.cdna.change("a", _raised)

    def _raised(state: CdnaState) -> Step:
        return configured(state, Wish(scales=[state.scales[0] + 0.25, *state.scales[1:]]), clock())

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.cdna.get("a").scales[0] == 1.0 + 40 * 0.25
    assert store.cdna.count("a") == 40


def test_a_row_that_another_server_made_meanwhile_is_no_error(store: ControlStore, clock: HandClock) -> None:
    """Another server commits the first row of the tenant after this one has found none."""
    first = [True]
    other = CdnaStates(store._database, clock)

    def meanwhile(state: CdnaState) -> Step:
        if first and store.shared:
            first.clear()
            with store._database._engine.begin() as connection:
                connection.execute(insert(CdnaRow).values(tenant="a", profile="creative", scales=[1.0] * 8))
        return switched(state, "analyzer", clock())

    assert other.change("a", meanwhile).profile == "analyzer"
    assert other.count("a") == 1
