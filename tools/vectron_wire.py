"""Two ways to call Vectron by the name of a method and a message in the JSON of protocol buffers: gRPC and HTTP."""

import json
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import quote

import grpc
import httpx2
from google.protobuf import json_format

from vectron_client._pb.methods import AUTH_SERVICE_METHODS, VECTRON_SERVICE_METHODS

TIMEOUT_SECONDS: Final = 20.0

#: Method and path of each RPC; a part in braces is a field of the message.
ROUTES: Final = {
    "CreateCollection": ("POST", "/v1/collections"),
    "ListCollections": ("GET", "/v1/collections"),
    "DeleteCollection": ("DELETE", "/v1/collections/{name}"),
    "GetCollectionStatus": ("GET", "/v1/collections/{name}/status"),
    "Upsert": ("POST", "/v1/collections/{collection}/points"),
    "Search": ("POST", "/v1/collections/{collection}/points/search"),
    "Get": ("GET", "/v1/collections/{collection}/points/{id}"),
    "Delete": ("DELETE", "/v1/collections/{collection}/points/{id}"),
    "SubmitFeedback": ("POST", "/v1/feedback"),
    "Login": ("POST", "/v1/users/login"),
    "GetUserProfile": ("GET", "/v1/user/profile"),
    "RefreshToken": ("POST", "/v1/auth/refresh"),
    "CreateAPIKey": ("POST", "/v1/keys"),
    "ListAPIKeys": ("GET", "/v1/keys"),
    "DeleteAPIKey": ("DELETE", "/v1/keys/{keyPrefix}"),
    "ValidateAPIKey": ("POST", "/v1/keys/validate"),
    "CreateSDKJWT": ("POST", "/v1/sdk-jwt"),
}
_METHODS: Final = AUTH_SERVICE_METHODS | VECTRON_SERVICE_METHODS


class Refused(Exception):
    """The server answered with an error: `status` is gRPC's name of it."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Wire(Protocol):
    """A way to call a server."""

    name: str

    def call(self, method: str, fields: dict[str, Any], token: str) -> dict[str, Any]:
        """Return the answer to one call, with all its fields; an empty token sends none.

        Raises:
            Refused: the server says no.
        """
        ...


class GrpcWire:
    """Calls over gRPC."""

    name = "grpc"

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)

    def __enter__(self) -> "GrpcWire":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._channel.close()

    def call(self, method: str, fields: dict[str, Any], token: str) -> dict[str, Any]:
        """Return the answer to one call, with all its fields; an empty token sends none.

        Raises:
            Refused: the server says no, or cannot be reached.
        """
        found = _METHODS[method]
        request = json_format.ParseDict(fields, found.request())
        stub = self._channel.unary_unary(
            found.path,
            request_serializer=found.request.SerializeToString,
            response_deserializer=found.response.FromString,
        )
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            answer = stub(request, metadata=metadata, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            failure: Any = error
            raise Refused(failure.code().name, failure.details()) from error
        shown = json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
        return _with_exact_vectors(shown, answer)


class HttpWire:
    """Calls over the HTTP gateway."""

    name = "http"

    def __init__(self, base: str) -> None:
        self._client = httpx2.Client(base_url=base, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> "HttpWire":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def call(self, method: str, fields: dict[str, Any], token: str) -> dict[str, Any]:
        """Return the answer to one call, with all its fields; an empty token sends none.

        Raises:
            Refused: the server says no.
        """
        verb, template = ROUTES[method]
        path = template.format_map({name: quote(str(value), safe="") for name, value in fields.items()})
        body = None if verb in ("GET", "DELETE") else fields
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = self._client.request(verb, path, json=body, headers=headers)
        answer: dict[str, Any] = json.loads(response.content)
        if response.status_code != 200:
            code = answer.get("code")
            known = [status.name for status in grpc.StatusCode if status.value[0] == code]
            raise Refused(known[0] if known else f"HTTP {response.status_code}", str(answer.get("message")))
        return answer


def _with_exact_vectors(shown: dict[str, Any], answer: Any) -> dict[str, Any]:
    """Put the floats themselves where JSON has their shortest decimal."""
    if "point" in shown:
        shown["point"]["vector"] = list(answer.point.vector)
    return shown
