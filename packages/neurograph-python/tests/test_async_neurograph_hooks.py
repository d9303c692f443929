"""Extension points and self-reports of the asynchronous client: hooks, counts, log, circuit."""

import logging
import pickle
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from async_client_setup import TOKEN, error_reply, noted_pauses, scripted, with_key
from concurrently import async_gather
from scripted_server import Cut, Reply, ScriptedServer, Stall, token_body

from neurograph import (
    AsyncNeuroGraphClient,
    CircuitOpenError,
    ConfigurationError,
    ConnectionError,
    NeuroGraphError,
    NotFoundError,
    ServerError,
    TimeoutError,
)
from neurograph.middleware import AsyncHandler
from neurograph.observation import Retry
from neurograph.wire import Request, Response

pytestmark = pytest.mark.anyio

UNTRUSTED = Path(__file__).with_name("untrusted.pem")

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)


def client_of(server: ScriptedServer, **options: Any) -> AsyncNeuroGraphClient:
    return AsyncNeuroGraphClient(server.url, **{"api_key": "ng_live_key", "timeout": 10.0, **options})


class TestMiddleware:
    async def test_it_stands_around_every_attempt_the_first_outermost(
        self, server: ScriptedServer, pauses: list[float]
    ) -> None:
        seen: list[str] = []

        async def outer(request: Request, call_next: AsyncHandler) -> Response:
            seen.append("outer in")
            response = await call_next(request.with_header("X-Team", "search"))
            seen.append(f"outer {response.status}")
            return response

        async def inner(request: Request, call_next: AsyncHandler) -> Response:
            seen.append("inner")
            return await call_next(request)

        server.on("GET", TOKEN, error_reply(503), Reply(body=token_body()))
        async with client_of(server, middleware=[outer, inner]) as client:
            await client.tokens.get(7)
        assert seen == ["outer in", "inner", "outer 503", "outer in", "inner", "outer 200"]
        assert {seen.headers["x-team"] for seen in server.arrived} == {"search"}

    async def test_it_may_answer_by_itself(self, server: ScriptedServer) -> None:
        async def cached(request: Request, call_next: AsyncHandler) -> Response:
            return Response(request, 200, {}, b'{"id": 1, "text": "cached", "embedding": []}')

        async with client_of(server, middleware=[cached]) as client:
            assert (await client.tokens.get(7)).text == "cached"
        assert server.arrived == []

    async def test_what_cannot_be_a_middleware_is_refused_at_once(self, server: ScriptedServer) -> None:
        with pytest.raises(ConfigurationError, match="middleware"):
            client_of(server, middleware=["no function"])


