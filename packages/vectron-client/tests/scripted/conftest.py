"""A real gRPC server on loopback that answers as it is told, and clients of both kinds to call it with."""

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message

from vectron_client import AsyncVectronClient, AsyncWatch, ChangeEvent, ClientOptions, VectronClient
from vectron_client._pb.methods import AUTH_SERVICE_METHODS, VECTROGRAPH_SERVICE_METHODS, VECTRON_SERVICE_METHODS

METHODS = VECTRON_SERVICE_METHODS | VECTROGRAPH_SERVICE_METHODS
PATHS = {method.path for method in (*METHODS.values(), *AUTH_SERVICE_METHODS.values())}

Behaviour = Callable[[bytes, grpc.ServicerContext], bytes | Iterator[bytes]]


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    body: bytes
    metadata: dict[str, str | bytes]
    time_remaining: float | None
    at: float = field(default_factory=time.monotonic)


class ScriptedServer:
    """Answers each method with the behaviours it was given, in order; the last one stays."""

    def __init__(self, port: int = 0, credentials: grpc.ServerCredentials | None = None, **options: int) -> None:
        self.seen: list[Seen] = []
        self._scripts: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._changed = threading.Condition()
        arguments = [("grpc.so_reuseport", 0), *((f"grpc.{name}", value) for name, value in options.items())]
        self._server = grpc.server(ThreadPoolExecutor(16), options=arguments)
        self._server.add_generic_rpc_handlers((_Handlers(self._handle),))
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(0).wait()

    def script(self, method: str, *behaviours: Behaviour) -> None:
        self._scripts[method].extend(behaviours)

    def answers(self, method: str, *answers: Message | bytes) -> None:
        for answer in answers:
            self.script(method, _answering(answer if isinstance(answer, bytes) else answer.SerializeToString()))

    def streams(self, method: str, *answers: Message | threading.Event) -> None:
        """Answer one call with one message after the other.

        Where an event stands the stream waits until it is set; the end of the call sets it too.
        """

        def stream(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            for event in answers:
                if isinstance(event, threading.Event):
                    context.add_callback(event.set)
            for answer in answers:
                if isinstance(answer, threading.Event):
                    answer.wait(60)
                else:
                    yield answer.SerializeToString()

        self.script(method, stream)

    def fails(self, method: str, status: str, message: str = "no", times: int = 1, **trailers: str | bytes) -> None:
        metadata = tuple((key.replace("_", "-"), value) for key, value in trailers.items())

        def fail(_request: bytes, context: grpc.ServicerContext) -> bytes:
            context.set_trailing_metadata(metadata)
            context.abort(grpc.StatusCode[status], message)
            raise AssertionError("abort raises")

        self.script(method, *[fail] * times)

    def hangs(self, method: str) -> threading.Event:
        """Let a call wait until the event it returns is set, then answers with an empty message."""
        release = threading.Event()

        def wait(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            release.wait(60)
            return b""

        self.script(method, wait)
        return release

    def wait_for_calls(self, count: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, timeout=10)

    def methods(self) -> list[str]:
        return [seen.method for seen in self.seen]

    def _handle(self, path: str, body: bytes, context: grpc.ServicerContext) -> bytes | Iterator[bytes]:
        method = path.rpartition("/")[2]
        metadata = {key: value for key, value in context.invocation_metadata()}  # noqa: C416 - triples, as it is typed
        remaining = context.time_remaining()
        with self._changed:
            self.seen.append(Seen(method, body, metadata, remaining))
            self._changed.notify_all()
            script = self._scripts[method]
            behaviour = (script.popleft() if len(script) > 1 else script[0]) if script else None
        if behaviour is None or path not in PATHS:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"nothing scripted for {path}")
            raise AssertionError("abort raises")
        return behaviour(body, context)


def _answering(body: bytes) -> Behaviour:
    return lambda _request, _context: body


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def __init__(self, handle: Callable[[str, bytes, grpc.ServicerContext], bytes | Iterator[bytes]]) -> None:
        self._handle = handle

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        if path.endswith(("/SearchStream", "/Watch")):
            return grpc.unary_stream_rpc_method_handler(lambda body, context: self._handle(path, body, context))
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._handle(path, body, context))


