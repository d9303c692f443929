"""Failures of the asynchronous client: repeats, time-outs, errors, certificates, closing."""

import json
import time
from pathlib import Path

import pytest
from async_client_setup import QUERY, TOKEN, TOKENS, error_reply, noted_pauses, scripted, with_key, with_password
from concurrently import async_gather
from scripted_server import LOGIN, Cut, Reply, ScriptedServer, Stall, token_body

from neurograph import (
    AsyncNeuroGraphClient,
    AuthenticationError,
    AuthorizationError,
    ClientClosedError,
    ConflictError,
    ConnectionError,
    InvalidResponseError,
    NeuroGraphError,
    NotFoundError,
    PayloadTooLargeError,
    PositionExpiredError,
    RateLimitError,
    ServerError,
    TimeoutError,
    ValidationError,
)

pytestmark = pytest.mark.anyio

KEYS = "/api/v1/api-keys"
UNTRUSTED = Path(__file__).with_name("untrusted.pem")

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)


class TestRepeats:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_reading_is_repeated(self, server: ScriptedServer, pauses: list[float], status: int) -> None:
        server.on("GET", TOKEN, error_reply(status), error_reply(status), Reply(body=token_body()))
        async with with_key(server) as client:
            assert (await client.tokens.get(7)).id == 7
        assert len(pauses) == 2

    async def test_the_server_says_when(self, server: ScriptedServer, pauses: list[float]) -> None:
        server.on("GET", TOKEN, error_reply(429, Retry_After="3"), Reply(body=token_body()))
        async with with_key(server) as client:
            await client.tokens.get(7)
        [pause] = pauses
        assert 3 <= pause <= 3.25

    async def test_a_server_that_says_much_later_gets_no_repeat(
        self, server: ScriptedServer, pauses: list[float]
    ) -> None:
        server.on("GET", TOKEN, error_reply(429, Retry_After="86400"))
        async with with_key(server, timeout=None) as client:
            with pytest.raises(RateLimitError) as caught:
                await client.tokens.get(7)
        assert caught.value.retry_after == 86400
        assert pauses == []

    async def test_repeats_end(self, server: ScriptedServer, pauses: list[float]) -> None:
        server.on("GET", TOKEN, error_reply(503))
        async with with_key(server) as client:
            with pytest.raises(ServerError):
                await client.tokens.get(7)
        assert server.count("GET", TOKEN) == 3
        async with with_key(server, max_retries=0) as client:
            with pytest.raises(ServerError):
                await client.tokens.get(7)
        assert server.count("GET", TOKEN) == 4

    @pytest.mark.parametrize("status", [400, 404, 500, 507])
    async def test_lasting_errors_are_not_repeated(self, server: ScriptedServer, status: int) -> None:
        server.on("GET", TOKEN, error_reply(status))
        async with with_key(server) as client:
            with pytest.raises(NeuroGraphError):
                await client.tokens.get(7)
        assert len(server.arrived) == 1

    @pytest.mark.parametrize("after", [0, 20, 50])
    async def test_reading_is_repeated_after_a_cut(
        self, server: ScriptedServer, pauses: list[float], after: int
    ) -> None:
        server.on("GET", TOKEN, Cut(after), Reply(body=token_body()))
        async with with_key(server) as client:
            assert (await client.tokens.get(7)).id == 7
        assert len(pauses) == 1

    @pytest.mark.parametrize("answer", [error_reply(503), error_reply(429), Cut(), Cut(50)])
    async def test_creating_a_token_is_repeated_under_the_same_key(
        self, server: ScriptedServer, pauses: list[float], answer: Reply | Cut
    ) -> None:
        server.on("POST", TOKENS, answer, Reply(201, token_body()))
        async with with_key(server) as client:
            await client.tokens.create("once")
            await client.tokens.create("twice")
        first, again, other = (seen.headers["idempotency-key"] for seen in server.arrived)
        assert first == again != other

    @pytest.mark.parametrize("answer", [error_reply(503), error_reply(429), Cut(), Cut(50)])
    async def test_creating_what_has_no_key_is_not_repeated(self, server: ScriptedServer, answer: Reply | Cut) -> None:
        server.on("POST", KEYS, answer, error_reply(500))
        async with with_key(server) as client:
            with pytest.raises(NeuroGraphError) as caught:
                await client.api_keys.create("once")
        assert caught.value.retryable
        assert caught.value.request_sent
        assert server.count("POST", KEYS) == 1

    async def test_creating_is_repeated_when_no_connection_was_made(self, pauses: list[float]) -> None:
        with ScriptedServer() as gone:
            pass
        async with AsyncNeuroGraphClient(gone.url, api_key="k") as client:
            with pytest.raises(ConnectionError) as caught:
                await client.tokens.create("never arrives")
        assert not caught.value.request_sent
        assert len(pauses) == 2

    async def test_a_delete_whose_answer_was_lost_has_succeeded(
        self, server: ScriptedServer, pauses: list[float]
    ) -> None:
        server.on("DELETE", TOKEN, Cut(), error_reply(404))
        async with with_key(server) as client:
            assert await client.tokens.delete(7) is True
            with pytest.raises(NotFoundError):
                await client.tokens.delete(7)

    async def test_querying_and_embedding_are_repeated(self, server: ScriptedServer, pauses: list[float]) -> None:
        server.on("POST", QUERY, Cut(), Reply(body={"results": []}))
        server.on("POST", "/api/v1/embeddings", Cut(), Reply(body={"embeddings": [[1.0]]}))
        async with with_key(server) as client:
            assert await client.tokens.query([1.0]) == []
            assert await client.embeddings.create(["x"]) == [[1.0]]


