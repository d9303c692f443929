"""FINDINGS B5: filters have a cost, hold up nobody, end with their caller, and leave nothing behind."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest

from benchmarks.attack.costly_filters import nots, substrings, unknown_paths
from tests.e2e.processes import ServerProcess, serve
from tests.security.vectron_wire import METHODS, Wire
from vectrograph import RunningServer, running
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.points import Put
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb
from vectron_client import Point

POINTS = 20_000
VECTOR = [1.0, 0.0, 0.0, 0.0]
# What keeps such filters out by default is given up here: they must do no harm where an operator raises the limits.
RAISED = (
    "--max-filter-paths", "10000", "--max-filter-conditions", "10000", "--max-filter-work", "100000000000",
    "--shutdown-seconds", "1",
)  # fmt: skip
SECONDS = 60.0
COSTLY = unknown_paths(0, 4_000)
LOOKING_WITHIN = substrings(900, "s")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("costly") / "data"
    ref = CollectionRef("default", "docs")
    vectors = np.tile(np.array(VECTOR, np.float32), (POINTS, 1))
    engine = EmbeddedEngine.open(directory)
    try:
        engine.create(CollectionSpec.dense(ref, 4, Distance.COSINE))
        for start in range(0, POINTS, 5_000):
            numbers = range(start, start + 5_000)
            engine.write(ref, [Put(id=str(n), vector=vectors[n], payload={"n": n, "s": f"word {n}"}) for n in numbers])
    finally:
        engine.close()
    return directory


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[tuple[ServerProcess, dict[str, Any]]]:
    with serve(data, *RAISED) as process:
        yield process, json.loads(process.read_until('"serving"', 120))


def credential(started: dict[str, Any], name: str) -> str:
    login = {"username": name, "password": f"{name}123"}
    token: str = httpx2.post(f"{started['http']}/api/v1/auth/login", json=login, timeout=60).json()["access_token"]
    return token


def cpu_seconds(process: ServerProcess) -> float:
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: ServerProcess) -> int:
    return int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until_idle(process: ServerProcess) -> None:
    """Return when the process has worked for less than a third of a second's time."""
    late = time.monotonic() + SECONDS
    while time.monotonic() < late:
        before = cpu_seconds(process)
        time.sleep(1.0)
        if cpu_seconds(process) - before < 0.3:
            return
    raise AssertionError("the server works on, though nobody waits")


def search(condition: dict[str, Any] | None, collection: str = "docs") -> pb.SearchRequest:
    text = "" if condition is None else json.dumps(condition)
    return pb.SearchRequest(collection=collection, vector=VECTOR, top_k=3, filter_json=text)


def begin(channel: Any, credential: str, condition: dict[str, Any]) -> Any:
    """Return a search under way."""
    method = METHODS["Search"]
    call = channel.unary_unary(method.path, response_deserializer=method.response.FromString)
    return call.future(search(condition).SerializeToString(), metadata=[("authorization", f"Bearer {credential}")])


def repeated(ask: Callable[[], tuple[str, str]], wanted: str) -> bool:
    """Return whether a call ends so within a minute, asked again and again."""
    late = time.monotonic() + SECONDS
    while (status := ask()[0]) != wanted and time.monotonic() < late:
        assert status in ("OK", "RESOURCE_EXHAUSTED")
    return status == wanted


