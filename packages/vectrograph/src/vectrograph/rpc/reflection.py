"""The standard reflection service (grpc.reflection.v1alpha): the public contract, and nothing of how we read it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from vectrograph.domain.addresses import Network, address_group
from vectrograph.rpc import health
from vectrograph.rpc._pb import auth_pb, vectrograph_pb, vectron_pb
from vectrograph.rpc._pb.methods import AUTH_SERVICE, VECTROGRAPH_SERVICE, VECTRON_SERVICE
from vectrograph.rpc.exchange import caller_address
from vectrograph.rpc.load_shedding import OnThreads, with_own_queues
from vectrograph.rpc.stalled_calls import StalledCalls
from vectrograph.services.limits.refusal_log import RefusalLog
from vectrograph.services.limits.thread_pool import Pool

SERVICE: Final[str] = reflection.SERVICE_NAME
SERVICES: Final = (VECTRON_SERVICE, AUTH_SERVICE, VECTROGRAPH_SERVICE, health.SERVICE, SERVICE)
# Streams that may wait for their caller at once, for its next question or for it to take an answer. Anyone may ask, and
# a stream holds a thread: of one too many, the one that has waited longest ends.
_STALL_SECONDS: Final = 10.0
# Number of such streams in all. Chosen: a developer's tools open one at a time.
_MAX_STALLED: Final = 12
# Number of such streams of one address: half of all.
_MAX_STALLED_PER_ADDRESS: Final = 6
# Enough that some are free while as many streams wait as may.
_THREADS: Final = _MAX_STALLED + 4
# Streams that may wait for a thread; further ones are refused.
_MAX_WAITING: Final = 64
# Tools ask some three questions for each service; one that goes on asking opens another stream.
_MAX_QUESTIONS: Final = 1_000
# A question is the name of a host, and of a file or a symbol.
_MAX_QUESTION_BYTES: Final = 4_096


class Reflection:
    """Lists and describes the server's services; needs no credentials.

    A stream holds a thread between its questions, hence a small pool apart from the others, and an end to idle ones.
    """

    def __init__(self, trusted_proxies: Sequence[Network] = ()) -> None:
        """Start nothing but the watch on idle streams; `trusted_proxies` say who their callers are."""
        self._trusted = trusted_proxies
        self._threads = Pool(_THREADS, max_waiting=_MAX_WAITING, thread_name_prefix="rpc-reflection")
        self._stalled = StalledCalls(seconds=_STALL_SECONDS, in_all=_MAX_STALLED, per_caller=_MAX_STALLED_PER_ADDRESS)
        self._servicer = reflection.ReflectionServicer(SERVICES, pool=_public_pool())

    def handlers(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Return the method ServerReflectionInfo, by name."""
        info = grpc.stream_stream_rpc_method_handler(
            OnThreads(self._answer, self._threads),
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return with_own_queues({"ServerReflectionInfo": info}, RefusalLog("grpc reflection"))

    def _answer(self, questions: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        servicer: Any = self._servicer
        address = address_group(caller_address(context, self._trusted))
        answers = servicer.ServerReflectionInfo(self._watched(questions, context, address), context)
        for answer in answers:
            # The block lasts until grpc has sent the answer.
            with self._stalled.watching(context, address):
                yield answer

    def _watched(self, questions: Iterator[bytes], context: grpc.ServicerContext, address: str) -> Iterator[Any]:
        """Yield the questions, as long as the next one comes soon."""
        asked = 0
        while True:
            with self._stalled.watching(context, address):
                question = next(questions, None)
            if question is None:
                return
            if asked == _MAX_QUESTIONS:
                context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, f"a stream may ask {_MAX_QUESTIONS} questions; open another one"
                )
            asked += 1
            # Parsed here rather than by grpc, whose one serving thread would do it for a question of any size.
            yield _parsed(question, context)

    def leave(self) -> None:
        """Wait for idle streams no longer: the server stops."""
        self._stalled.hurry()

    def close(self) -> None:
        """Let the threads end; only when the server takes no more calls."""
        self._stalled.close()
        self._threads.shutdown(wait=False)


def _parsed(question: bytes, context: grpc.ServicerContext) -> Any:
    if len(question) > _MAX_QUESTION_BYTES:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"a question may have {_MAX_QUESTION_BYTES} bytes")
    try:
        return reflection_pb2.ServerReflectionRequest.FromString(question)
    except DecodeError:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is no ServerReflectionRequest")


def _public_pool() -> DescriptorPool:
    """Return the files of every service that is served, imported ones first."""
    pool = DescriptorPool()
    for module in (auth_pb, vectron_pb, vectrograph_pb, health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
