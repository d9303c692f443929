"""Use cases of CDNA: quarantines that end, restarts, tenants, audit record."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from control.hand_clock import HandClock
from services.house import DIMENSION, House, build, call_as
from sqlalchemy import URL

from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.domain.cdna import PROFILES, CdnaState, Wish
from vectrograph.domain.errors import Conflict, InvalidArgument, OutOfSpace, QuotaExceeded
from vectrograph.domain.filters.evaluation import Everything
from vectrograph.domain.grid import LEVELS, PlacementChange
from vectrograph.domain.points import Delete, Precondition, Put
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services import Services
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call
from vectrograph.services.cdna.cdna import Cdna
from vectrograph.services.points.tokens import NewToken
from vectrograph.services.ticker import Ticker
from vectrograph.services.traffic import Traffic

EXPLORER = PROFILES["explorer"].scales
TRIAL = Wish(factors={"curiosity_scale": 1.1})


@pytest.fixture
def control_url(either_control_url: str | URL) -> str | URL:
    return either_control_url


@dataclasses.dataclass
class Memory:
    """Resident memory that a test sets."""

    mb: float = 1000.0

    def __call__(self) -> float:
        return self.mb


@dataclasses.dataclass
class Ward:
    """CDNA of a house, without its background thread, with memory that the test sets."""

    cdna: Cdna
    traffic: Traffic
    memory: Memory
    house: House

    def actions(self, call: Call | None = None) -> list[str]:
        return [entry.action for entry in self.cdna.history(call or call_as(), 100)[0]]

    def requests(self, number: int, *, failed: int = 0, broken: int = 0, tenant: str = "default") -> None:
        for n in range(number):
            self.traffic.count_request(tenant, failed=n < failed, broken=n < broken)


class SilentTicker(Ticker):
    """A ticker that a test turns by hand."""

    def wake(self) -> None:
        pass


@pytest.fixture
def ward(house: House, monkeypatch: pytest.MonkeyPatch) -> Ward:
    return warded(house, monkeypatch)


def warded(house: House, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setattr("vectrograph.services.cdna.cdna.Ticker", SilentTicker)
    memory, traffic = Memory(), house.services.traffic
    cdna = Cdna(house.store.cdna, house.engine, Audit(house.store.audit), traffic, house.clock, memory)
    return Ward(cdna, traffic, memory, house)


def other_tenant() -> Call:
    call = call_as(role=Role.ADMIN)
    return call._replace(principal=dataclasses.replace(call.principal, tenant="other", user_id="eve"))


def audited(house: House, prefix: str = "cdna.") -> list[tuple[str, str, str, str]]:
    found = reversed(house.store.audit.list(None, limit=100))
    return [(e.action, e.target, e.outcome, e.tenant) for e in found if e.action.startswith(prefix)]


def test_a_change_is_in_force_in_the_history_and_in_the_audit_record(ward: Ward) -> None:
    call = call_as()
    ward.cdna.configure(call, Wish(profile="analyzer", factors={"novelty_scale": 0.5}))
    ward.cdna.switch(call, "creative")
    report = ward.cdna.status(call)
    assert (report.state.scales, report.history_count) == (PROFILES["creative"].scales, 2)
    assert ward.cdna.scales("default") == PROFILES["creative"].scales
    assert ward.actions() == ["profile_switch", "config_update"]
    changes = ward.cdna.history(call, 2)[0][1].details["changes"]
    assert changes["profile"] == {"from": "explorer", "to": "analyzer"}
    assert changes["L3"] == {"from": 1.2, "to": 0.5}
    assert "L1" not in changes
    with pytest.raises(InvalidArgument):
        ward.cdna.configure(call, Wish(scales=[0.0] * 8))
    assert audited(ward.house) == [
        ("cdna.configure", "analyzer", "ok", "default"),
        ("cdna.switch", "creative", "ok", "default"),
        ("cdna.configure", "", "VALIDATION_ERROR", "default"),
    ]


def test_two_tenants_see_nothing_of_each_other(ward: Ward) -> None:
    eve = other_tenant()
    ward.cdna.switch(call_as(), "creative")
    ward.cdna.start(call_as(), 60)
    assert ward.cdna.status(eve).state.scales == EXPLORER
    assert not ward.cdna.quarantine(eve).active
    assert ward.actions(eve) == []
    ward.cdna.switch(eve, "analyzer")
    ward.cdna.start(eve, 120)
    ward.requests(100, failed=100, tenant="other")
    assert not ward.cdna.quarantine(eve).active
    assert ward.cdna.quarantine(call_as()).active
    assert ward.cdna.scales("default") == PROFILES["creative"].scales
    assert ward.actions(eve) == ["quarantine_rollback", "quarantine_start", "profile_switch"]
    assert ("cdna.rollback", "error_rate", "ok", "other") in audited(ward.house)
    ward.cdna.reset(eve)
    assert ward.actions(eve) == ["reset"]
    assert ward.actions() == ["quarantine_start", "profile_switch"]


def test_a_quarantine_counts_down_and_expires(ward: Ward) -> None:
    call = call_as()
    started = ward.cdna.start(call, 30)
    assert (started.active, started.seconds_left) == (True, 30)
    ward.cdna.configure(call, TRIAL)
    ward.house.clock.advance(29.5)
    assert ward.cdna.quarantine(call).seconds_left == 1
    assert ward.cdna.scales("default") != EXPLORER
    ward.house.clock.advance(0.5)
    assert ward.cdna.scales("default") == EXPLORER
    report = ward.cdna.status(call)
    assert (report.state.scales, report.quarantine.active) == (EXPLORER, False)
    assert ward.actions() == ["quarantine_expired", "config_update", "quarantine_start"]
    assert audited(ward.house, "cdna.expire") == [("cdna.expire", "expired", "ok", "default")]
    assert not ward.traffic.is_watched("default")
    with pytest.raises(Conflict):
        ward.cdna.stop(call, apply=True)
    ward.cdna.switch(call, "creative")


def test_a_change_after_the_end_is_one_without_limits(ward: Ward) -> None:
    """The first change after the end finds the quarantine over, before any thread has looked."""
    ward.cdna.start(call_as(), 30)
    ward.cdna.configure(call_as(), TRIAL)
    ward.house.clock.advance(31)
    state = ward.cdna.configure(call_as(), Wish(scales=[9.0] * 8))
    assert state.scales == (9.0,) * 8
    assert ward.actions()[:2] == ["config_update", "quarantine_expired"]


@pytest.mark.parametrize("apply", [False, True])
def test_stopping_applies_or_restores(ward: Ward, apply: bool) -> None:
    call = call_as()
    ward.cdna.start(call, 30)
    tried = ward.cdna.configure(call, TRIAL).scales
    assert ward.cdna.stop(call, apply=apply).scales == (tried if apply else EXPLORER)
    assert not ward.cdna.quarantine(call).active
    wanted = ["quarantine_applied", "quarantine_stop"] if apply else ["quarantine_stop"]
    assert ward.actions()[: len(wanted)] == wanted
    assert audited(ward.house, "cdna.release") == [("cdna.release", "applied" if apply else "", "ok", "default")]


@pytest.mark.parametrize(
    ("reason", "breach"),
    [
        ("error_rate", lambda ward: ward.requests(20, failed=2)),
        ("connection_breaks", lambda ward: ward.requests(20, broken=3)),
        ("memory_growth", lambda ward: setattr(ward.memory, "mb", 1501.0)),
    ],
)
def test_a_measure_above_its_limit_rolls_back(ward: Ward, reason: str, breach: Callable[[Ward], None]) -> None:
    call = call_as()
    ward.cdna.start(call, 60)
    ward.cdna.configure(call, TRIAL)
    assert ward.cdna._look()
    breach(ward)
    assert not ward.cdna._look()
    assert ward.cdna.scales("default") == EXPLORER
    entry = ward.cdna.history(call, 1)[0][0]
    assert (entry.action, entry.details["reason"]) == ("quarantine_rollback", reason)
    assert entry.details["metrics"][reason] > 0
    assert audited(ward.house, "cdna.rollback") == [("cdna.rollback", reason, "ok", "default")]


def test_measures_at_their_limits_or_of_few_requests_do_not(ward: Ward) -> None:
    call = call_as()
    ward.cdna.start(call, 60)
    ward.requests(2, failed=1, broken=1)
    ward.memory.mb = 1500.0
    assert ward.cdna._look()
    ward.requests(18, broken=1)
    measures = ward.cdna.quarantine(call).measures
    assert measures is not None
    assert (measures.requests, measures.error_rate, measures.connection_breaks) == (20, 0.05, 0.1)
    assert measures.memory_growth == 0.5
    # Less memory than at the start is no growth.
    ward.memory.mb = 500.0
    measures = ward.cdna.quarantine(call).measures
    assert measures is not None
    assert measures.memory_growth == 0.0


def test_what_was_counted_before_and_after_a_quarantine_is_not_of_it(ward: Ward) -> None:
    call = call_as()
    ward.requests(100, failed=100)
    ward.cdna.start(call, 60)
    ward.requests(30)
    ward.cdna.stop(call, apply=True)
    ward.requests(100, failed=100)
    report = ward.cdna.start(call, 60)
    assert report.measures is not None
    assert (report.measures.requests, report.measures.error_rate) == (0, 0.0)


def test_token_churn_is_reported_and_never_a_reason(ward: Ward) -> None:
    call, services = call_as(), ward.house.services
    services.tokens.create_many(call, [NewToken(f"text {n}") for n in range(4)])
    ward.cdna.start(call, 60)
    services.tokens.create_many(call, [NewToken("new"), NewToken("newer")])
    services.tokens.create(call, "newest")
    services.tokens.update(call, 1, text="changed")
    services.tokens.delete(call, 1)
    services.tokens.delete_many(call, [2, 3, 99])
    vector = np.ones(DIMENSION, np.float32)
    services.points.upsert(call, "tokens", [Put(id="50", vector=vector), Put(id="4", vector=vector)])
    services.points.delete(call, "tokens", "50")
    services.bulk.upsert_if(call, "tokens", [Put(id="60", vector=vector)], Precondition(if_absent=True))
    measures = ward.cdna.quarantine(call).measures
    assert measures is not None
    # Created: 2 + 1 + 1 + 1; deleted: 1 + 2 + 1; there are 5.
    assert measures.token_churn == 9 / 5
    services.catalog.create(call, "docs", DIMENSION, "cosine")
    services.points.upsert(call, "docs", [Put(id="1", vector=vector)])
    again = ward.cdna.quarantine(call).measures
    assert again == measures
    services.bulk.delete_where(call, "tokens", Everything())
    services.tokens.create(call, "one")
    services.tokens.delete_where(call, Everything())
    last = ward.cdna.quarantine(call).measures
    assert last is not None
    assert last.token_churn == 9 + 5 + 2
    assert ward.cdna._look()


def test_a_repeated_write_is_counted_once(ward: Ward) -> None:
    call = call_as()._replace(idempotency="key")
    ward.cdna.start(call, 60)
    for _ in range(2):
        ward.house.services.tokens.create_many(call, [NewToken("a")], idempotency=call.idempotent("create", b"a"))
    assert ward.traffic.of("default").created == 1


def test_only_so_many_tenants_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = warded(house, monkeypatch)
    monkeypatch.setattr(ward.traffic, "_most", 1)
    ward.cdna.start(call_as(), 60)
    with pytest.raises(QuotaExceeded, match="1 tenants"):
        ward.cdna.start(other_tenant(), 60)
    assert not ward.cdna.quarantine(other_tenant()).active
    ward.cdna.stop(call_as(), apply=False)
    ward.cdna.start(other_tenant(), 60)


def test_two_who_start_or_stop_at_once_do_it_once(ward: Ward) -> None:
    def attempt(act: Callable[[], object], wins: list[int]) -> None:
        try:
            act()
        except Conflict:
            return
        wins.append(1)

    for act in (lambda: ward.cdna.start(call_as(), 60), lambda: ward.cdna.stop(call_as(), apply=True)):
        wins: list[int] = []
        threads = [threading.Thread(target=attempt, args=(act, wins)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(wins) == 1
    assert ward.actions() == ["quarantine_applied", "quarantine_stop", "quarantine_start"]


def test_a_quarantine_that_ends_in_many_eyes_ends_once(ward: Ward) -> None:
    ward.cdna.start(call_as(), 60)
    ward.house.clock.advance(60)
    threads = [threading.Thread(target=ward.cdna.status, args=(call_as(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ward.actions() == ["quarantine_expired", "quarantine_start"]


def test_an_end_that_cannot_be_stored_holds_all_the_same(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ward.cdna.start(call_as(), 30)
    ward.cdna.configure(call_as(), TRIAL)
    ward.house.clock.advance(31)

    def full(*_: object, **__: object) -> None:
        raise OutOfSpace("full")

    with monkeypatch.context() as patch:
        patch.setattr(ward.house.store.cdna, "change", full)
        assert ward.cdna.status(call_as()).state.scales == EXPLORER
        assert ward.cdna.scales("default") == EXPLORER
    assert ward.cdna.status(call_as()).state.scales == EXPLORER
    assert ward.actions()[0] == "quarantine_expired"


def test_without_a_collection_of_tokens_measures_are_taken(ward: Ward) -> None:
    eve = other_tenant()
    ward.cdna.start(eve, 60)
    report = ward.cdna.quarantine(eve)
    assert report.measures is not None
    assert report.measures.token_churn == 0.0


def test_a_look_counts_no_tokens_and_reads_all_states_at_once(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand tenants it would open their files and read the database a thousand times a second."""
    calls = [call_as(), other_tenant()]
    for call in calls:
        ward.cdna.start(call, 60)
    with monkeypatch.context() as quiet:
        quiet.setattr(ward.house.store.cdna, "get", None)
        quiet.setattr(ward.house.engine, "describe", None)
        assert ward.cdna._look()
    ward.house.clock.advance(61)
    assert not ward.cdna._look()
    assert [ward.actions(call)[0] for call in calls] == ["quarantine_expired"] * 2