class TestOptions:
    async def test_derived_clients_share_what_is_dear(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Reply(body=token_body()))
        async with AsyncNeuroGraphClient(server.url, username="developer", password="password-1") as client:
            await client.tokens.get(7)
            other = client.with_options(timeout=5, max_retries=0)
            await other.tokens.get(7)
            assert client.metrics.snapshot().requests == 3
        assert (server.connections, server.count("POST", "/api/v1/auth/login")) == (1, 1)

    async def test_a_time_out_for_one_call(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Stall(), Reply(body=token_body()))
        async with client_of(server, max_retries=0) as client:
            started = time.monotonic()
            with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
                await client.with_options(timeout=0.2).tokens.get(7)
            assert time.monotonic() - started < 20
            assert (await client.tokens.get(7)).id == 7

    async def test_the_time_left_reaches_the_server(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Reply(body=token_body()))
        async with client_of(server, timeout=3) as client:
            await client.tokens.get(7)
            await client.with_options(timeout=None).tokens.get(7)
        told, untold = server.arrived
        assert 2000 < int(told.headers["x-request-timeout-ms"]) <= 3000
        assert "x-request-timeout-ms" not in untold.headers

    async def test_only_some_can_change(self, server: ScriptedServer) -> None:
        async with client_of(server) as client:
            with pytest.raises(ConfigurationError, match="verify_ssl"):
                client.with_options(verify_ssl=False)
            with pytest.raises(ConfigurationError, match="timeout"):
                client.with_options(timeout=-1)

    async def test_a_proxy_gets_the_requests(self, server: ScriptedServer) -> None:
        server.on("GET", f"http://far.invalid{TOKEN}", Reply(body=token_body()))
        async with AsyncNeuroGraphClient("http://far.invalid", api_key="k", proxy=server.url) as client:
            assert (await client.tokens.get(7)).id == 7

    async def test_an_authority_of_ones_own(self) -> None:
        with ScriptedServer(UNTRUSTED) as server:
            server.on("GET", TOKEN, Reply(body=token_body()))
            context = ssl.create_default_context(cafile=str(UNTRUSTED))
            for trusted in (str(UNTRUSTED), context):
                async with client_of(server, verify_ssl=trusted) as client:
                    assert (await client.tokens.get(7)).id == 7
            async with client_of(server) as client:
                with pytest.raises(ConnectionError, match="cannot be trusted"):
                    await client.tokens.get(7)

    async def test_a_client_certificate_is_shown(self) -> None:
        demanding = ScriptedServer(UNTRUSTED)
        assert demanding._tls is not None
        demanding._tls.verify_mode = ssl.CERT_REQUIRED
        demanding._tls.load_verify_locations(UNTRUSTED)
        with demanding as server:
            server.on("GET", TOKEN, Reply(body=token_body()))
            context = ssl.create_default_context(cafile=str(UNTRUSTED))
            async with client_of(server, verify_ssl=context, max_retries=0) as client:
                with pytest.raises(ConnectionError):
                    await client.tokens.get(7)
            context.load_cert_chain(UNTRUSTED)
            async with client_of(server, verify_ssl=context, max_retries=0) as client:
                assert (await client.tokens.get(7)).id == 7

    async def test_no_more_connections_than_allowed(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Reply(body=token_body()))
        async with client_of(server, max_connections=1) as client:
            await async_gather([lambda: client.tokens.get(7)] * 8)
        assert server.connections == 1


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestCircuit:
    async def test_it_opens_after_failures_in_a_row_and_closes_after_a_probe(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, *[error_reply(500)] * 3, Reply(body=token_body()))
        async with client_of(server, max_retries=0, circuit_threshold=3, circuit_recovery=60) as client:
            client._executor._breaker._clock = (clock := Clock())
            for _ in range(3):
                with pytest.raises(ServerError):
                    await client.tokens.get(7)
            assert client.metrics.snapshot().circuit == "open"
            with pytest.raises(CircuitOpenError) as caught:
                await client.tokens.get(7)
            assert len(server.arrived) == 3
            assert caught.value.retry_after is not None
            assert caught.value.retry_after == 60
            assert not caught.value.request_sent
            clock.now += caught.value.retry_after
            assert (await client.tokens.get(7)).id == 7
            assert client.metrics.snapshot().circuit == "closed"

    async def test_a_probe_that_fails_opens_it_again(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, error_reply(503))
        async with client_of(server, max_retries=0, circuit_threshold=2, circuit_recovery=60) as client:
            client._executor._breaker._clock = (clock := Clock())
            for _ in range(2):
                with pytest.raises(ServerError):
                    await client.tokens.get(7)
            clock.now += 60
            with pytest.raises(ServerError):
                await client.tokens.get(7)
            with pytest.raises(CircuitOpenError):
                await client.tokens.get(7)
        assert len(server.arrived) == 3

    async def test_what_the_caller_did_wrong_does_not_open_it(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, error_reply(404))
        async with client_of(server, max_retries=0, circuit_threshold=1) as client:
            for _ in range(3):
                with pytest.raises(NotFoundError):
                    await client.tokens.get(7)


class TestTelling:
    async def test_repeats_are_told_and_counted(self, server: ScriptedServer, pauses: list[float]) -> None:
        told: list[Retry] = []
        server.on("GET", TOKEN, error_reply(503), Cut(), Reply(body=token_body()))
        async with client_of(server, on_retry=told.append) as client:
            await client.tokens.get(7)
            counted = client.metrics.snapshot()
        assert [(retry.attempt, type(retry.error)) for retry in told] == [(1, ServerError), (2, ConnectionError)]
        assert [retry.pause for retry in told] == pauses
        assert "ng_live_key" not in repr(told)
        assert (counted.requests, counted.retries) == (3, 2)
        assert (dict(counted.statuses), dict(counted.errors)) == ({503: 1, 200: 1}, {"ConnectionError": 1})
        assert counted.bytes_received > 0
        assert 0 < counted.slowest <= counted.seconds

    async def test_the_log_shows_what_happened_and_no_secret(
        self, server: ScriptedServer, caplog: pytest.LogCaptureFixture, pauses: list[float]
    ) -> None:
        server.on("GET", TOKEN, error_reply(503), Reply(body=token_body()))
        server.on("POST", "/api/v1/auth/change-password", Reply(body={"success": True}))
        with caplog.at_level(logging.DEBUG, logger="neurograph"):
            async with AsyncNeuroGraphClient(server.url, username="developer", password="pass-word-1") as client:
                await client.tokens.get(7)
                await client.auth.change_password("pass-word-1", "pass-word-2")
        lines = [record.getMessage() for record in caplog.records if record.name == "neurograph"]
        assert any("GET /api/v1/tokens/7 answered 200" in line for line in lines)
        assert any(line.startswith("retrying GET /api/v1/tokens/7") for line in lines)
        assert not any(secret in "".join(lines) for secret in ("pass-word", "access-1"))

    async def test_errors_name_their_request_and_say_what_to_try(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Cut(), error_reply(404))
        async with with_key(server, max_retries=0) as client:
            errors: list[NeuroGraphError] = []
            for _ in range(2):
                with pytest.raises(NeuroGraphError) as caught:
                    await client.tokens.get(7)
                errors.append(caught.value)
        sent = [seen.headers["x-request-id"] for seen in server.arrived]
        assert errors[0].request_id == sent[0] != sent[1]
        for error in errors:
            assert error.hint
            assert pickle.loads(pickle.dumps(error)).hint == error.hint  # noqa: S301
