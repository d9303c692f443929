"""The bare prototype: a thread-pool grpcio server over a faiss index. No storage, no accounts, no payload, no filters.

`python -m benchmarks.server.prototype ROWS CACHE` indexes the token table under cosine, takes the least breadth of
search that finds .95 of the neighbours, prints its port and serves Vectron's Search. It is what any server in this
language has to spend: the bars hold this project's server against it.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import faiss
import grpc
import numpy as np

from benchmarks.engine.datasets import DataSet, Vectors, load
from benchmarks.engine.subjects.base import EF_CONSTRUCTION, M
from benchmarks.engine.sweep import ladder
from benchmarks.engine.truth import K
from benchmarks.server.questions import recall_of
from vectrograph.rpc._pb import bytesview_pb as view

TARGET: Final = 0.95
_THREADS: Final = 8
_MAX_BREADTH: Final = 512


class Index:
    """HNSW over 8-bit codes, refined with the float32 vectors; inner products of unit vectors."""

    def __init__(self, data: DataSet) -> None:
        rows = _unit(np.asarray(data.mapped()))
        self._library: Any = faiss
        graph = self._library.IndexHNSWSQ(
            data.dimension, self._library.ScalarQuantizer.QT_8bit, M, self._library.METRIC_INNER_PRODUCT
        )
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        self._index = self._library.IndexRefineFlat(graph)
        self._index.train(rows)
        self._index.add(rows)
        self.breadth = next((ef for ef in ladder(_MAX_BREADTH) if self._reaches(data, ef)), _MAX_BREADTH)
        self._use(self.breadth)
        # One thread a call: the calls themselves come on several.
        self._library.omp_set_num_threads(1)

    def _reaches(self, data: DataSet, breadth: int) -> bool:
        self._use(breadth)
        return recall_of(data, lambda query: self.search(query)[1]) >= TARGET

    def _use(self, breadth: int) -> None:
        graph = self._library.SearchParametersHNSW(efSearch=breadth)
        self._parameters = self._library.IndexRefineSearchParameters(k_factor=1.0, base_index_params=graph)

    def search(self, query: Vectors) -> tuple[list[float], list[int]]:
        """Return scores (1 − cosine) and rows of the nearest."""
        near, rows = self._index.search(_unit(query.reshape(1, -1)), K, params=self._parameters)
        return (1 - near[0]).tolist(), rows[0].tolist()


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(lengths, 1e-30), np.float32)


def main(arguments: list[str]) -> None:
    """Index, tell the port, serve until killed."""
    index = Index(load("tokens", int(arguments[0]), Path(arguments[1])))

    def search(request: Any, _: grpc.ServicerContext) -> Any:
        scores, rows = index.search(np.frombuffer(request.vector, "<f4"))
        response = view.SearchResponse()
        for score, row in zip(scores, rows, strict=True):
            response.results.add(id=str(row), score=score)
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        search,
        request_deserializer=view.SearchRequest.FromString,
        response_serializer=view.SearchResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.so_reuseport", 0)])
    service = grpc.method_handlers_generic_handler("vectron.v1.VectronService", {"Search": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port, "breadth": index.breadth}), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1:])