class _Awaited:
    """An asynchronous client whose methods can be called as if they were synchronous."""

    def __init__(self, client: AsyncVectronClient, runner: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if name == "with_options":
            return lambda **changes: _Awaited(method(**changes), self._runner)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if isinstance(result, AsyncWatch):
                return _AwaitedWatch(self._runner.run_until_complete(_opened(result)), self._runner)
            return (
                self._iterated(result)
                if isinstance(result, AsyncGenerator)
                else self._runner.run_until_complete(result)
            )

        return call

    def _iterated(self, items: AsyncGenerator[Any, None]) -> Iterator[Any]:
        async def take() -> Any:
            return await anext(items, self)

        try:
            while (item := self._runner.run_until_complete(take())) is not self:
                yield item
        finally:
            self._runner.run_until_complete(items.aclose())


async def _opened(watch: AsyncWatch) -> AsyncWatch:
    opened: AsyncWatch = await watch
    return opened


class _AwaitedWatch:
    """An asynchronous watch as if it were a synchronous one."""

    def __init__(self, watch: AsyncWatch, runner: asyncio.AbstractEventLoop) -> None:
        self._watch = watch
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watch, name)

    def __iter__(self) -> "_AwaitedWatch":
        return self

    def __next__(self) -> ChangeEvent:
        async def take() -> ChangeEvent | None:
            return await anext(self._watch, None)

        event = self._runner.run_until_complete(take())
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> "_AwaitedWatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._runner.is_running():
            asyncio.run_coroutine_threadsafe(self._watch.close(), self._runner).result(30)
        else:
            self._runner.run_until_complete(self._watch.close())


@pytest.fixture
def start() -> Iterator[Callable[..., ScriptedServer]]:
    """Start servers; arguments as `ScriptedServer` takes them, gRPC's without their prefix `grpc.`."""
    servers: list[ScriptedServer] = []

    def make(*args: Any, **options: Any) -> ScriptedServer:
        servers.append(ScriptedServer(*args, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(start: Callable[..., ScriptedServer]) -> ScriptedServer:
    return start()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the pauses that a client takes between attempts, in seconds; it takes them all the same."""
    noted: list[float] = []
    sleep, async_sleep = time.sleep, asyncio.sleep

    def note(seconds: float) -> None:
        noted.append(seconds)
        sleep(seconds)

    async def note_async(seconds: float) -> None:
        noted.append(seconds)
        await async_sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    monkeypatch.setattr(asyncio, "sleep", note_async)
    return noted


RunScript = Callable[..., str]

#: In development mode asyncio warns of every step over a tenth of a second, which tells of the machine only.
UNHURRIED = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


@pytest.fixture
def run_script() -> RunScript:
    """Run a script in a fresh interpreter in development mode; returns what it printed, refuses anything on stderr."""

    def run(script: str, address: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", UNHURRIED + textwrap.dedent(script), address],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environment},
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


Connect = Callable[..., VectronClient]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Connect]:
    """Make clients of the server, once with each kind of client behind the synchronous methods."""
    clients: list[VectronClient] = []
    with contextlib.closing(asyncio.new_event_loop()) as runner:

        def make(api_key: str | None = "key-1", address: str = server.address, **options: Any) -> VectronClient:
            configured = ClientOptions(**{"retry_initial_backoff_ms": 5, **options})
            if request.param == "sync":
                clients.append(VectronClient(address, api_key, configured))
            else:
                awaited = _Awaited(AsyncVectronClient(address, api_key, configured), runner)
                clients.append(cast(VectronClient, awaited))
            return clients[-1]

        yield make
        for client in clients:
            client.close()
