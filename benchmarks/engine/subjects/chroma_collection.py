"""chromadb: the persistent client with its hnswlib index in memory.

Every `add` is a SQLite transaction with fsync and enters the index before it returns. `ef_search` can be changed, but
a collection that is open goes on with the old value, so the client is closed and opened again.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.engine.conditions import Condition
from benchmarks.engine.datasets import Vectors
from benchmarks.engine.subjects.base import (
    EF_CONSTRUCTION,
    USUAL_BREADTH,
    Durability,
    Effort,
    M,
    Shape,
    Subject,
)

_SPACES: Final = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}


class ChromaCollection(Subject):
    """One collection; labels are its metadata."""

    durability: ClassVar = Durability.BATCH
    styles: ClassVar = ("default",)
    filters: ClassVar = True

    def __init__(self, directory: Path, shape: Shape) -> None:
        self._chroma: Any = import_module("chromadb")
        self._settings: Any = import_module("chromadb.config").Settings
        self._path = str(directory)
        self._shape = shape
        self._where: dict[str, Any] | None = None
        self._open()

    def _open(self) -> None:
        settings = self._settings(anonymized_telemetry=False)
        self._client = self._chroma.PersistentClient(self._path, settings=settings)
        hnsw = {
            "space": _SPACES[self._shape.distance],
            "ef_construction": EF_CONSTRUCTION,
            "ef_search": USUAL_BREADTH,
            "max_neighbors": M,
            "num_threads": self._shape.threads,
        }
        self._collection = self._client.get_or_create_collection(
            "bench", configuration={"hnsw": hnsw}, embedding_function=None
        )
        self._breadth: int = self._collection.configuration["hnsw"]["ef_search"]

    def insert(self, first: int, vectors: Vectors, labels: list[dict[str, int]]) -> None:
        """Make one `add` call."""
        ids = [str(first + row) for row in range(len(vectors))]
        self._collection.add(ids=ids, embeddings=vectors, metadatas=labels)

    def sync(self) -> None:
        """Do nothing: `add` returns when it is on the disk."""

    def wait_indexed(self) -> None:
        """Do nothing: `add` returns when it is in the index."""

    def prepare(self, effort: Effort, condition: Condition | None) -> None:
        """Change `ef_search`, which takes opening the client again."""
        if effort.breadth != self._breadth:
            self._collection.modify(configuration={"hnsw": {"ef_search": effort.breadth}})
            self._client.close()
            self._open()
        self._where = None if condition is None else _expression(condition)

    def search(self, query: Vectors, k: int) -> list[int]:
        """Return one `query` call that asks for distances only."""
        found = self._collection.query(query_embeddings=[query], n_results=k, where=self._where, include=["distances"])
        return [int(text) for text in found["ids"][0]]

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def _expression(condition: Condition) -> dict[str, Any]:
    if condition.low == 0:
        return {condition.label: {"$lt": condition.high}}
    return {condition.label: {"$gte": condition.low}}


CLASSES: Final = {"chromadb": ChromaCollection}
