"""Ways to reach a server: each stores vectors under their row numbers and finds the ten nearest, through a client."""

import json
import struct
import time
from importlib import import_module
from typing import Any, Final, Protocol

import httpx2

from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import EF_CONSTRUCTION, M
from benchmarks.engine.truth import K
from benchmarks.server.processes import Running
from vectron_client import ClientOptions, Point, VectronClient

COLLECTION: Final = "bench"
_KEY_LOGIN: Final = {"username": "developer", "password": "developer123"}
_POLL_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 300.0


class Peer(Protocol):
    """A client of one server."""

    def upsert(self, first: int, vectors: Vectors) -> None:
        """Store rows under the numbers from `first` on; returns when the server has acknowledged them."""
        ...

    def wait_indexed(self) -> float:
        """Wait until new rows are in the index; the moment when they were, by `time.perf_counter()`."""
        ...

    def search(self, query: Vectors) -> list[int]:
        """Return the ten nearest rows, without payload and vector."""
        ...


class OverGrpc:
    """This server, or the prototype, through vectron-client."""

    ef = 0
    """Breadth of search, 0 for the server's own."""

    def __init__(self, address: str, api_key: str | None) -> None:
        self.client = VectronClient(address, api_key, ClientOptions(timeout_seconds=60))

    def create(self, dimension: int) -> None:
        """Make the collection."""
        self.client.create_collection(COLLECTION, dimension, "cosine")

    def upsert(self, first: int, vectors: Vectors) -> None:
        """Make one Upsert call."""
        self.client.upsert(COLLECTION, [Point(id=str(first + n), vector=row) for n, row in enumerate(vectors)])

    def search(self, query: Vectors) -> list[int]:
        """Return one Search call."""
        return [int(hit.id) for hit in self.client.search(COLLECTION, query, top_k=K, ef=self.ef)]


class Vectrograph(OverGrpc):
    """This server over gRPC."""

    def __init__(self, running: Running) -> None:
        self._http = httpx2.Client(base_url=running.facts["http"], verify=False, timeout=60)
        login = self._http.post("/api/v1/auth/login", json=_KEY_LOGIN).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {login}"
        made = self._http.post("/api/v1/api-keys", json={"name": "bench"}).json()
        self.api_key: str = made["api_key"]
        super().__init__(running.facts["grpc"], self.api_key)

    def search_many(self, queries: Vectors) -> list[list[int]]:
        """Many searches in one call, ids only."""
        answers = self.client.search_many(COLLECTION, queries, top_k=K, ef=self.ef, include_payload=False)
        return [[int(text) for text in hits.ids] for hits in answers]

    def wait_indexed(self) -> float:
        """Ask until all rows are indexed.

        Raises:
            TimeoutError: they are not within five minutes.
        """
        end = time.perf_counter() + _PATIENCE_SECONDS
        while time.perf_counter() < end:
            info = self._http.get(f"/v1/collections/{COLLECTION}/info").json()
            if info["indexed"] == info["count"]:
                return time.perf_counter()
            time.sleep(_POLL_SECONDS)
        raise TimeoutError(f"{info['indexed']} of {info['count']} rows are indexed after {_PATIENCE_SECONDS:.0f} s.")


class OverHttp(Vectrograph):
    """This server over its HTTP gateway: vectors as JSON lists."""

    def __init__(self, running: Running) -> None:
        super().__init__(running)
        self._http.headers["Authorization"] = f"Bearer {self.api_key}"

    def upsert(self, first: int, vectors: Vectors) -> None:
        """Make one POST."""
        points = [{"id": str(first + n), "vector": row} for n, row in enumerate(vectors.tolist())]
        answer = self._http.post(f"/v1/collections/{COLLECTION}/points", json={"points": points})
        answer.raise_for_status()

    def search(self, query: Vectors) -> list[int]:
        """Return one POST."""
        body = {"vector": query.tolist(), "topK": K, "ef": self.ef}
        answer = self._http.post(f"/v1/collections/{COLLECTION}/points/search", json=body)
        answer.raise_for_status()
        return [int(hit["id"]) for hit in answer.json()["results"]]


class OverFrames(OverHttp):
    """This server over its HTTP gateway: vectors as float32 beside the JSON."""

    def upsert(self, first: int, vectors: Vectors) -> None:
        """Make one POST."""
        points = [{"id": str(first + n), "vector": n} for n in range(len(vectors))]
        self._post("points", {"points": points}, vectors)

    def search(self, query: Vectors) -> list[int]:
        """Return one POST."""
        answer = self._post("points/search", {"vector": 0, "topK": K, "ef": self.ef}, query.reshape(1, -1))
        return [int(hit["id"]) for hit in answer["results"]]

    def _post(self, path: str, document: dict[str, Any], rows: Vectors) -> Any:
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        frame = struct.pack("<4sIII", b"NGV1", len(text), *rows.shape) + text + rows.tobytes()
        headers = {"Content-Type": "application/vnd.neurograph.vectors"}
        answer = self._http.post(f"/v1/collections/{COLLECTION}/{path}", content=frame, headers=headers)
        answer.raise_for_status()
        return answer.json()


class Chroma:
    """The Chroma server through its own client."""

    def __init__(self, running: Running, dimension: int) -> None:
        chroma: Any = import_module("chromadb")
        settings: Any = import_module("chromadb.config").Settings
        client = chroma.HttpClient("127.0.0.1", running.facts["port"], settings=settings(anonymized_telemetry=False))
        hnsw = {"space": "cosine", "ef_construction": EF_CONSTRUCTION, "max_neighbors": M}
        self._collection = client.create_collection(COLLECTION, configuration={"hnsw": hnsw}, embedding_function=None)

    def upsert(self, first: int, vectors: Vectors) -> None:
        """Make one `upsert` call."""
        ids = [str(first + row) for row in range(len(vectors))]
        self._collection.upsert(ids=ids, embeddings=vectors)

    def wait_indexed(self) -> float:
        """Do nothing: `upsert` returns when the rows are in the index."""
        return time.perf_counter()

    def search(self, query: Vectors) -> list[int]:
        """Return one `query` call that asks for distances only."""
        found = self._collection.query(query_embeddings=[query], n_results=K, include=["distances"])
        return [int(text) for text in found["ids"][0]]
