"""The standard reflection service (grpc.reflection.v1alpha): the public contract, and nothing of how we read it."""

from collections.abc import Iterator
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from vectrograph.rpc import health
from vectrograph.rpc._pb import auth_pb, vectrograph_pb, vectron_pb
from vectrograph.rpc._pb.methods import AUTH_SERVICE, VECTROGRAPH_SERVICE, VECTRON_SERVICE
from vectrograph.rpc.admission import Admission, Lanes
from vectrograph.rpc.pool import Pool
from vectrograph.rpc.slow_bodies import SlowBodies
from vectrograph.rpc.threads import OnThreads
from vectrograph.services.refusals import Refusals

SERVICE: Final[str] = reflection.SERVICE_NAME
SERVICES: Final = (VECTRON_SERVICE, AUTH_SERVICE, VECTROGRAPH_SERVICE, health.SERVICE, SERVICE)
_THREADS: Final = 2
# Anyone may ask, so a stream whose next question does not come soon is ended, sooner still while others wait.
_PATIENCE_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 0.5
_MAX_WAITING: Final = 64


class Reflection:
    """Lists and describes the server's services; needs no credentials.

    A stream holds a thread between its questions, hence a small pool apart from the others, and an end to idle ones.
    """

    def __init__(self) -> None:
        self._threads = Pool(_THREADS, max_waiting=_MAX_WAITING, thread_name_prefix="rpc-reflection")
        self._slow = SlowBodies(_PATIENCE_SECONDS, _GRACE_SECONDS, lambda: self._threads.waiting > 0)
        self._servicer = reflection.ReflectionServicer(SERVICES, pool=_public_pool())

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """The method ServerReflectionInfo."""
        info = grpc.stream_stream_rpc_method_handler(
            OnThreads(self._answer, self._threads),
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        methods = grpc.method_handlers_generic_handler(SERVICE, {"ServerReflectionInfo": info})
        return Admission(methods, Lanes(self._threads), Refusals("grpc reflection"))

    def _answer(self, questions: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        servicer: Any = self._servicer
        yield from servicer.ServerReflectionInfo(self._watched(questions, context), context)

    def _watched(self, questions: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """The questions, as long as the next one comes soon."""
        while True:
            with self._slow.watching(context):
                question = next(questions, None)
            if question is None:
                return
            yield question

    def close(self) -> None:
        """Let the threads end; only when the server takes no more calls."""
        self._slow.close()
        self._threads.shutdown(wait=False)


def _public_pool() -> DescriptorPool:
    """The files of every service that is served, imported ones first."""
    pool = DescriptorPool()
    for module in (auth_pb, vectron_pb, vectrograph_pb, health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
