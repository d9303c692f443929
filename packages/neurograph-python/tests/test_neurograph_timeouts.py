# Generated from test_async_neurograph_timeouts.py by tools/unasync.py; do not edit.
"""A time-out of its own for every call of the synchronous client: it reaches the socket, and the server is told."""

import inspect
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from client_setup import scripted
from scripted_server import Arrived, Reply, ScriptedServer, Stall, token_body

from neurograph import CDNAConfig, CDNAUpdate, GridQuery, NeuroGraphClient, TimeoutError, ValidationError
from neurograph._resources.tokens import LinkedTokenPage
from neurograph.models import TokenPage

server = pytest.fixture(scripted)

LIMIT = 0.1


def drained(items: Iterator[Any]) -> list[Any]:
    return list(items)


def next_page(client: NeuroGraphClient) -> Any:
    page = TokenPage(limit=1, offset=0)
    return LinkedTokenPage(page, client.tokens._executor, None, None).next_page(timeout=LIMIT)


CALLS: dict[str, Callable[[NeuroGraphClient], Any]] = {
    "tokens.create": lambda client: client.tokens.create("a", timeout=LIMIT),
    "tokens.create_many": lambda client: client.tokens.create_many(["a"], timeout=LIMIT),
    "tokens.get": lambda client: client.tokens.get(8, timeout=LIMIT),
    "tokens.list": lambda client: client.tokens.list(timeout=LIMIT),
    "tokens.iterate": lambda client: drained(client.tokens.iterate(timeout=LIMIT)),
    "tokens.stream": lambda client: drained(client.tokens.stream(timeout=LIMIT)),
    "tokens.export": lambda client: client.tokens.export(io.BytesIO(), timeout=LIMIT),
    "tokens.update": lambda client: client.tokens.update(8, text="b", timeout=LIMIT),
    "tokens.delete": lambda client: client.tokens.delete(8, timeout=LIMIT),
    "tokens.delete_many": lambda client: client.tokens.delete_many([8], timeout=LIMIT),
    "tokens.query": lambda client: client.tokens.query(text="a", timeout=LIMIT),
    "tokens.query_many": lambda client: client.tokens.query_many(texts=["a"], timeout=LIMIT),
    "tokens.query_stream": lambda client: drained(client.tokens.query_stream(text="a", timeout=LIMIT)),
    "embeddings.create": lambda client: client.embeddings.create(["a"], timeout=LIMIT),
    "api_keys.create": lambda client: client.api_keys.create("k", timeout=LIMIT),
    "api_keys.list": lambda client: client.api_keys.list(timeout=LIMIT),
    "api_keys.iterate": lambda client: drained(client.api_keys.iterate(timeout=LIMIT)),
    "api_keys.get": lambda client: client.api_keys.get("k", timeout=LIMIT),
    "api_keys.rotate": lambda client: client.api_keys.rotate("k", timeout=LIMIT),
    "api_keys.revoke": lambda client: client.api_keys.revoke("k", timeout=LIMIT),
    "api_keys.delete": lambda client: client.api_keys.delete("k", timeout=LIMIT),
    "cdna.status": lambda client: client.cdna.status(timeout=LIMIT),
    "cdna.configure": lambda client: client.cdna.configure(CDNAConfig(), timeout=LIMIT),
    "cdna.update": lambda client: client.cdna.update(CDNAUpdate(novelty_scale=1.0), timeout=LIMIT),
    "cdna.set_scales": lambda client: client.cdna.set_scales([1.0] * 8, timeout=LIMIT),
    "cdna.profiles": lambda client: client.cdna.profiles(timeout=LIMIT),
    "cdna.profile": lambda client: client.cdna.profile("p", timeout=LIMIT),
    "cdna.switch": lambda client: client.cdna.switch("p", timeout=LIMIT),
    "cdna.validate": lambda client: client.cdna.validate([1.0], timeout=LIMIT),
    "cdna.quarantine": lambda client: client.cdna.quarantine(timeout=LIMIT),
    "cdna.start_quarantine": lambda client: client.cdna.start_quarantine(timeout=LIMIT),
    "cdna.stop_quarantine": lambda client: client.cdna.stop_quarantine(timeout=LIMIT),
    "cdna.history": lambda client: client.cdna.history(timeout=LIMIT),
    "cdna.export": lambda client: client.cdna.export(timeout=LIMIT),
    "cdna.reset": lambda client: client.cdna.reset(timeout=LIMIT),
    "events.subscribe": lambda client: drained(client.events.subscribe("tokens", timeout=LIMIT)),
    "events.listen": lambda client: client.events.listen(print, "tokens", timeout=LIMIT),
    "events.ticket": lambda client: client.events.ticket(timeout=LIMIT),
    "grid.status": lambda client: client.grid.status(timeout=LIMIT),
    "grid.create": lambda client: client.grid.create(timeout=LIMIT),
    "grid.get": lambda client: client.grid.get(1, timeout=LIMIT),
    "grid.delete": lambda client: client.grid.delete(1, timeout=LIMIT),
    "grid.add": lambda client: client.grid.add(1, 8, timeout=LIMIT),
    "grid.add_many": lambda client: client.grid.add_many(1, [8], timeout=LIMIT),
    "grid.remove": lambda client: client.grid.remove(1, 8, timeout=LIMIT),
    "grid.neighbors": lambda client: client.grid.neighbors(1, 8, timeout=LIMIT),
    "grid.range": lambda client: client.grid.range(1, [0, 0, 0], timeout=LIMIT),
    "grid.influence": lambda client: client.grid.influence(1, [0, 0, 0], timeout=LIMIT),
    "grid.density": lambda client: client.grid.density(1, [0, 0, 0], timeout=LIMIT),
    "grid.query": lambda client: client.grid.query(1, GridQuery(center=[0, 0, 0], radius=1), timeout=LIMIT),
    "auth.me": lambda client: client.auth.me(timeout=LIMIT),
    "auth.logout": lambda client: client.auth.logout(timeout=LIMIT),
    "auth.change_password": lambda client: client.auth.change_password("a", "b", timeout=LIMIT),
    "health.check": lambda client: client.health.check(timeout=LIMIT),
    "health.ready": lambda client: client.health.ready(timeout=LIMIT),
    "health.status": lambda client: client.health.status(timeout=LIMIT),
}


