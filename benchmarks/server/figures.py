"""Measurements of one subject, in a process of its own that plays the client."""

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np

from benchmarks.engine.datasets import DataSet, Vectors, load
from benchmarks.engine.subjects.base import Effort, Shape
from benchmarks.engine.subjects.embedded import Embedded
from benchmarks.engine.sweep import ladder
from benchmarks.engine.truth import K
from benchmarks.server import processes
from benchmarks.server.jobs import Job
from benchmarks.server.peers import Chroma, OverFrames, OverGrpc, OverHttp, Peer, Vectrograph
from benchmarks.server.processes import Running
from benchmarks.server.questions import DISTANCE, queries_of, recall_of
from benchmarks.server.table import RECALL

Values: TypeAlias = dict[str, Any]
CALLERS: Final = 8
MANY: Final = 64
_WARM_UP: Final = 20
_MAX_BREADTH: Final = 2_048


def vectrograph_grpc(job: Job) -> Values:
    """Return this server over gRPC through its client: everything."""
    data = load("tokens", job.rows, job.cache)
    with processes.vectrograph(job.directory) as running:
        peer = Vectrograph(running)
        peer.create(data.dimension)
        values = _filled(peer, data, job) | _asked_twice(peer, data, job, running)
        values |= _asked_many(peer.search_many, data, job)
    return values


def vectrograph_rest(job: Job) -> Values:
    """Return this server over HTTP, vectors as JSON."""
    return _over_http(OverHttp, job)


def vectrograph_frames(job: Job) -> Values:
    """Return this server over HTTP, vectors as float32 beside the JSON."""
    return _over_http(OverFrames, job)


def _over_http(kind: type[OverHttp], job: Job) -> Values:
    data = load("tokens", job.rows, job.cache)
    with processes.vectrograph(job.directory) as running:
        peer = kind(running)
        peer.create(data.dimension)
        return _filled(peer, data, job) | _asked_twice(peer, data, job, running)


def chroma(job: Job) -> Values:
    """Return the Chroma server through its client."""
    data = load("tokens", job.rows, job.cache)
    with processes.chroma(job.directory) as running:
        peer = Chroma(running, data.dimension)
        return _filled(peer, data, job) | _asked(peer, data, job, running)


def prototype(job: Job) -> Values:
    """Return the bare prototype through vectron-client: searches only."""
    data = load("tokens", job.rows, job.cache)
    with processes.baseline("prototype", job.directory, str(job.rows), str(job.cache)) as running:
        peer = OverGrpc(f"127.0.0.1:{running.facts['port']}", None)
        return {"breadth": running.facts["breadth"], **_asked(peer, data, job, running)}


def engine(job: Job) -> Values:
    """Return the engine in this process: CPU a search, and searches a second in batches."""
    data = load("tokens", job.rows, job.cache)
    subject = Embedded(job.directory / "engine", Shape(data.dimension, DISTANCE, 2))
    for first, vectors in data.batches(0, data.rows, job.batch):
        subject.insert(first, vectors, [{} for _ in vectors])
    subject.wait_indexed()
    values = {"usual_recall": recall_of(data, lambda query: subject.search(query, K))}
    values["usual_cpu_us"] = _engine_cpu_us(subject, data, job)

    def use(breadth: int) -> float:
        subject.prepare(Effort(breadth, "default"), None)
        return recall_of(data, lambda query: subject.search(query, K))

    values["breadth"], values["recall"] = _least_breadth(use)
    values["cpu_us"] = _engine_cpu_us(subject, data, job)
    values |= _asked_many(subject.search_many, data, job)
    subject.close()
    return values


def _engine_cpu_us(subject: Embedded, data: DataSet, job: Job) -> float:
    queries = queries_of(data)
    spent, count = time.process_time(), 0
    stop = time.perf_counter() + job.seconds
    while time.perf_counter() < stop:
        subject.search(queries[count % len(queries)], K)
        count += 1
    return 1e6 * (time.process_time() - spent) / count


