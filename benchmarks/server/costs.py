"""CPU costs: what a server spends on a call beyond its engine, and a client on an upsert, next to bare ones."""

import gc
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeAlias

import grpc
import httpx2
import numpy as np

from benchmarks.engine.datasets import Vectors, load
from benchmarks.engine.truth import K
from benchmarks.server import processes
from benchmarks.server.jobs import Job
from benchmarks.server.peers import COLLECTION, OverGrpc
from benchmarks.server.processes import Running
from benchmarks.server.questions import queries_of
from vectrograph.rpc._pb import vectron_pb as pb
from vectron_client import Point

Values: TypeAlias = dict[str, Any]
_DIMENSION: Final = 768
_SEED: Final = 7


def bare_grpcio(job: Job) -> Values:
    """Return server CPU of a call that is answered at once with ten hits, through vectron-client."""
    hits = [pb.SearchResult(id=str(10_000 + n), score=0.5) for n in range(K)]
    answer = pb.SearchResponse(results=hits).SerializeToString()
    with processes.baseline("bare", job.directory, "grpcio", answer.hex()) as running:
        peer = OverGrpc(f"127.0.0.1:{running.facts['port']}", "ng_live_key-of-the-usual-length-for-the-header")
        return {"server_cpu_us": _server_cpu(running, peer.search, job)}


def bare_starlette(job: Job) -> Values:
    """Return server CPU of a POST with a binary vector that is answered at once with ten hits in JSON."""
    hit = '{"id":"10000","score":0.5,"payload":{},"vector":[]}'
    answer = f'{{"results":[{",".join([hit] * K)}]}}'.encode()
    with processes.baseline("bare", job.directory, "starlette", answer.hex()) as running:
        client = httpx2.Client(base_url=f"http://127.0.0.1:{running.facts['port']}", verify=False)
        headers = {"Authorization": "Bearer ng_live_key-of-the-usual-length-for-the-header"}
        headers["Content-Type"] = "application/octet-stream"

        def search(query: Vectors) -> object:
            return client.post("/search", content=query.tobytes(), headers=headers).json()

        return {"server_cpu_us": _server_cpu(running, search, job)}


def _server_cpu(running: Running, search: Callable[[Vectors], object], job: Job) -> float:
    """Return microseconds of the server's CPU a call, one caller."""
    queries = queries_of(load("tokens", job.rows, job.cache))
    for query in queries:
        search(query)
    spent, count = running.cpu_seconds(), 0
    stop = time.perf_counter() + job.seconds
    while time.perf_counter() < stop:
        search(queries[count % len(queries)])
        count += 1
    return 1e6 * (running.cpu_seconds() - spent) / count


# ---------------------------------------------------------------- clients


def client_vectron(job: Job) -> Values:
    """Return CPU of an upsert from a numpy array through vectron-client, in a server's place a sink."""

    def prepare(address: str, vectors: Vectors) -> Callable[[], object]:
        client = OverGrpc(address, None).client
        return lambda: client.upsert_batch(COLLECTION, [Point(id=str(n), vector=row) for n, row in enumerate(vectors)])

    return _client_cpu(job, prepare)


def client_protobuf(job: Job) -> Values:
    """Return CPU of the same with ordinary protobuf messages made from Python lists."""

    def prepare(address: str, vectors: Vectors) -> Callable[[], object]:
        channel: Any = grpc.insecure_channel(address)
        call = channel.unary_unary(
            "/vectron.v1.VectronService/Upsert",
            request_serializer=pb.UpsertRequest.SerializeToString,
            response_deserializer=pb.UpsertResponse.FromString,
        )
        lists = vectors.tolist()

        def send() -> None:
            for first in range(0, len(lists), job.batch):
                points = [
                    pb.Point(id=str(first + n), vector=row) for n, row in enumerate(lists[first : first + job.batch])
                ]
                call(pb.UpsertRequest(collection=COLLECTION, points=points))

        return send

    return _client_cpu(job, prepare)


def client_qdrant(job: Job) -> Values:
    """Return CPU of the same through qdrant-client over gRPC."""

    def prepare(address: str, vectors: Vectors) -> Callable[[], object]:
        qdrant: Any = import_module("qdrant_client")
        host, _, port = address.partition(":")
        client = qdrant.QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False)
        lists = vectors.tolist()

        def send() -> None:
            for first in range(0, len(lists), job.batch):
                part = lists[first : first + job.batch]
                batch = qdrant.models.Batch(ids=list(range(first, first + len(part))), vectors=part)
                client.upsert(COLLECTION, points=batch)

        return send

    return _client_cpu(job, prepare)


def _client_cpu(job: Job, prepare: Callable[[str, Vectors], Callable[[], object]]) -> Values:
    """Return seconds of this process's CPU for all points in batches, after a first upsert, which imports and
    connects.
    """
    vectors = np.random.default_rng(_SEED).normal(size=(job.points, _DIMENSION)).astype(np.float32)
    answer = pb.UpsertResponse(upserted=1).SerializeToString()
    with processes.baseline("bare", job.directory, "sink", answer.hex()) as running:
        address = f"127.0.0.1:{running.facts['port']}"
        prepare(address, vectors[: job.batch])()
        send = prepare(address, vectors)
        gc.collect()  # what importing has left behind is nobody's cost of sending
        spent = time.process_time()
        send()
        return {"client_cpu_s": time.process_time() - spent}
