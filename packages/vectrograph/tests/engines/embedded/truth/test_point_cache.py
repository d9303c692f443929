"""Points that are remembered are those of the View, whoever writes meanwhile."""

from pathlib import Path
from threading import Event, Thread

from vectrograph.domain.points import Patch, Put
from vectrograph.domain.queries import DenseLeg, Include, SearchRequest
from vectrograph.engines.contract.subject import SELECTIONS, make, nearest, put, vector
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.engines.embedded.truth.point_cache import Entry, PointCache
from vectrograph.engines.embedded.truth.records import CONTENT, Record


def record(label: int, payload: bytes = b'{"n":1}', version: int | None = None) -> Record:
    return Record(label, version or label, label, 1, 2, f"id {label}".encode(), payload, b"text")


def entries(*labels: int, payload: bytes = b"{}") -> dict[int, Entry]:
    return {label: Entry.of(record(label, payload), CONTENT) for label in labels}


def test_what_was_kept_is_found_until_it_is_forgotten() -> None:
    remembered = PointCache()
    remembered.keep(entries(1, 2, 3), remembered.epoch)
    found, missing = remembered.find([3, 1, 9], CONTENT)
    assert (sorted(found), missing) == ([1, 3], [9])
    remembered.forget([3])
    assert remembered.find([1, 3], CONTENT) == ({1: found[1]}, [3])
    assert remembered.nbytes > 0


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    remembered = PointCache()
    epoch = remembered.epoch
    remembered.forget([7])
    remembered.keep(entries(1, 7), epoch)
    assert remembered.find([1, 7], CONTENT) == ({}, [1, 7])
    remembered.forget([])
    remembered.keep(entries(1), remembered.epoch)
    assert remembered.find([1], CONTENT)[1] == []


def test_parts_that_were_not_read_are_missing() -> None:
    for read in SELECTIONS:
        remembered = PointCache()
        payload, text = (b'{"n":1}' if read.payload else None), (b"text" if read.text else None)
        stored = Record(1, 1, 1, 1, 2, b"id", payload, text)
        remembered.keep({1: Entry.of(stored, read)}, 0)
        for wanted in SELECTIONS:
            found, missing = remembered.find([1], wanted)
            enough = (read.payload or not wanted.payload) and (read.text or not wanted.text)
            assert (missing == []) is enough
            if enough:
                bare = Include(vector=False, payload=wanted.payload, text=wanted.text)
                assert found[1] == stored.point(bare)


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    remembered = PointCache(limit=400_000)
    for label in range(1, 3_000):
        remembered.keep(entries(label, payload=b'{"pad":"%s"}' % (b" " * 1_000)), remembered.epoch)
        assert remembered.find([1], CONTENT)[1] == []
        assert remembered.nbytes <= 420_000
    assert remembered.find([2], CONTENT)[1] == [2]


def test_a_caller_cannot_change_what_others_get(scratch: Path) -> None:
    engine = EmbeddedEngine.open(scratch / "data")
    ref = make(engine, "docs")
    put(engine, ref, "a", (1, 1), {"list": [1]})
    for _ in range(3):
        payload = nearest(engine, ref, (1, 1))[0].point.payload
        assert payload == {"list": [1]}
        payload["list"].append(2)
    engine.close()


def test_a_patch_is_seen_by_the_next_search(scratch: Path) -> None:
    """Also while another thread searches without pause."""
    engine = EmbeddedEngine.open(scratch / "data")
    ref = make(engine, "docs")
    engine.write(ref, [Put(id=f"{n}", vector=vector(n, 0), payload={"round": 0}) for n in range(20)])
    done, problems = Event(), list[Exception]()

    def search() -> None:
        try:
            newest = 0
            while not done.is_set():
                request = SearchRequest(legs=(DenseLeg(vectors=vector(0, 0)[None]),), k=20)
                points = [hit.point for hit in engine.search(ref, request)[0].hits]
                rounds = {(point.payload or {})["round"] for point in points}
                assert len(rounds) == 1, "of more than one state"
                latest = rounds.pop()
                assert latest >= newest
                newest = latest
        except Exception as error:  # noqa: BLE001 - shown below
            problems.append(error)

    threads = [Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 60):
            engine.write(ref, [Patch(id=f"{n}", payload={"round": number}) for n in range(20)])
            hits = nearest(engine, ref, (0, 0), 20)
            assert {(hit.point.payload or {})["round"] for hit in hits} == {number}
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert problems == []
    engine.close()
