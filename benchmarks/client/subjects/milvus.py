"""`pymilvus` against a server that answers as Milvus does, with answers prepared beforehand."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
from pymilvus import MilvusClient
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from benchmarks.client.subjects.base import Vectors, batches, made

_COLLECTION = "bench"
_FIRST_ID = re.compile(rb"\[\s*(\d+)")


@contextmanager
def serve(name: str, count: int, dimension: int) -> Iterator[str]:
    """Provide a server that takes every insert, and gives the bench's vectors to whoever queries ids."""
    vectors = made(count, dimension)
    retrieved = {ids[0]: _retrieved(ids, vectors) for ids in batches(count)}

    def query(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked = milvus_pb2.QueryRequest.FromString(request).expr.encode()
        first = _FIRST_ID.search(asked)
        assert first is not None, asked
        return retrieved[int(first[1])]

    def insert(request: bytes, context: grpc.ServicerContext) -> bytes:
        rows = milvus_pb2.InsertRequest.FromString(request).num_rows
        ids = schema_pb2.IDs(int_id=schema_pb2.LongArray(data=range(rows)))
        return bytes(milvus_pb2.MutationResult(IDs=ids, insert_cnt=rows).SerializeToString())

    answers = {
        "Connect": milvus_pb2.ConnectResponse(identifier=1).SerializeToString(),
        "DescribeCollection": _described(dimension),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(lambda request, context, answer=answer: answer)
        for name, answer in answers.items()
    }
    handlers["Insert"] = grpc.unary_unary_rpc_method_handler(insert)
    handlers["Query"] = grpc.unary_unary_rpc_method_handler(query)
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    service = "milvus.proto.milvus.MilvusService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(None)


def _described(dimension: int) -> bytes:
    id_field = schema_pb2.FieldSchema(fieldID=100, name="id", is_primary_key=True, data_type=schema_pb2.DataType.Int64)
    parameter = common_pb2.KeyValuePair(key="dim", value=str(dimension))
    vector_field = schema_pb2.FieldSchema(
        fieldID=101, name="vector", data_type=schema_pb2.DataType.FloatVector, type_params=[parameter]
    )
    schema = schema_pb2.CollectionSchema(name=_COLLECTION, fields=[id_field, vector_field])
    described = milvus_pb2.DescribeCollectionResponse(schema=schema, collectionID=1, collection_name=_COLLECTION)
    return bytes(described.SerializeToString())


def _retrieved(ids: range, vectors: Vectors) -> bytes:
    part = vectors[ids[0] - 1 : ids[-1]]
    id_data = schema_pb2.FieldData(
        type=schema_pb2.DataType.Int64,
        field_name="id",
        field_id=100,
        scalars=schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=ids)),
    )
    floats = schema_pb2.FloatArray(data=part.ravel().tolist())
    vector_data = schema_pb2.FieldData(
        type=schema_pb2.DataType.FloatVector,
        field_name="vector",
        field_id=101,
        vectors=schema_pb2.VectorField(dim=part.shape[1], float_vector=floats),
    )
    results = milvus_pb2.QueryResults(
        fields_data=[id_data, vector_data],
        collection_name=_COLLECTION,
        output_fields=["id", "vector"],
        primary_field_name="id",
    )
    return bytes(results.SerializeToString())


class _Client:
    def __init__(self, address: str) -> None:
        self._client = MilvusClient(address, timeout=120)

    def ways(self) -> tuple[str, ...]:
        return ("insert",)

    def up(self, vectors: Vectors, way: str) -> int:
        sent = 0
        for ids in batches(len(vectors)):
            rows = [{"id": number, "vector": vectors[number - 1]} for number in ids]
            sent += self._client.insert(_COLLECTION, rows)["insert_count"]
        return sent

    def down(self, count: int) -> Vectors:
        parts = []
        for ids in batches(count):
            rows = self._client.query(_COLLECTION, ids=list(ids), output_fields=["id", "vector"])
            parts.append(np.array([row["vector"] for row in rows], dtype=np.float32))
        return np.concatenate(parts)

    def close(self) -> None:
        self._client.close()


def client(name: str, address: str) -> _Client:
    """Return the client as a user makes it."""
    return _Client(address)
