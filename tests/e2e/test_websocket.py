"""WebSockets of a real server process: programs of the official kind, kills, stops, floods, and what the log has."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from web_socket import BINARY, PATIENCE, WebSocket, frame_of
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.test_events import Site, running_site

Handler = Callable[[dict[str, Any]], Awaitable[None]]


class OfficialStyleClient:
    """A client as programs for the official server have one: it knows of nothing that this server adds.

    What has a field `type` is about the connection, everything else is an event for the handlers of its channel.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url if token is None else f"{url}?token={token}"
        self.client_id: str | None = None
        self.subscriptions: set[str] = set()
        self.answers: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._handlers: dict[str, list[Handler]] = {}
        self._on: dict[str, list[Callable[[dict[str, Any]], None]]] = {}
        self._socket: ClientConnection | None = None
        self._running: asyncio.Task[None] | None = None

    def on(self, name: str, callback: Callable[[dict[str, Any]], None]) -> None:
        self._on.setdefault(name, []).append(callback)

    async def connect(self) -> None:
        self._socket = await connect(self.url)
        connected = json.loads(await self._socket.recv())
        assert connected["type"] == "connected"
        self.client_id = connected["client_id"]
        self._tell("connected", connected)
        self._running = asyncio.create_task(self.run_forever())

    async def run_forever(self) -> None:
        assert self._socket is not None
        async for text in self._socket:
            await self._handle(json.loads(text))
        self._tell("disconnected", {})

    async def _handle(self, message: dict[str, Any]) -> None:
        if "type" in message:
            self._tell(message["type"], message)
            self.answers.setdefault(message["type"], asyncio.Queue()).put_nowait(message)
            return
        for handler in self._handlers.get(message["channel"], ()):
            await handler(message)

    def _tell(self, name: str, message: dict[str, Any]) -> None:
        for callback in self._on.get(name, ()):
            callback(message)

    async def _send(self, answer: str, **message: Any) -> dict[str, Any]:
        assert self._socket is not None
        queue = self.answers.setdefault(answer, asyncio.Queue())
        await self._socket.send(json.dumps(message))
        return await asyncio.wait_for(queue.get(), PATIENCE)

    async def subscribe(self, channel: str, handler: Handler) -> None:
        await self.subscribe_multiple([channel], handler)

    async def subscribe_multiple(self, channels: list[str], handler: Handler) -> None:
        for channel in channels:
            self._handlers.setdefault(channel, []).append(handler)
        answer = await self._send("subscribed", type="subscribe", channels=channels)
        self.subscriptions |= set(answer["channels"])

    async def unsubscribe(self, channel: str) -> None:
        await self._send("unsubscribed", type="unsubscribe", channels=[channel])
        self.subscriptions.discard(channel)

    async def ping(self) -> None:
        await self._send("pong", type="ping")

    async def get_subscriptions(self) -> list[str]:
        channels: list[str] = (await self._send("subscriptions", type="get_subscriptions"))["channels"]
        return channels

    async def get_reconnection_token(self) -> str:
        return str((await self._send("reconnection_token", type="get_reconnection_token"))["token"])

    async def disconnect(self) -> None:
        assert self._socket is not None
        assert self._running is not None
        await self._socket.close()
        await self._running


