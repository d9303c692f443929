"""Requests whose calls are counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

import numpy as np

from neurograph import NeuroGraphError
from vectrograph.inprocess import RunningServer
from vectron_client import Point

Walk: TypeAlias = Callable[[], object]

DIMENSION = 256
_COLLECTION = "docs"


@contextmanager
def walks(server: RunningServer) -> Iterator[dict[str, Walk]]:
    """Prepare a collection and tokens, and yield the requests by name."""
    vectors = np.random.default_rng(7).standard_normal((512, DIMENSION)).astype(np.float32)
    points = [Point(str(n), vector, {"title": f"text {n}", "year": 1900 + n % 100}) for n, vector in enumerate(vectors)]
    with server.neurograph() as rest, server.vectron() as grpc:
        grpc.create_collection(_COLLECTION, DIMENSION, "cosine")
        grpc.upsert(_COLLECTION, points)
        tokens = rest.tokens.create_many([f"text {n}" for n in range(20)])
        embedding = tokens[0].embedding

        def refused() -> None:
            with suppress(NeuroGraphError):
                rest.tokens.get(999_999)

        yield {
            "query by vector (REST)": lambda: rest.tokens.query(query_vector=embedding, top_k=10),
            "search (gRPC)": lambda: grpc.search(_COLLECTION, vector=vectors[3], top_k=10),
            "upsert of 256 (gRPC)": lambda: grpc.upsert(_COLLECTION, points[:256]),
            "upsert of 1 (gRPC)": lambda: grpc.upsert(_COLLECTION, points[:1]),
            "token not found (REST)": refused,
        }
