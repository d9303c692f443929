"""`qdrant-client` over REST and over gRPC, against servers that answer as Qdrant does, with answers made beforehand."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages

from benchmarks.client.subjects.base import BATCH, Vectors, batches, made

_COLLECTION = "bench"
_WRITTEN = b'{"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0.0}'


@contextmanager
def serve(name: str, count: int, dimension: int) -> Iterator[str]:
    """Provide a server that takes every upsert, and gives the bench's vectors to whoever retrieves ids."""
    with _rest(count, dimension) if name == "qdrant-rest" else _grpc(count, dimension) as address:
        yield address


@contextmanager
def _rest(count: int, dimension: int) -> Iterator[str]:
    vectors = made(count, dimension)
    retrieved = {}
    for ids in batches(count):
        records = [{"id": number, "payload": None, "vector": vectors[number - 1].tolist()} for number in ids]
        retrieved[ids[0]] = json.dumps({"result": records, "status": "ok", "time": 0.0}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_PUT(self) -> None:
            self._answer(_WRITTEN)

        def do_POST(self) -> None:
            self._answer(None)

        def _answer(self, body: bytes | None) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            answer = retrieved[json.loads(asked)["ids"][0]] if body is None else body
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@contextmanager
def _grpc(count: int, dimension: int) -> Iterator[str]:
    vectors = made(count, dimension)
    written = messages.PointsOperationResponse(
        result=messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.Completed)
    ).SerializeToString()
    retrieved = {ids[0]: _retrieved(ids, vectors) for ids in batches(count)}

    def get(request: bytes, context: grpc.ServicerContext) -> bytes:
        return retrieved[messages.GetPoints.FromString(request).ids[0].num]

    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    handlers = {
        "Upsert": grpc.unary_unary_rpc_method_handler(lambda request, context: written),
        "Get": grpc.unary_unary_rpc_method_handler(get),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("qdrant.Points", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield str(port)
    server.stop(None)


def _retrieved(ids: range, vectors: Vectors) -> bytes:
    points = []
    for number in ids:
        dense = messages.DenseVector(data=vectors[number - 1].tolist())
        output = messages.VectorsOutput(vector=messages.VectorOutput(dense=dense))
        points.append(messages.RetrievedPoint(id=messages.PointId(num=number), vectors=output))
    return bytes(messages.GetResponse(result=points).SerializeToString())


class _Client:
    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    def ways(self) -> tuple[str, ...]:
        return ("upsert", "upload_collection")

    def up(self, vectors: Vectors, way: str) -> int:
        if way == "upload_collection":
            self._client.upload_collection(
                _COLLECTION, vectors, ids=range(1, len(vectors) + 1), batch_size=BATCH, wait=True
            )
            return len(vectors)
        sent = 0
        for ids in batches(len(vectors)):
            part = vectors[ids[0] - 1 : ids[-1]]
            self._client.upsert(_COLLECTION, models.Batch(ids=list(ids), vectors=part.tolist()), wait=True)
            sent += len(ids)
        return sent

    def down(self, count: int) -> Vectors:
        parts = []
        for ids in batches(count):
            records = self._client.retrieve(_COLLECTION, list(ids), with_payload=False, with_vectors=True)
            parts.append(np.array([record.vector for record in records], dtype=np.float32))
        return np.concatenate(parts)

    def close(self) -> None:
        self._client.close()


def client(name: str, address: str) -> _Client:
    """Return the client as a user makes it."""
    if name == "qdrant-rest":
        return _Client(QdrantClient(url=address, check_compatibility=False, timeout=120))
    options = {"grpc.max_receive_message_length": -1}
    return _Client(
        QdrantClient(
            host="127.0.0.1",
            grpc_port=int(address),
            prefer_grpc=True,
            check_compatibility=False,
            timeout=120,
            grpc_options=options,
        )
    )
