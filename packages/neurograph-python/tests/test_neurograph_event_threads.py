"""Streams of events of the synchronous client: ended by other threads and signals, shared by threads, and forked."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from event_log import EVENTS, EventLog
from hostile_server import HostileServer
from scripted_server import LOGIN, Feed, Reply, ScriptedServer, Stall, token_body
from test_neurograph_processes import forks, in_child
from websocket_log import WebSocketLog

from neurograph import ClientClosedError, EventStream, NeuroGraphClient
from neurograph._transport.grip import Grip

TOKEN = "/api/v1/tokens/7"
# Seconds that pass when a wait is not ended; each test would fail by its own limit long before.
LONG = 300.0


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.on("GET", TOKEN, Reply(body=token_body()))
        yield server


@pytest.fixture
def log(server: ScriptedServer) -> EventLog:
    return EventLog(hint=0).serve(server)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set when a thread is about to wait for a connection."""
    waiting = threading.Event()
    hold = Grip.hold

    def noted(self: Grip, connection: socket.socket) -> None:
        hold(self, connection)
        waiting.set()

    monkeypatch.setattr(Grip, "hold", noted)
    return waiting


def rest(events: EventStream) -> list[str | None]:
    return [event.id for event in events]


class TestCloseEndsAWait:
    """Each test hangs for minutes when the wait is not ended."""

    def test_for_an_event(self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor) -> None:
        with NeuroGraphClient(server.url, api_key="k", timeout=LONG) as client:
            events = client.events.subscribe("tokens")
            log.add()
            waiting = threads.submit(rest, events)
            assert log.wait_for(1)
            events.close()
            assert waiting.result(10) in ([], ["p1"])
            assert server.wait_until_left(10)
            assert client.tokens.get(7).id == 7

    def test_for_an_event_over_a_websocket(self, server: ScriptedServer, threads: ThreadPoolExecutor) -> None:
        log = WebSocketLog().serve(server)
        with NeuroGraphClient(server.url, api_key="k", timeout=LONG) as client:
            events = client.events.subscribe("tokens", transport="websocket")
            log.add()
            assert next(events).id == "p1"
            waiting = threads.submit(rest, events)
            events.close()
            assert waiting.result(10) == []
            assert server.wait_until_left(10)

    def test_for_the_time_to_open_again(
        self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor
    ) -> None:
        paused = threading.Event()
        with NeuroGraphClient(server.url, api_key="k", on_retry=lambda retry: paused.set()) as client:
            events = client.events.subscribe("tokens")
            log.say(b"retry: 60000\n\n")
            waiting = threads.submit(rest, events)
            assert paused.wait(10)
            events.close()
            assert waiting.result(10) == []
            assert client.metrics.snapshot().retries == 1

    def test_for_the_head_of_an_answer(
        self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor
    ) -> None:
        with NeuroGraphClient(server.url, api_key="k", timeout=LONG) as client:
            events = client.events.subscribe("tokens")
            server.on("GET", EVENTS, Stall())
            log.say(b": bye\n\n")
            waiting = threads.submit(rest, events)
            assert server.wait_for("GET", EVENTS, 2, timeout=10)
            client.events.close()
            assert waiting.result(10) == []
            assert client.metrics.snapshot().retries == 1, "a closed stream was to be opened again"

    def test_for_a_connection(self, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = held(monkeypatch)
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(8):  # the queue is full: further ones are not answered
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            client = NeuroGraphClient(f"http://127.0.0.1:{listener.getsockname()[1]}", api_key="k", timeout=LONG)
            opening = threads.submit(client.events.subscribe, "tokens")
            assert waiting.wait(10)
            client.events.close()
            assert isinstance(opening.exception(10), ClientClosedError)
            client.close()

    def test_for_a_handshake(self, threads: ThreadPoolExecutor) -> None:
        arrived = threading.Event()

        def be_silent(connection: socket.socket, stopping: threading.Event) -> None:
            connection.recv(1)
            arrived.set()
            stopping.wait()

        with HostileServer(be_silent) as silent:
            with NeuroGraphClient(silent.url.replace("http:", "https:"), api_key="k", timeout=LONG) as client:
                opening = threads.submit(client.events.subscribe, "tokens")
                assert arrived.wait(10)
                client.events.close()
                assert isinstance(opening.exception(10), ClientClosedError)

    def test_for_a_login(self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor) -> None:
        server.on("POST", LOGIN, Stall())
        with NeuroGraphClient(server.url, username="a", password="b", timeout=LONG) as client:
            opening = threads.submit(client.events.subscribe, "tokens")
            assert server.wait_for("POST", LOGIN, 1, timeout=10)
            client.events.close()
            assert isinstance(opening.exception(10), ClientClosedError)

    def test_for_the_login_of_another(self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor) -> None:
        gate = threading.Event()
        server.on("POST", LOGIN, Feed(lambda connection, stopping: gate.wait(60)))
        with NeuroGraphClient(server.url, username="a", password="b", timeout=LONG, max_retries=0) as client:
            other = threads.submit(client.tokens.get, 7)
            assert server.wait_for("POST", LOGIN, 1, timeout=10)
            opening = threads.submit(client.events.subscribe, "tokens")
            assert not other.done()
            client.events.close()
            while not opening.done():  # it may not have come to the stream yet
                client.events.close()
            assert isinstance(opening.exception(10), ClientClosedError)
            assert not other.done()
            gate.set()
            assert other.exception(10) is not None

    def test_of_a_handler(self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor) -> None:
        log.size = 3
        entered, leave = threading.Event(), threading.Event()
        heard: list[str | None] = []

        def hear(event: Any) -> None:
            heard.append(event.id)
            entered.set()
            assert leave.wait(10)

        with NeuroGraphClient(server.url, api_key="k") as client:
            listening: Future[str | None] = threads.submit(client.events.listen, hear, "tokens", since="oldest")
            assert entered.wait(10)
            client.events.close()
            leave.set()
            assert listening.result(10) == "p1"
        assert heard == ["p1"]


class TestSignals:
    def test_a_handler_ends_a_wait(self, server: ScriptedServer, log: EventLog) -> None:
        program = f"""
            import signal
            from neurograph import NeuroGraphClient

            client = NeuroGraphClient({server.url!r}, api_key="k")
            signal.signal(signal.SIGTERM, lambda *_: client.events.close())
            print("ready", client.events.listen(lambda event: print(event.id, flush=True), "tokens", since="oldest"))
            client.close()
        """
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            log.add()
            assert process.stdout is not None
            assert process.stdout.readline() == "p1\n"
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=30)
        assert (output, errors, process.returncode) == ("ready p1\n", "", 0)

    @pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
    def test_what_interrupts_a_wait_loses_nothing(self, server: ScriptedServer, log: EventLog) -> None:
        class InterruptedError(BaseException):
            pass

        def interrupt(*_: Any) -> None:
            raise InterruptedError

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            with NeuroGraphClient(server.url, api_key="k") as client:
                with client.events.subscribe("tokens") as events:
                    log.add()
                    assert next(events).id == "p1"
                    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                    with pytest.raises(InterruptedError):
                        next(events)
                    assert not events.closed
                    log.add()
                    assert next(events).id == "p2"
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert log.began == [0, 1]