class Restarts:
    """Houses one after the other over the same files."""

    def __init__(self, directory: Path, clock: HandClock, url: str | URL) -> None:
        self.engine = ReferenceEngine()
        self._arguments = (directory, clock, self.engine, url)
        self.opened: list[House] = []

    def start(self) -> House:
        for house in self.opened:
            house.services.close()
            house.store.close()
        self.opened = [build(*self._arguments)]
        return self.opened[0]


@pytest.fixture
def restarts(tmp_path: Path, control_url: str | URL) -> Iterator[Restarts]:
    made = Restarts(tmp_path, HandClock(), control_url)
    yield made
    for house in made.opened:
        house.services.close()
        house.store.close()


def test_a_quarantine_goes_on_after_a_restart(restarts: Restarts, monkeypatch: pytest.MonkeyPatch) -> None:
    first = warded(restarts.start(), monkeypatch)
    first.cdna.start(call_as(), 60)
    first.cdna.configure(call_as(), TRIAL)
    first.requests(19, failed=19)
    second = warded(restarts.start(), monkeypatch)
    second.house.clock.advance(10)
    second.cdna.resume()
    report = second.cdna.quarantine(call_as())
    assert (report.active, report.seconds_left) == (True, 50)
    # The counters were in the memory of the process; the memory at the start was stored.
    assert report.measures is not None
    assert report.measures.requests == 0
    with pytest.raises(Conflict):
        second.cdna.switch(call_as(), "creative")
    second.requests(20, failed=2)
    second.cdna._look()
    assert second.cdna.scales("default") == EXPLORER
    third = warded(restarts.start(), monkeypatch)
    third.memory.mb = 10_000.0
    third.cdna.resume()
    assert third.actions()[0] == "quarantine_rollback"


