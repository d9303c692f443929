"""Sending without a thread: what the installed grpcio does with its parts that it does not publish."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from vectrograph.domain.errors import StartupError
from vectrograph.rpc import sending
from vectrograph.rpc.load_shedding import OnThreads
from vectrograph.rpc.sending import Sender, require_support
from vectrograph.rpc.server import build_grpc_server
from vectrograph.rpc.slow_bodies import SlowBodies
from vectrograph.services.limits.thread_pool import Pool

PATH = "/test.Sending/Watch"
# Three of them are more than a caller takes that does not read: 64 KiB is what HTTP/2 lets through.
MESSAGE = bytes(30_000)
PATIENCE = 20.0


class Served:
    """A server whose one method hands its calls to the test, and a caller that reads when it is told."""

    def __init__(self, seconds: float) -> None:
        self.stopping = threading.Event()
        self.readers = SlowBodies(seconds, 0.1, self.stopping.is_set)
        self.pool = Pool(1, thread_name_prefix="test-sending")
        self.opened: list[Sender] = []
        self.contexts: list[Any] = []
        self.is_open = threading.Semaphore(0)
        self.is_over = threading.Semaphore(0)
        server: Any = grpc.server(self.pool)
        self.server = server
        behaviour = OnThreads(self._open, self.pool, experimental_non_blocking=True)
        handlers = {"Watch": grpc.stream_stream_rpc_method_handler(behaviour)}
        server.add_registered_method_handlers("test.Sending", handlers)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        # The window of a stream would grow otherwise.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        self.channel: Any = grpc.insecure_channel(f"127.0.0.1:{port}", options)

    def _open(self, messages: Iterator[bytes], context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        next(messages, None)
        context.send_initial_metadata(())
        self.opened.append(Sender(context, send, self.readers))
        self.contexts.append(context)
        assert context.add_callback(self.is_over.release)
        self.is_open.release()

    def call(self) -> tuple[Any, Sender]:
        call = self.channel.unary_stream(PATH)(b"", timeout=60)
        assert self.is_open.acquire(timeout=PATIENCE)
        return call, self.opened[-1]

    def fill(self, sender: Sender) -> tuple[int, threading.Event]:
        """Send until the caller, which does not read, takes no more. Return how many, and the end of the last."""
        number = 0
        while True:
            number += 1
            sent = threading.Event()
            assert sender.send(MESSAGE, sent.set)
            if number == 3:
                return number, sent
            assert sent.wait(PATIENCE)

    def close(self) -> None:
        self.channel.close()
        self.server.stop(0).wait()
        self.readers.close()
        self.pool.shutdown(wait=True)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(seconds: float = 60.0) -> Served:
        running.append(Served(seconds))
        return running[-1]

    yield start
    for served in running:
        served.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


def status_of(call: Any) -> tuple[list[bytes], grpc.StatusCode, str]:
    """Read a call to its end."""
    read = []
    try:
        for message in call:
            read.append(message)  # noqa: PERF402  (what came before an error counts)
    except grpc.RpcError:
        pass
    return read, call.code(), call.details()


def test_a_message_that_the_caller_does_not_take_holds_no_thread(served: Served) -> None:
    call, sender = served.call()
    number, sent = served.fill(sender)
    # The one thread of the pool serves another caller, and grpc's serving thread reports what that one takes.
    other, second = served.call()
    taken = threading.Event()
    assert second.send(b"other", taken.set)
    assert next(other) == b"other"
    assert taken.wait(PATIENCE)
    assert not sent.is_set()
    assert [next(call) for _ in range(number)] == [MESSAGE] * number
    assert sent.wait(PATIENCE)


def test_the_serving_thread_reports_without_a_lock(served: Served) -> None:
    """The function it calls may send the next message, and may end the call."""
    call, sender = served.call()
    messages = [str(number).encode() for number in range(50)]
    threads = set()

    def go_on(place: int) -> None:
        threads.add(threading.current_thread().name)
        if place < len(messages):
            assert sender.send(messages[place], lambda: go_on(place + 1))
        else:
            sender.finish()

    go_on(0)
    assert status_of(call) == (messages, grpc.StatusCode.OK, "")
    assert len(threads) == 2, "this thread, and the serving thread"


def test_a_status_comes_behind_the_message_that_is_on_its_way(served: Served) -> None:
    call, sender = served.call()
    number, sent = served.fill(sender)
    sender.finish(grpc.StatusCode.UNAVAILABLE, "come back", (("x-error-code", "SERVER_STOPPING"),))
    sender.finish(grpc.StatusCode.INTERNAL, "a second end")
    assert status_of(call) == ([MESSAGE] * number, grpc.StatusCode.UNAVAILABLE, "come back")
    assert dict(call.trailing_metadata()) == {"x-error-code": "SERVER_STOPPING"}
    assert sent.wait(PATIENCE)
    assert served.is_over.acquire(timeout=PATIENCE)


def test_a_caller_that_leaves_frees_everything_at_once(served: Served) -> None:
    call, sender = served.call()
    _, sent = served.fill(sender)
    call.cancel()
    assert sent.wait(PATIENCE), "what is on its way is reported"
    assert served.is_over.acquire(timeout=PATIENCE)
    assert not sender.send(b"more", pytest.fail)
    sender.finish()
    assert not served.readers._waiting


def test_a_caller_that_takes_nothing_is_ended(serve: Callable[..., Served]) -> None:
    served = serve(seconds=0.3)
    call, sender = served.call()
    other, second = served.call()
    _, sent = served.fill(sender)
    assert sent.wait(PATIENCE)
    assert served.is_over.acquire(timeout=PATIENCE)
    assert status_of(call)[1] is grpc.StatusCode.CANCELLED
    # One that is sent nothing has nothing to take.
    assert second.send(b"still here", lambda: None)
    assert next(other) == b"still here"


def test_a_status_waits_a_second_for_a_caller_that_takes_nothing(served: Served) -> None:
    call, sender = served.call()
    _, sent = served.fill(sender)
    sender.finish(grpc.StatusCode.NOT_FOUND, "dropped")
    assert served.is_over.acquire(timeout=PATIENCE)
    assert sent.is_set()
    assert status_of(call)[1] is grpc.StatusCode.CANCELLED


def test_callers_that_take_nothing_do_not_delay_a_stop(served: Served) -> None:
    _, sender = served.call()
    _, sent = served.fill(sender)
    served.stopping.set()
    stopped = served.server.stop(120)
    assert stopped.wait(PATIENCE)
    assert sent.is_set()


def test_a_grpcio_that_lacks_what_is_needed_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    require_support()
    inside: Any = sending
    monkeypatch.delattr(inside._server, "_possibly_finish_call")
    monkeypatch.delattr(inside.cygrpc, "SendMessageOperation")
    with pytest.raises(StartupError) as caught:
        build_grpc_server(None, threads=1)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"grpcio {grpc.__version__} lacks _possibly_finish_call, SendMessageOperation, which streams without threads "
        "need; install the version of grpcio that requirements/run.lock has"
    )


def test_a_context_of_another_kind_is_named() -> None:
    context: Any = object()
    with pytest.raises(StartupError, match="lacks _rpc_event, _state"):
        Sender(context, lambda _: None, None)  # type: ignore[arg-type]