def test_threads_share_a_stream(server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor) -> None:
    with NeuroGraphClient(server.url, api_key="k") as client:
        events = client.events.subscribe("tokens")
        readers = [threads.submit(next, events) for _ in range(6)]
        log.add(6)
        found = sorted(str(reader.result(10).id) for reader in readers)
        assert found == [f"p{n}" for n in range(1, 7)]
        waiting = [threads.submit(rest, events) for _ in range(3)]
        events.close()
        assert [one.result(10) for one in waiting] == [[]] * 3


def test_no_thread_is_started(server: ScriptedServer, log: EventLog) -> None:
    with NeuroGraphClient(server.url, api_key="k") as client:
        before = threading.active_count() - _of(server)
        streams = [client.events.subscribe("tokens") for _ in range(3)]
        log.add()
        assert [next(stream).id for stream in streams] == ["p1"] * 3
        assert threading.active_count() - _of(server) == before


def _of(server: ScriptedServer) -> int:
    return sum(thread.is_alive() for thread in server._threads)


class TestFork:
    @forks
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_parent_and_child_go_on_over_connections_of_their_own(self, server: ScriptedServer, log: EventLog) -> None:
        with NeuroGraphClient(server.url, api_key="k") as client:
            with client.events.subscribe("tokens") as events:
                log.add(2)
                assert next(events).id == "p1"

                def go_on() -> None:
                    assert next(events).id == "p2"
                    assert events.position == "p2"
                    events.close()

                assert in_child(go_on) == 0
                assert next(events).id == "p2"
                log.add()
                assert next(events).id == "p3"
        assert log.began == [0, 1]

    @forks
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_fork_while_another_thread_waits(
        self, server: ScriptedServer, log: EventLog, threads: ThreadPoolExecutor
    ) -> None:
        with NeuroGraphClient(server.url, api_key="k") as client:
            events = client.events.subscribe("tokens")
            waiting = threads.submit(rest, events)

            def go_on() -> None:
                log.add()
                events.close()
                client.close()

            assert in_child(go_on) == 0
            log.add()
            events.close()
            assert waiting.result(10) in ([], ["p1"])

    @forks
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    @pytest.mark.parametrize("close", [EventStream.close, lambda events: None])
    def test_a_child_does_not_keep_its_parents_connection_open(
        self, server: ScriptedServer, log: EventLog, close: Callable[[EventStream], None]
    ) -> None:
        client = NeuroGraphClient(server.url, api_key="k")
        events = client.events.subscribe("tokens")
        (told, tell), (told_child, tell_child) = pipes = os.pipe(), os.pipe()

        def stay() -> None:
            close(events)
            os.write(tell, b"forked")
            os.read(told_child, 1)

        with ThreadPoolExecutor(1) as threads:
            child = threads.submit(in_child, stay)
            os.read(told, 6)
            assert not events.closed
            client.close()
            left = server.wait_until_left(timeout=5)
            os.write(tell_child, b"x")
            assert child.result(10) == 0
        for end in (*pipes[0], *pipes[1]):
            os.close(end)
        assert left
