"""The standard reflection service (grpc.reflection.v1alpha): the public contract, and nothing of how we read it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from vectrograph.rpc import health
from vectrograph.rpc._pb import auth_pb, vectrograph_pb, vectron_pb
from vectrograph.rpc._pb.methods import AUTH_SERVICE, VECTROGRAPH_SERVICE, VECTRON_SERVICE
from vectrograph.rpc.threads import OnThreads

SERVICE: Final[str] = reflection.SERVICE_NAME
SERVICES: Final = (VECTRON_SERVICE, AUTH_SERVICE, VECTROGRAPH_SERVICE, health.SERVICE, SERVICE)
_THREADS: Final = 2


class Reflection:
    """Lists and describes the server's services; needs no credentials.

    Its streams hold a thread each for as long as the caller likes, hence a small pool apart from the others.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rpc-reflection")
        self._servicer = reflection.ReflectionServicer(SERVICES, pool=_public_pool())

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """The method ServerReflectionInfo."""
        info = grpc.stream_stream_rpc_method_handler(
            OnThreads(self._servicer.ServerReflectionInfo, self._threads),
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"ServerReflectionInfo": info})

    def close(self) -> None:
        """Let the threads end; only when the server takes no more calls."""
        self._threads.shutdown(wait=False)


def _public_pool() -> DescriptorPool:
    """The files of every service that is served, imported ones first."""
    pool = DescriptorPool()
    for module in (auth_pb, vectron_pb, vectrograph_pb, health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