def test_a_costly_filter_holds_up_nobody_and_ends_with_its_caller(
    server: tuple[ServerProcess, dict[str, Any]],
) -> None:
    """One account has one turn, all have two: four filters of a viewer held all threads that read."""
    process, started = server
    viewer, admin, developer = (credential(started, name) for name in ("viewer", "admin", "developer"))
    channel = grpc.insecure_channel(started["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
    over = threading.Semaphore(0)
    with channel, Wire(started["grpc"]) as wire:
        attacks = [begin(channel, viewer, LOOKING_WITHIN) for _ in range(8)]
        for attack in attacks:
            attack.add_done_callback(lambda _: over.release())
        # Those without a turn are refused at once, while the one that has it goes on.
        for _ in range(7):
            assert over.acquire(timeout=SECONDS)
        [goes_on] = [attack for attack in attacks if not attack.done()]
        for attack in attacks:
            if attack is not goes_on:
                assert attack.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "this account already runs 1 such filters" in attack.details()
                trailers = dict(attack.trailing_metadata())
                assert (trailers["retry-after"], trailers["x-error-code"]) == ("1", "RATE_LIMIT_EXCEEDED")
        url, body = f"{started['http']}/v1/collections/docs/points/search", {"vector": VECTOR, "topK": 3}
        refused = httpx2.post(
            url,
            json={**body, "filterJson": json.dumps(LOOKING_WITHIN)},
            headers={"Authorization": f"Bearer {viewer}"},
            timeout=SECONDS,
        )
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.headers["x-error-code"] == "RATE_LIMIT_EXCEEDED"
        assert "use fewer conditions on the content of strings" in refused.json()["message"]
        second = begin(channel, admin, LOOKING_WITHIN)
        for number in range(10):
            # A write makes the columns old, so that the next search has to work on them too.
            point = pb.Point(id=f"new-{number}", vector=VECTOR, payload_json=json.dumps({"n": -1 - number}).encode())
            wire.call("Upsert", pb.UpsertRequest(collection="docs", points=[point]), developer)
            answer = wire.call("Search", search({"path": "n", "eq": -1 - number}), developer)
            assert [hit.id for hit in answer.results] == [f"new-{number}"]
        # Both turns are taken, also for those who have none.
        assert repeated(lambda: wire.refusal("Search", search(COSTLY), developer), "RESOURCE_EXHAUSTED")
        for attack in (goes_on, second):
            assert not attack.done(), "too cheap to show anything"
            attack.cancel()
        # The turns come back.
        few = substrings(12, "s")
        assert repeated(lambda: wire.refusal("Search", search(few), viewer), "OK")
        wait_until_idle(process)

    # Over HTTP: the caller closes the connection.
    headers = {"Authorization": f"Bearer {viewer}"}
    body = {"vector": VECTOR, "topK": 3, "filterJson": json.dumps(COSTLY)}
    with pytest.raises(httpx2.TimeoutException):
        httpx2.post(f"{started['http']}/v1/collections/docs/points/search", json=body, headers=headers, timeout=2.0)
    wait_until_idle(process)


def test_paths_that_lead_nowhere_leave_no_memory_behind(server: tuple[ServerProcess, dict[str, Any]]) -> None:
    """512 of them took 8 bytes a point each, 82 MB; the points themselves take a few."""
    process, started = server
    viewer = credential(started, "viewer")
    channel = grpc.insecure_channel(started["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
    with channel:
        for first in range(0, 128, 64):
            begin(channel, viewer, unknown_paths(first, 64)).result(SECONDS)
        before = resident_bytes(process)
        for first in range(128, 640, 64):
            begin(channel, viewer, unknown_paths(first, 64)).result(SECONDS)
        assert resident_bytes(process) - before < 40 << 20


def test_the_server_stops_in_time_while_costly_filters_are_evaluated(
    server: tuple[ServerProcess, dict[str, Any]],
) -> None:
    """The last of those that share the process, which it ends."""
    process, started = server
    # One account has one turn.
    viewer, developer = credential(started, "viewer"), credential(started, "developer")
    channel = grpc.insecure_channel(started["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
    begun = cpu_seconds(process)
    with channel:
        attack = begin(channel, viewer, COSTLY)

        def over_http() -> None:
            body = {"vector": VECTOR, "topK": 3, "filterJson": json.dumps(unknown_paths(5_000, 4_000))}
            try:
                url = f"{started['http']}/v1/collections/docs/points/search"
                httpx2.post(url, json=body, headers={"Authorization": f"Bearer {developer}"}, timeout=SECONDS)
            except httpx2.HTTPError:
                return

        thread = threading.Thread(target=over_http)
        thread.start()
        late = time.monotonic() + SECONDS
        while cpu_seconds(process) - begun < 1.0 and time.monotonic() < late:
            time.sleep(0.05)
        assert not attack.done()
        # One second for requests under way; the rest is for a machine that is busy with something else.
        assert process.terminate(30) == 0
        thread.join()


# ---------------------------------------------------------------- what is let in


@pytest.fixture(scope="module")
def small() -> Iterator[RunningServer]:
    with running(max_filter_conditions=100, max_filter_paths=10, max_filter_work=1_000) as started:
        with started.vectron() as client:
            client.create_collection("docs", 4, "cosine")
            client.upsert("docs", [Point(id=str(n), vector=VECTOR, payload={"n": n}) for n in range(100)])
        yield started


REFUSED = {
    "conditions": {"and": [{"path": "a", "eq": n} for n in range(101)]},
    "conditions, and, or and not": {"and": [nots(25)] * 8},
    "distinct paths": unknown_paths(0, 11),
    "bytes of constants": {"path": "a", "in": ["x" * 1_000 + str(n) for n in range(1_100)]},
    "bytes in a prefix or substring": {"path": "a", "substring": "x" * 1_025},
    # 100 points, six conditions and six paths.
    "tests": unknown_paths(0, 6),
}


@pytest.mark.parametrize("unit", REFUSED)
def test_a_filter_that_costs_too_much_is_refused_with_the_number(small: RunningServer, unit: str) -> None:
    condition = json.dumps(REFUSED[unit])
    key = small.api_key
    vectors = np.array([VECTOR] * 2, np.float32).tobytes()
    requests: dict[str, Callable[[], Any]] = {
        "Search": lambda: pb.SearchRequest(collection="docs", vector=VECTOR, filter_json=condition),
        "SearchStream": lambda: pb.SearchRequest(collection="docs", vector=VECTOR, filter_json=condition),
        "SearchBatch": lambda: own.SearchBatchRequest(
            collection="docs", vectors=vectors, queries=2, filter_json=condition
        ),
        "Scroll": lambda: own.ScrollRequest(collection="docs", filter_json=condition),
        "Count": lambda: own.CountRequest(collection="docs", filter_json=condition),
        "DeleteWhere": lambda: own.DeleteWhereRequest(collection="docs", filter_json=condition),
    }
    with Wire(small.grpc_address) as wire:
        for name, request in requests.items():
            status, message = wire.refusal(name, request(), key)
            assert (name, status) == (name, "RESOURCE_EXHAUSTED")
            assert unit in message
    headers = {"X-API-Key": key}
    with httpx2.Client(base_url=small.http_url, headers=headers) as http:
        if unit == "tests":
            for _ in range(2):
                http.post("/api/v1/tokens/batch", json={"tokens": [{"embedding": [1.0] * 256}] * 50})
        answers = [
            http.post("/api/v1/tokens/query", json={"text": "x", "filter": json.loads(condition)}),
            http.post("/api/v1/tokens/delete", json={"filter": json.loads(condition)}),
            http.post("/v1/collections/docs/points/search", json={"vector": VECTOR, "filterJson": condition}),
        ]
        for answer in answers:
            assert answer.status_code == 413, answer.text
            assert unit in answer.text
        if len(condition) < 30_000:
            listed = http.get("/api/v1/tokens", params={"filter": condition})
            assert listed.status_code == 413, listed.text


def test_the_limits_of_filters_and_collections_are_advertised(small: RunningServer) -> None:
    told = httpx2.get(f"{small.http_url}/api/v1/limits").json()
    with Wire(small.grpc_address) as wire:
        over_grpc = wire.call("GetLimits", credential=small.api_key)
    gateway = httpx2.get(f"{small.http_url}/v1/limits", headers={"X-API-Key": small.api_key}).json()
    with small.vectron() as client:
        limits = client.get_limits()
    expected = {
        "max_filter_conditions": 100,
        "max_filter_paths": 10,
        "max_filter_work": 1_000,
        "max_collections": 10_000,
        "max_tenant_collections": 5_000,
    }
    for name, value in expected.items():
        first, *others = name.split("_")
        camel = first + "".join(other.title() for other in others)
        assert (told[name], getattr(over_grpc, name), int(gateway[camel]), getattr(limits, name)) == (value,) * 4


def test_more_collections_than_the_limit_are_refused_on_both_wires() -> None:
    """FINDINGS B4: the number is advertised, refused clearly, and dropping one makes room."""
    with running(max_tenant_collections=2) as server, Wire(server.grpc_address) as wire:
        for name in ("a", "b"):
            wire.call("CreateCollection", pb.CreateCollectionRequest(name=name, dimension=4), server.api_key)
        status, message = wire.refusal(
            "CreateCollection", pb.CreateCollectionRequest(name="c", dimension=4), server.api_key
        )
        assert (status, "max_tenant_collections is 2" in message) == ("FAILED_PRECONDITION", True)
        headers = {"X-API-Key": server.api_key}
        url, wanted = f"{server.http_url}/v1/collections", {"name": "c", "dimension": 4}
        refused = httpx2.post(url, json=wanted, headers=headers)
        assert (refused.status_code, refused.headers["X-Error-Code"]) == (400, "QUOTA_EXCEEDED")
        wire.call("DeleteCollection", pb.DeleteCollectionRequest(name="a"), server.api_key)
        assert httpx2.post(url, json=wanted, headers=headers).status_code == 200
