"""The methods of a service: message bytes in, the operation of the contract, message bytes out."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from vectrograph.rpc._pb.methods import (
    AUTH_SERVICE,
    AUTH_SERVICE_METHODS,
    VECTROGRAPH_SERVICE,
    VECTROGRAPH_SERVICE_METHODS,
    VECTRON_SERVICE,
    VECTRON_SERVICE_METHODS,
    Method,
)
from vectrograph.rpc.codec import messages
from vectrograph.rpc.codec.fragments import encode_upserted
from vectrograph.services import Services
from vectrograph.services.call import Call, Origin, Principal
from vectrograph.vectron.events import Wanted
from vectrograph.vectron.invocation import Invocation, Visit, require_collection
from vectrograph.vectron.procedures import Procedure

Unary: TypeAlias = Callable[[Call, bytes], bytes]
Streaming: TypeAlias = Callable[[Call, bytes], Iterator[bytes]]
Watching: TypeAlias = Callable[[Call, bytes], Wanted]
Public: TypeAlias = Callable[[Principal | None, Origin, bytes], bytes]

SERVICES: Final[Mapping[str, Mapping[str, Method]]] = {
    VECTRON_SERVICE: VECTRON_SERVICE_METHODS,
    AUTH_SERVICE: AUTH_SERVICE_METHODS,
    VECTROGRAPH_SERVICE: VECTROGRAPH_SERVICE_METHODS,
}
"""The tables of methods that the contract has, by the full name of their service."""


class _Codec(NamedTuple):
    """The reader of one method's message, and the writer of its answer."""

    read: Callable[[bytes], Any]
    write: Callable[[Any, Any], Any]


# Points and hits, and the answers of small writes, are read and written by hand, everything else field by field.
_READERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "Upsert": messages.decode_upsert,
    "UpsertIf": messages.decode_upsert_if,
    "Search": messages.decode_search,
    "SearchStream": messages.decode_search,
}
_WRITERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Search": messages.encode_search,
    "SearchStream": messages.encode_snapshots,
    "SearchBatch": messages.encode_batch,
    "Get": messages.encode_get,
    "Scroll": messages.encode_page,
    "Upsert": lambda answer, _: encode_upserted(answer.upserted, json_payload=bool(answer.json_payload)),
    "Delete": lambda _, __: b"",
    # The answer is a stream that `watch` opens and sends.
    "Watch": lambda answer, _: answer,
}


def _codec_of(procedure: Procedure) -> _Codec:
    method = SERVICES[procedure.service][procedure.name]
    return _Codec(
        _READERS.get(procedure.name, partial(messages.parse, method.request)),
        _WRITERS.get(procedure.name, lambda answer, _: messages.encode(method.response, answer)),
    )


def method_of(procedure: Procedure, services: Services) -> Callable[[Call, bytes], Any]:
    """Return the method for authenticated callers: it returns the bytes of the answer, an iterator of
    several, or of a live procedure the stream that is wanted.
    """
    read, write = _codec_of(procedure)
    run = procedure.run
    scope, action, field = procedure.scope, procedure.action, procedure.collection_field
    # The name under which the engine remembers a write with an idempotency key.
    write_name = f"{procedure.service.partition('.')[0]}.{procedure.name}" if procedure.repeatable else ""

    def answer(call: Call, body: bytes) -> Any:
        if scope is not None:
            call.require(scope)
        message = read(body)
        if action is not None:
            require_collection(call, action, getattr(message, field), field)
        repeat = call.idempotent(write_name, body) if write_name else None
        return write(run(Invocation(services, call, repeat), message), message)

    return answer


def public_method_of(procedure: Procedure, services: Services) -> Public:
    """Return the method of a procedure that anonymous callers may call."""
    read, write = _codec_of(procedure)
    run = procedure.run

    def answer(principal: Principal | None, origin: Origin, body: bytes) -> bytes:
        message = read(body)
        encoded: bytes = write(run(Visit(services, lambda: principal, origin), message), message)
        return encoded

    return answer