class TestTime:
    @pytest.mark.parametrize("every", [None, 0.02])
    async def test_a_slow_server_is_given_up_in_time(self, server: ScriptedServer, every: float | None) -> None:
        server.on("GET", TOKEN, Stall(every))
        started = time.monotonic()
        async with with_key(server, timeout=0.3) as client:
            with pytest.raises(TimeoutError, match=r"did not finish GET /api/v1/tokens/7 within 0\.3 s"):
                await client.tokens.get(7)
        assert 0.25 < time.monotonic() - started < 20

    async def test_what_was_given_up_holds_no_connection(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Stall(every=0.02), Reply(body=token_body()))
        async with AsyncNeuroGraphClient(server.url, api_key="k", timeout=1.5, max_connections=1) as client:
            with pytest.raises(TimeoutError):
                await client.tokens.get(7)
            assert (await client.tokens.get(7)).id == 7

    async def test_a_slow_login_counts(self, server: ScriptedServer) -> None:
        server.on("POST", LOGIN, Stall())
        started = time.monotonic()
        async with with_password(server, timeout=0.3) as client:
            errors = await async_gather([lambda: client.tokens.get(7)] * 5)
        assert {type(error) for error in errors} == {TimeoutError}
        assert 0.25 < time.monotonic() - started < 20

    async def test_no_pause_reaches_over_the_end(self, server: ScriptedServer, pauses: list[float]) -> None:
        server.on("GET", TOKEN, error_reply(503, Retry_After="31"))
        async with with_key(server, timeout=30) as client:
            with pytest.raises(ServerError):
                await client.tokens.get(7)
        assert pauses == []
        assert len(server.arrived) == 1

    async def test_it_also_is_a_built_in_error(self, server: ScriptedServer) -> None:
        import builtins

        server.on("GET", TOKEN, Stall())
        async with with_key(server, timeout=0.1) as client:
            with pytest.raises(builtins.TimeoutError):
                await client.tokens.get(7)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, NeuroGraphError),
            (401, AuthenticationError),
            (403, AuthorizationError),
            (404, NotFoundError),
            (405, NeuroGraphError),
            (409, ConflictError),
            (410, PositionExpiredError),
            (413, PayloadTooLargeError),
            (422, ValidationError),
            (429, RateLimitError),
            (500, ServerError),
            (599, ServerError),
        ],
    )
    async def test_every_status_has_its_exception(
        self, server: ScriptedServer, status: int, kind: type[NeuroGraphError]
    ) -> None:
        server.on("GET", TOKEN, error_reply(status, X_Request_ID="req-1"))
        async with with_key(server, max_retries=0) as client:
            with pytest.raises(kind) as caught:
                await client.tokens.get(7)
        error = caught.value
        assert type(error) is kind
        assert (error.status_code, error.error_code, error.message) == (status, "SOME_CODE", "what happened")
        assert (error.details, error.request_id) == ({"fact": 1}, "req-1")
        assert str(error) == "[SOME_CODE] what happened (request req-1)"

    async def test_no_server(self) -> None:
        with ScriptedServer() as gone:
            pass
        async with AsyncNeuroGraphClient(gone.url, username="a", password="b", max_retries=0) as client:
            with pytest.raises(ConnectionError, match="Is the server running") as caught:
                await client.tokens.get(7)
        assert gone.url in str(caught.value)
        assert caught.value.__cause__ is not None

    async def test_a_redirect_is_not_followed_but_told(self, server: ScriptedServer) -> None:
        server.on("POST", TOKENS, Reply(307, {}, {"Location": "https://elsewhere.example/api/v1/tokens"}))
        async with with_key(server) as client:
            with pytest.raises(NeuroGraphError, match=r"https://elsewhere\.example.*set base_url"):
                await client.tokens.create("x")

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>hello</html>", b"null", b"[]", b"7", b'{"id": "x"}', b'{"id": 1, "embedding": "no"}', b"\xff{"],
    )
    async def test_a_malformed_success_is_an_error_of_ours(self, server: ScriptedServer, body: bytes) -> None:
        server.on("GET", TOKEN, Reply(raw=body, headers={"X-Request-ID": "req-2"}))
        async with with_key(server) as client:
            with pytest.raises(InvalidResponseError) as caught:
                await client.tokens.get(7)
        assert (caught.value.status_code, caught.value.request_id) == (200, "req-2")

    async def test_a_body_that_cannot_be_decompressed(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Reply(raw=b"not gzip", headers={"Content-Encoding": "gzip"}))
        async with with_key(server, max_retries=0) as client:
            with pytest.raises(InvalidResponseError, match="decompressed"):
                await client.tokens.get(7)

    async def test_a_wrapped_answer_is_read(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, Reply(body={"success": True, "data": token_body(), "meta": {}, "error": None}))
        async with with_key(server) as client:
            assert (await client.tokens.get(7)).text == "hello"