def test_a_program_written_for_the_official_server_works_unchanged(tmp_path: Path) -> None:
    with running_site(tmp_path / "data") as site:
        url = f"ws://127.0.0.1:{site.port}/ws"
        token = site.post("auth/login", {"username": "developer", "password": "developer123"})["access_token"]

        async def program() -> None:
            seen: list[dict[str, Any]] = []
            arrived = asyncio.Event()
            notes: list[str] = []

            async def on_event(message: dict[str, Any]) -> None:
                seen.append(message)
                arrived.set()

            async def until(count: int) -> None:
                while len(seen) < count:
                    arrived.clear()
                    await asyncio.wait_for(arrived.wait(), PATIENCE)

            client = OfficialStyleClient(url, token)
            for name in ("connected", "disconnected", "pong", "error"):
                client.on(name, lambda _, name=name: notes.append(name))  # type: ignore[misc]
            await client.connect()
            await client.subscribe("signals", on_event)
            await client.subscribe_multiple(["metrics", "status"], on_event)
            assert client.subscriptions == {"signals", "metrics", "status"}
            assert set(await client.get_subscriptions()) == client.subscriptions
            await client.ping()
            await until(1)
            assert (seen[0]["channel"], seen[0]["event_type"]) == ("status", "status.healthy")
            await client.unsubscribe("status")
            await asyncio.to_thread(site.post, "tokens/query", {"text": "anything"}, token)
            await until(2)
            signal_event = next(event for event in seen if event["channel"] == "signals")
            assert signal_event["event_type"] == "token.query"
            assert {"event_id", "is_novel", "priority", "resonance_score", "neighbors_count"} <= signal_event[
                "data"
            ].keys()
            await until(3)
            metrics = next(event for event in seen if event["channel"] == "metrics")
            assert metrics["event_type"] == "system_metrics"
            assert all(isinstance(number, int | float) for number in metrics["data"].values())
            assert metrics["data"]["total_connections"] == 1
            assert metrics["data"]["total_subscriptions"] == 2
            reconnection = await client.get_reconnection_token()
            await client.disconnect()
            again = OfficialStyleClient(f"{url}?reconnection_token={reconnection}")
            await again.connect()
            assert set(await again.get_subscriptions()) == {"signals", "metrics"}
            await again.disconnect()
            assert notes == ["connected", "pong", "disconnected"]

        asyncio.run(program())


def test_the_same_program_without_credentials_sees_metrics_and_status_in_development_mode(tmp_path: Path) -> None:
    with running_site(tmp_path / "data") as site:

        async def program() -> None:
            client = OfficialStyleClient(f"ws://127.0.0.1:{site.port}/ws")
            first = asyncio.Event()

            async def on_event(_: dict[str, Any]) -> None:
                first.set()

            await client.connect()
            await client.subscribe_multiple(["metrics", "status", "signals", "tokens"], on_event)
            assert client.subscriptions == {"metrics", "status"}
            await asyncio.wait_for(first.wait(), PATIENCE)
            await client.disconnect()

        asyncio.run(program())


def open_socket(site: Site, **given: Any) -> WebSocket:
    client = WebSocket(site.port, Authorization=f"Bearer {site.key}", **given)
    assert client.next()["type"] == "connected"
    return client


OFFICIAL_FIELDS = {
    ("metrics", "system_metrics"): {
        *("cpu_percent", "memory_mb", "events_per_sec", "total_tokens", "total_connections", "total_channels"),
        *("total_subscriptions", "buffered_events"),
    },
    ("status", "status.healthy"): {"status", "uptime_seconds", "version"},
    ("signals", "token.query"): {
        *("event_id", "event_type", "is_novel", "priority", "resonance_score", "neighbors_count"),
    },
    ("actions", "action.executed"): {
        *("action_id", "action_type", "status", "result", "execution_time_ms", "error"),
    },
    ("logs", "log.info"): {"level", "message", "service", "correlation_id"},
    ("connections", "client.connected"): {"client_id", "user_id", "total_connections"},
    ("connections", "client.disconnected"): {"client_id", "user_id", "total_connections"},
}


def test_every_channel_about_the_server_has_events_with_the_official_fields(tmp_path: Path) -> None:
    with running_site(tmp_path / "data") as site:
        developer, admin = (
            str(site.post("auth/login", {"username": name, "password": f"{name}123"})["access_token"])
            for name in ("developer", "admin")
        )
        channels = ["metrics", "status", "signals", "actions", "logs", "connections"]
        with WebSocket(site.port, Authorization=f"Bearer {admin}") as client:
            assert client.next()["type"] == "connected"
            assert client.ask({"type": "subscribe", "channels": channels})["channels"] == channels
            site.post("tokens/query", {"text": "anything"}, developer)
            made = site.post("api-keys", {"name": "another"}, developer)
            with WebSocket(site.port, f"/ws?token={made['api_key']}") as other:
                client_id = other.next()["client_id"]
            headers = {"X-API-Key": made["api_key"], "X-Request-ID": "the-one-that-fails"}
            assert httpx2.get(f"{site.http}/api/v1/tokens/999999", headers=headers).status_code == 404
            events: list[dict[str, Any]] = []
            deadline = time.monotonic() + PATIENCE
            while not OFFICIAL_FIELDS.keys() <= {(event["channel"], event["event_type"]) for event in events}:
                assert time.monotonic() < deadline, events
                events.append(client.next_event())
    for event in events:
        assert event["timestamp"] + "Z" == event["time"]
        assert "id" not in event, "these channels have no log"
        assert OFFICIAL_FIELDS.get((event["channel"], event["event_type"]), set()) <= event["data"].keys()
    assert {event["data"]["client_id"] for event in events if event["channel"] == "connections"} == {client_id}
    (created,) = [event["data"] for event in events if event["channel"] == "actions"]
    assert (created["status"], created["result"]) == ("completed", {"target": made["key_id"]})
    lines = [event["data"] for event in events if event["channel"] == "logs"]
    assert "the-one-that-fails" in {line["correlation_id"] for line in lines}
    assert made["api_key"] not in json.dumps(events)