def _filled(peer: Peer, data: DataSet, job: Job) -> Values:
    """Return rows a second until acknowledged, and until indexed."""
    started = time.perf_counter()
    for first, vectors in data.batches(0, data.rows, job.batch):
        peer.upsert(first, vectors)
    acknowledged = time.perf_counter() - started
    indexed = max(acknowledged, peer.wait_indexed() - started)
    return {"upserted": data.rows / acknowledged, "indexed": data.rows / indexed}


def _asked_twice(peer: OverGrpc, data: DataSet, job: Job, running: Running) -> Values:
    """Return a copy with the server's own breadth, and with the least that reaches the recall, as the prototype
    has it.
    """
    usual = _asked(peer, data, job, running)

    def use(breadth: int) -> float:
        peer.ef = breadth
        return recall_of(data, peer.search)

    breadth, _ = _least_breadth(use)
    values = {f"usual_{name}": value for name, value in usual.items()}
    return values | {"breadth": breadth} | _asked(peer, data, job, running)


def _least_breadth(use: Callable[[int], float]) -> tuple[int, float]:
    """Return the first of the engine bench's breadths with which the recall is reached, or the last, and its recall."""
    breadth, found = 0, 0.0
    for breadth in ladder(_MAX_BREADTH):
        found = use(breadth)
        if found >= RECALL:
            break
    return breadth, found


def _asked(peer: Any, data: DataSet, job: Job, running: Running) -> Values:
    """Return recall; searches a second and server CPU by one caller; searches a second and latencies by eight."""
    found = recall_of(data, peer.search)
    queries = queries_of(data)
    spent = running.cpu_seconds()
    alone, _ = _by_callers(peer.search, queries, 1, job.seconds)
    cpu = (running.cpu_seconds() - spent) / alone["count"]
    together, taken = _by_callers(peer.search, queries, CALLERS, job.seconds)
    return {
        "recall": found,
        "alone": alone["rate"],
        "server_cpu_us": 1e6 * cpu,
        "together": together["rate"],
        "p50_ms": 1e3 * statistics.median(taken),
        "p99_ms": 1e3 * float(np.percentile(taken, 99)),
    }


def _asked_many(search_many: Callable[[Vectors], object], data: DataSet, job: Job) -> Values:
    """Return searches a second, 64 a call."""
    queries = queries_of(data)
    starts = range(0, len(queries) - MANY + 1, MANY)
    batches = [np.ascontiguousarray(queries[start : start + MANY]) for start in starts]
    search_many(batches[0])
    stop, count = time.perf_counter() + job.seconds, 0
    started = time.perf_counter()
    while time.perf_counter() < stop:
        search_many(batches[count % len(batches)])
        count += 1
    return {"many": count * MANY / (time.perf_counter() - started)}


def _by_callers(
    search: Callable[[Vectors], object], queries: Vectors, callers: int, seconds: float
) -> tuple[dict[str, float], list[float]]:
    """Return answered calls and their rate, and the seconds that each took, by threads that ask one query after
    the other.
    """
    for query in queries[:_WARM_UP]:
        search(query)
    taken: list[list[float]] = [[] for _ in range(callers)]
    problems: list[Exception] = []
    barrier, stop = threading.Barrier(callers + 1), threading.Event()

    def ask(number: int) -> None:
        own = np.roll(queries, number * len(queries) // callers, axis=0)
        barrier.wait()
        try:
            while not stop.is_set():
                for query in own:
                    before = time.perf_counter()
                    search(query)
                    taken[number].append(time.perf_counter() - before)
                    if stop.is_set():
                        break
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            problems.append(error)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    if problems:
        raise problems[0]
    latencies = [seconds for each in taken for seconds in each]
    return {"count": float(len(latencies)), "rate": len(latencies) / elapsed}, latencies