class TestCertificates:
    async def test_a_certificate_that_nobody_trusts_is_refused(self, pauses: list[float]) -> None:
        with ScriptedServer(UNTRUSTED) as server:
            async with with_key(server) as client:
                with pytest.raises(ConnectionError, match="cannot be trusted") as caught:
                    await client.tokens.get(7)
        assert not caught.value.retryable
        assert server.arrived == []
        assert pauses == []

    async def test_the_check_can_be_switched_off(self) -> None:
        with ScriptedServer(UNTRUSTED) as server:
            server.on("GET", TOKEN, Reply(body=token_body()))
            async with AsyncNeuroGraphClient(server.url, api_key="k", verify_ssl=False) as client:
                assert (await client.tokens.get(7)).id == 7


class TestClosing:
    async def test_a_closed_client_says_so(self, server: ScriptedServer) -> None:
        client = with_key(server)
        await client.tokens.get(7)
        await client.close()
        await client.close()
        with pytest.raises(ClientClosedError, match="create a new one"):
            await client.tokens.get(7)
        with pytest.raises(RuntimeError):
            await client.health.check()

    async def test_a_client_may_be_closed_without_use(self, server: ScriptedServer) -> None:
        async with with_key(server):
            pass
        assert server.connections == 0

    async def test_connections_are_kept_and_used_again(self, server: ScriptedServer) -> None:
        async with with_key(server) as client:
            for _ in range(5):
                await client.tokens.get(7)
        assert server.connections == 1

    async def test_a_connection_is_free_again_after_an_error(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, *[error_reply(404)] * 5, Reply(body=token_body()))
        async with with_key(server) as client:
            for _ in range(5):
                with pytest.raises(NotFoundError):
                    await client.tokens.get(7)
            await client.tokens.get(7)
        assert server.connections == 1


def test_the_repr_shows_no_secret(server: ScriptedServer) -> None:
    assert repr(with_password(server)) == f"AsyncNeuroGraphClient('{server.url}', username='developer')"
    assert repr(with_key(server)) == f"AsyncNeuroGraphClient('{server.url}', api_key=…)"
    assert "pass-word-123" not in json.dumps(str(vars(with_password(server))["_options"]))