def test_every_method_is_here() -> None:
    client = NeuroGraphClient("http://localhost:1", api_key="k")
    resources = {name: value for name, value in inspect.getmembers(client) if "._resources." in type(value).__module__}
    assert {"tokens", "grid", "health"} <= resources.keys()
    methods = {
        f"{resource}.{name}"
        for resource, value in resources.items()
        for name, _ in inspect.getmembers(value, callable)
        if not name.startswith("_")
    }
    assert methods - {"events.close"} == set(CALLS)  # which sends nothing


@pytest.mark.parametrize("name", CALLS)
def test_it_reaches_the_socket_and_the_server(server: ScriptedServer, name: str) -> None:
    with NeuroGraphClient(server.url, username="a", password="b", timeout=60) as client:
        client.tokens.get(7)  # logs in
        server.otherwise = Stall()
        earlier = len(server.arrived)
        while len(server.arrived) == earlier:  # on a busy machine the time may be over before anything is sent
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                CALLS[name](client)
            assert time.monotonic() - begun < 30
    told = server.arrived[earlier].headers.get("x-request-timeout-ms")
    streamed = name in ("tokens.stream", "tokens.export", "tokens.query_stream", "events.subscribe", "events.listen")
    assert (told is None) if streamed else (told is not None and int(told) <= 100)


def test_the_next_page_has_one_too(server: ScriptedServer) -> None:
    server.otherwise = Stall()
    with NeuroGraphClient(server.url, api_key="k", timeout=60) as client:
        with pytest.raises(TimeoutError):
            next_page(client)


def test_it_may_also_be_longer_or_none(server: ScriptedServer) -> None:
    def slow(_: Arrived) -> Reply:
        time.sleep(0.3)
        return Reply(body=token_body())

    server.on("GET", "/api/v1/tokens/7", slow)
    with NeuroGraphClient(server.url, api_key="k", timeout=0.1, max_retries=0) as client:
        assert (client.tokens.get(7, timeout=5)).id == 7
        assert (client.tokens.get(7, timeout=None)).id == 7
        assert "x-request-timeout-ms" not in server.arrived[-1].headers
        with pytest.raises(TimeoutError):
            client.tokens.get(7)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_what_is_no_time_is_refused(server: ScriptedServer, seconds: float) -> None:
    with NeuroGraphClient(server.url, api_key="k") as client:
        with pytest.raises(ValidationError, match="timeout must be"):
            client.tokens.get(7, timeout=seconds)
    assert server.arrived == []