def test_memory_is_compared_with_that_of_the_process_before(
    restarts: Restarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = warded(restarts.start(), monkeypatch)
    first.cdna.start(call_as(), 60)
    second = warded(restarts.start(), monkeypatch)
    second.memory.mb = 1501.0
    second.cdna.resume()
    assert second.actions()[0] == "quarantine_rollback"


def test_what_expires_while_the_server_is_down_is_over_at_the_start(
    restarts: Restarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = warded(restarts.start(), monkeypatch)
    first.cdna.start(call_as(), 60)
    first.cdna.configure(call_as(), TRIAL)
    first.house.clock.advance(3600)
    house = restarts.start()
    assert house.services.cdna.scales("default") == EXPLORER
    house.services.cdna.resume()
    assert house.store.cdna.get("default").quarantine is None
    assert [entry.action for entry in house.store.cdna.history("default", 1)[0]] == ["quarantine_expired"]


def test_the_background_thread_ends_a_quarantine_that_nobody_looks_at(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectrograph.services.ticker.TICK_SECONDS", 0.01)
    monkeypatch.setattr(Ticker.__init__, "__defaults__", (0.01,))
    over = threading.Event()
    cdna = Cdna(house.store.cdna, house.engine, Audit(house.store.audit), Traffic(), house.clock)

    def forget(_: str) -> None:
        over.set()

    monkeypatch.setattr(cdna._traffic, "forget", forget)
    cdna.start(call_as(), 30)
    over.clear()
    thread = cdna._ticker._thread
    assert thread is not None
    house.clock.advance(31)
    assert over.wait(30)
    assert house.store.cdna.get("default").quarantine is None
    cdna.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_look_that_fails_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    looks: Iterator[bool | OutOfSpace] = iter([OutOfSpace("full"), OutOfSpace("full"), True, OutOfSpace("full"), False])
    done = threading.Event()

    def look() -> bool:
        step = next(looks)
        if isinstance(step, OutOfSpace):
            raise step
        if not step:
            done.set()
        return step

    ticker = Ticker(look, 0.001, subject="quarantines")
    with caplog.at_level(logging.WARNING):
        ticker.wake()
        assert done.wait(30)
        ticker.close()
    assert len([r for r in caplog.records if "cannot be looked at" in r.message]) == 2
    ticker.wake()


def test_a_service_without_quarantines_has_no_thread(services: Services) -> None:
    services.cdna.resume()
    services.cdna.switch(call_as(), "creative")
    services.cdna.status(call_as())
    assert services.cdna._ticker._thread is None


def test_scales_in_memory_follow_every_change_and_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ward = warded(house, monkeypatch)
    reads: list[str] = []
    get = house.store.cdna.get

    def counted(tenant: str) -> CdnaState:
        reads.append(tenant)
        return get(tenant)

    monkeypatch.setattr("vectrograph.services.cdna.cdna.MAX_KNOWN", 2)
    for scales, act in (
        (EXPLORER, lambda: None),
        (PROFILES["creative"].scales, lambda: ward.cdna.switch(call_as(), "creative")),
        (PROFILES["explorer"].scales, lambda: ward.cdna.configure(call_as(), Wish(profile="explorer"))),
        (EXPLORER, lambda: ward.cdna.start(call_as(), 30)),
        ((1.5, *EXPLORER[1:]), lambda: ward.cdna.configure(call_as(), Wish(scales=(1.5, *EXPLORER[1:])))),
        (EXPLORER, lambda: house.clock.advance(31)),
        (EXPLORER, lambda: ward.cdna.status(call_as())),
        ((2.0, *EXPLORER[1:]), lambda: ward.cdna.configure(call_as(), Wish(scales=(2.0, *EXPLORER[1:])))),
        (EXPLORER, lambda: ward.cdna.reset(call_as(role=Role.ADMIN))),
    ):
        act()
        with monkeypatch.context() as patch:
            patch.setattr(house.store.cdna, "get", counted)
            assert ward.cdna.scales("default") == ward.cdna.scales("default") == scales
    assert reads.count("default") < 9
    for tenant in ("a", "b", "c"):
        ward.cdna.scales(tenant)
    assert len(ward.cdna._known) <= 2


def test_servers_that_share_a_database_read_it_each_time(house: House) -> None:
    audit = Audit(house.store.audit)
    one, other = (Cdna(house.store.cdna, house.engine, audit, Traffic(), house.clock, shared=True) for _ in range(2))
    assert one.scales("default") == EXPLORER
    other.switch(call_as(), "creative")
    assert one.scales("default") == PROFILES["creative"].scales


def test_an_export_holds_state_and_history(ward: Ward) -> None:
    ward.cdna.switch(call_as(), "creative")
    made = ward.cdna.export(call_as())
    assert (made.state.profile, [entry.action for entry in made.history]) == ("creative", ["profile_switch"])
    assert made.filename == "cdna-20231114T221320Z.json"


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_of_the_history_out_of_range_is_refused(ward: Ward, limit: int) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        ward.cdna.history(call_as(), limit)


def test_deleting_nothing_is_no_churn(ward: Ward) -> None:
    ward.cdna.start(call_as(), 60)
    written = ward.house.engine.write(
        ward.house.services.catalog.describe(call_as(), "tokens").spec.ref, [Delete(id="7")]
    )
    ward.traffic.count_write(ward.house.services.catalog.describe(call_as(), "tokens").spec.ref, written)
    assert ward.traffic.of("default").deleted == 0


def test_stores_open_without_any_cdna(tmp_path: Path) -> None:
    store = ControlStore.open(f"sqlite:///{tmp_path / 'c.sqlite'}")
    assert store.cdna.quarantined() == {}
    store.close()


def test_scales_decide_distances_across_all_levels_of_a_grid(house: House) -> None:
    call, services = call_as(), house.services
    flat = {level: [0.0, 0.0, 0.0] for level in LEVELS}
    for level, axis in (("L1Physical", 0.0), ("L1Physical", 1.0), ("L8Abstract", 1.0)):
        placed = PlacementChange(coordinates={**flat, level: [axis, 0.0, 0.0]})
        services.tokens.create(call, "same text", placement=placed)
    grid = services.grids.create(call).grid_id
    services.grids.add_many(call, grid, [1, 2, 3])

    def distances() -> dict[int, float]:
        found = services.grids.neighbors(call, grid, 1, "all", 100.0, 10)
        return {each.token_id: each.distance for each in found}

    assert distances() == {2: 1.0, 3: 5.0}
    services.cdna.configure(call, Wish(factors={"novelty_scale": 2.0}))
    assert distances() == {2: 1.0, 3: 10.0}
    services.cdna.switch(call, "quarantine")
    assert distances() == {2: 1.0, 3: 3.0}
