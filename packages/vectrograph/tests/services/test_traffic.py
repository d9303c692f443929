"""Counts of the requests and token writes of watched tenants."""

import threading

import pytest

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import QuotaExceeded
from vectrograph.domain.points import Outcome, OutcomeStatus, WriteResult
from vectrograph.services.traffic import MAX_WATCHED, Counts, Traffic

TOKENS = CollectionRef("a", "tokens")


def written(*statuses: OutcomeStatus, replayed: bool = False) -> WriteResult:
    outcomes = tuple(Outcome(str(n), status, n) for n, status in enumerate(statuses))
    return WriteResult(seq=1, outcomes=outcomes, at=1, replayed=replayed)


def test_only_watched_tenants_are_counted() -> None:
    traffic = Traffic()
    traffic.count_request("a", failed=True, broken=True)
    traffic.count_write(TOKENS, written(OutcomeStatus.CREATED))
    assert traffic.of("a") == Counts()
    traffic.watch("a", 5)
    traffic.count_request("a", failed=True, broken=False)
    traffic.count_request("a", failed=False, broken=True)
    traffic.count_request("b", failed=True, broken=True)
    traffic.count_write(TOKENS, written(OutcomeStatus.CREATED, OutcomeStatus.UPDATED, OutcomeStatus.DELETED))
    traffic.count_write(TOKENS, written(OutcomeStatus.CREATED, replayed=True))
    traffic.count_write(CollectionRef("a", "docs"), written(OutcomeStatus.CREATED))
    traffic.count_write(CollectionRef("b", "tokens"), written(OutcomeStatus.CREATED))
    assert traffic.of("a") == Counts(since=5, requests=2, failed=1, broken=1, created=1, deleted=1)
    assert traffic.of("b") == Counts()
    traffic.watch("a", 5)
    assert traffic.of("a").requests == 2
    traffic.watch("a", 6)
    assert traffic.of("a") == Counts(since=6)
    traffic.forget("a")
    traffic.forget("a")
    assert not traffic.is_watched("a")


def test_the_table_is_bounded() -> None:
    traffic = Traffic()
    for n in range(MAX_WATCHED):
        traffic.watch(f"tenant-{n}", 1)
    with pytest.raises(QuotaExceeded, match="1000 tenants"):
        traffic.watch("one more", 1)
    traffic.watch("tenant-0", 2)
    traffic.forget("tenant-1")
    traffic.watch("one more", 1)


def test_nothing_is_lost_between_threads() -> None:
    traffic = Traffic()
    traffic.watch("a", 1)

    def count() -> None:
        for _ in range(2_000):
            traffic.count_request("a", failed=True, broken=False)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic.of("a").failed == 8_000