def test_a_killed_server_loses_no_event(tmp_path: Path) -> None:
    """A program that comes back with the last id that it has seen gets every acknowledged change once, in order."""
    seen: list[int] = []
    last, key, acknowledged = "oldest", "", 0
    for _ in range(3):
        with running_site(tmp_path / "data", key=key) as site, open_socket(site) as client:
            key = site.key
            answer = client.ask({"type": "subscribe", "channels": ["collection:docs"], "since": last})
            assert answer["type"] == "subscribed", answer
            for _ in range(5):
                site.write(*(f"p{n}" for n in range(20)))
                acknowledged += 20
            for _ in range(30):
                event = client.next_event()
                seen.append(event["data"]["version"])
                last = event["id"]
            site.process.process.send_signal(signal.SIGKILL)
            assert client.end() is None
    with running_site(tmp_path / "data", key=key) as site, open_socket(site) as client:
        client.ask({"type": "subscribe", "channels": ["collection:docs"], "since": last})
        while len(seen) < acknowledged:
            seen.append(client.next_event()["data"]["version"])
    assert seen == list(range(1, acknowledged + 1))


def test_sigterm_ends_all_connections_with_a_farewell(tmp_path: Path) -> None:
    """In time, also those whose reader takes nothing."""
    with running_site(tmp_path / "data", "--shutdown-seconds", "5") as site:
        idle, busy, stuck = open_socket(site), open_socket(site), open_socket(site, buffer_bytes=4096)
        busy.ask({"type": "subscribe", "channels": ["collection:docs", "status"]})
        stuck.ask({"type": "subscribe", "channels": ["collection:docs"], "include": ["payload"]})
        for n in range(100):
            site.write(f"p{n}", text="x" * 60_000)
        began = time.monotonic()
        site.process.process.send_signal(signal.SIGTERM)
        for client in (idle, busy):
            frames: list[dict[str, Any]] = []
            while not frames or frames[-1].get("type") != "end":
                frames.append(client.next())
            assert (frames[-1]["code"], frames[-1]["reconnect"]) == ("SERVER_STOPPING", True)
            assert client.end() == (1012, "SERVER_STOPPING")
            if client is busy:
                assert "status.stopping" in [frame.get("event_type") for frame in frames]
        assert site.process.process.wait(30) == 0
        assert time.monotonic() - began < 5 + 5 + 10
        for client in (idle, busy, stuck):
            client.close()


def test_a_key_that_is_revoked_ends_its_connections_and_no_others(tmp_path: Path) -> None:
    with running_site(tmp_path / "data") as site, open_socket(site) as other:
        token = site.post("auth/login", {"username": "developer", "password": "developer123"})["access_token"]
        made = site.post("api-keys", {"name": "short"}, token)
        doomed = WebSocket(site.port, f"/ws?token={made['api_key']}")
        for client in (doomed, other):
            client.send({"type": "subscribe", "channels": ["collection:docs"]})
        while doomed.next().get("type") != "subscribed":
            continue
        site.post(f"api-keys/{made['key_id']}/revoke", {}, token)
        site.write("a")
        while (frame := doomed.next())["type"] != "end":
            assert frame["type"] == "position"
        assert frame["code"] == "INVALID_API_KEY"
        assert doomed.end() == (1008, "INVALID_API_KEY")
        assert other.next_event()["data"]["id"] == "a"
        doomed.close()


