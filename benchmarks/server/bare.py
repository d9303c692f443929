"""Servers that do nothing but answer: what grpcio, and Starlette under uvicorn, cost by themselves.

`python -m benchmarks.server.bare grpcio|starlette|sink ANSWER` prints its port and serves. ANSWER is the hex text of
the bytes that every call gets. `sink` takes any upsert, Qdrant's too, and says that all is well.
"""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_THREADS: Final = 8
_LIMIT: Final = 64 * 1024 * 1024
# UpdateResult with operation 1 completed, inside a PointsOperationResponse of qdrant.
_QDRANT_DONE: Final = bytes.fromhex("0a0408011002")


class Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # grpc's stubs leave it untyped
    """One handler on raw bytes for whatever is called."""

    def __init__(self, answer: bytes) -> None:
        self._usual = grpc.unary_unary_rpc_method_handler(lambda _, __: answer)
        self._qdrant = grpc.unary_unary_rpc_method_handler(lambda _, __: _QDRANT_DONE)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler."""
        return self._qdrant if handler_call_details.method.startswith("/qdrant.") else self._usual


def serve_grpc(answer: bytes) -> None:
    """Serve over gRPC until killed."""
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _LIMIT)]
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
    server.add_generic_rpc_handlers((Everything(answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    server.wait_for_termination()


def serve_http(answer: bytes) -> None:
    """Serve over HTTP until killed: the body as a vector, the answer as it is."""

    async def search(request: Request) -> Response:
        vector = np.frombuffer(await request.body(), "<f4")
        return Response(answer if len(vector) else b"", media_type="application/json")

    app = Starlette(routes=[Route("/search", search, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    (serve_http if sys.argv[1] == "starlette" else serve_grpc)(bytes.fromhex(sys.argv[2]))
