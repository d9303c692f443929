"""Vectron's two services as a foreign client would call them: method, message and metadata chosen freely."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from vectrograph.rpc._pb.methods import AUTH_SERVICE_METHODS, VECTROGRAPH_SERVICE_METHODS, VECTRON_SERVICE_METHODS

# Both services of Vectron have an UpdateUserProfile; "auth." names that of AuthService.
METHODS = {
    **AUTH_SERVICE_METHODS,
    **VECTROGRAPH_SERVICE_METHODS,
    **VECTRON_SERVICE_METHODS,
    "auth.UpdateUserProfile": AUTH_SERVICE_METHODS["UpdateUserProfile"],
}


class Wire:
    """A connection of its own to one address."""

    def __init__(self, address: str) -> None:
        self._channel: Any = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(
        self,
        name: str,
        request: Message | bytes = b"",
        credential: str | None = None,
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """Return the answer, of a stream the last one.

        Raises:
            grpc.RpcError: the call was refused.
        """
        method = METHODS[name]
        body = request if isinstance(request, bytes) else request.SerializeToString()
        given = (*metadata, *(() if credential is None else (("authorization", f"Bearer {credential}"),)))
        kind = self._channel.unary_stream if method.response_streaming else self._channel.unary_unary
        answer = kind(method.path, response_deserializer=method.response.FromString)(body, metadata=given, timeout=20)
        return list(answer)[-1] if method.response_streaming else answer

    def refusal(
        self,
        name: str,
        request: Message | bytes = b"",
        credential: str | None = None,
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> tuple[str, str]:
        """Return status and message of a call; status OK when it was not refused."""
        try:
            self.call(name, request, credential, metadata=metadata)
        except grpc.RpcError as caught:
            error: Any = caught
            return error.code().name, error.details()
        return "OK", ""