def test_no_credential_of_a_handshake_reaches_the_log(tmp_path: Path) -> None:
    """Not at level debug, not of handshakes that are refused, not when something goes wrong."""
    with running_site(tmp_path / "data", "--log-level", "debug") as site:
        login = site.post("auth/login", {"username": "developer", "password": "developer123"})
        token = login["access_token"]
        ticket = site.post("events/ticket", {}, token)["ticket"]
        secrets = [token, site.key, ticket, "a-wrong-token", "a-wrong-ticket", "a-wrong-key", "a-wrong-bearer"]
        handshakes: tuple[tuple[str, dict[str, Any]], ...] = (
            (f"?token={token}", {}),
            (f"?ticket={ticket}", {}),
            ("?token=a-wrong-token", {}),
            ("?ticket=a-wrong-ticket", {}),
            ("", {"X_API_Key": "a-wrong-key"}),
            ("", {"Sec_WebSocket_Protocol": f"vectrograph, bearer.{site.key}"}),
            ("", {"Sec_WebSocket_Protocol": "bearer.a-wrong-bearer"}),
            (f"?token={token}", {"Origin": "https://evil.example"}),
            (f"?token={token}", {"Host": "evil.example"}),
            (f"?token={token}", {"Sec_WebSocket_Key": "x"}),
        )
        for query, headers in handshakes:
            client = WebSocket(site.port, f"/ws{query}", **headers)
            if client.status == 101:
                secrets.append(client.ask({"type": "get_reconnection_token"}).get("token", "connected"))
                client.send("{")
                client.send_bytes(frame_of(b"\xff", BINARY))
                client.send_bytes(frame_of(b"\xff"))
                client.end()
            client.close()
        site.process.terminate()
        site.process.read_until("stopped")
        lines = site.process.lines
    assert sum('"/ws"' in line for line in lines) >= 7
    for secret in secrets:
        assert secret == "connected" or not any(secret in line for line in lines), secret


@pytest.mark.slow
def test_ten_thousand_attempts_to_connect_are_bounded_and_hold_up_nobody(tmp_path: Path) -> None:
    with running_site(tmp_path / "data") as site:
        site.process.discard_lines()
        with open_socket(site) as first:
            first.ask({"type": "ping"})
        threads, memory = site.threads, site.resident_bytes
        held: list[WebSocket] = []
        statuses: dict[int, int] = {}
        lock = threading.Lock()

        def attack(credential: str, attempts: int) -> None:
            for _ in range(attempts):
                client = WebSocket(site.port, Authorization=f"Bearer {credential}")
                with lock:
                    statuses[client.status] = statuses.get(client.status, 0) + 1
                    if client.status == 101:
                        held.append(client)
                        continue
                client.close()

        attackers = [threading.Thread(target=attack, args=("nonsense", 2_450)) for _ in range(2)]
        attackers += [threading.Thread(target=attack, args=(site.key, 2_550)) for _ in range(2)]
        for attacker in attackers:
            attacker.start()
        answered = 0
        while any(attacker.is_alive() for attacker in attackers):
            assert httpx2.get(f"{site.http}/readyz", timeout=30).status_code == 200
            answered += 1
        for attacker in attackers:
            attacker.join()
        assert statuses == {101: 100, 401: 4_900, 429: 5_000}, "100 streams of an account"
        assert answered > 10
        assert site.threads <= threads + 24, "worker threads may have been started"
        assert site.resident_bytes - memory < 64 << 20
        for client in held:
            client.close()
        # The server has yet to see that they left.
        deadline = time.monotonic() + PATIENCE
        while (last := WebSocket(site.port, Authorization=f"Bearer {site.key}")).status == 429:
            last.close()
            assert time.monotonic() < deadline
        with last:
            assert last.next()["type"] == "connected"
            assert last.ask({"type": "ping"})["type"] == "pong"


def test_another_library_speaks_with_it(tmp_path: Path) -> None:
    """The asynchronous client of `websockets`, with compression offered and pings of its own."""
    with running_site(tmp_path / "data") as site:

        async def program() -> None:
            url = f"ws://127.0.0.1:{site.port}/ws"
            headers = {"Authorization": f"Bearer {site.key}"}
            async with connect(url, additional_headers=headers, ping_interval=0.01) as client:
                assert not client.protocol.extensions
                assert json.loads(await client.recv())["type"] == "connected"
                await client.send(json.dumps({"type": "subscribe", "channels": ["collection:docs"]}))
                assert json.loads(await client.recv())["type"] == "subscribed"
                await asyncio.to_thread(site.write, "a")
                while "event_type" not in (frame := json.loads(await client.recv())):
                    continue
                assert frame["data"]["id"] == "a"
                assert await (await client.ping()) >= 0
            with pytest.raises(websockets.InvalidStatus, match="401"):
                async with connect(f"{url}?token=nonsense"):
                    pass

        asyncio.run(program())
