# Generated from test_async_neurograph_login.py by tools/unasync.py; do not edit.
"""Logins of the synchronous client: late, once, again in time, and with errors like those of any call."""

import pytest
from client_setup import TOKEN, error_reply, noted_pauses, scripted, with_key, with_password
from concurrently import gather
from scripted_server import LOGIN, REFRESH, Arrived, Cut, Reply, ScriptedServer, login_reply, token_body

from neurograph import (
    AuthenticationError,
    InvalidResponseError,
    NeuroGraphClient,
    NeuroGraphError,
    RateLimitError,
    ServerError,
    ValidationError,
)

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)


class TestLogin:
    def test_it_happens_at_the_first_call_and_once(self, server: ScriptedServer) -> None:
        with with_password(server) as client:
            assert server.arrived == []
            client.tokens.get(7)
            client.tokens.get(7)
        assert [seen.path for seen in server.arrived] == [LOGIN, TOKEN, TOKEN]
        assert server.arrived[0].json == {"username": "developer", "password": "pass-word-123"}
        assert "authorization" not in server.arrived[0].headers
        assert server.arrived[1].headers["authorization"] == "Bearer access-1"

    def test_ten_first_calls_at_once_make_one_login(self, server: ScriptedServer) -> None:
        def slow(seen: Arrived) -> Reply:
            server.wait_for("POST", LOGIN, count=2, timeout=0.5)
            return login_reply("access-1")

        server.on("POST", LOGIN, slow)
        with with_password(server) as client:
            tokens = gather([lambda: client.tokens.get(7)] * 10)
        assert [token.id for token in tokens] == [7] * 10
        assert server.count("POST", LOGIN) == 1

    def test_ten_calls_at_once_fail_with_one_login(self, server: ScriptedServer) -> None:
        def slow(seen: Arrived) -> Reply:
            server.wait_for("POST", LOGIN, count=2, timeout=0.5)
            return error_reply(401, "INVALID_CREDENTIALS")

        server.on("POST", LOGIN, slow)
        with with_password(server) as client:
            errors = gather([lambda: client.tokens.get(7)] * 10)
            assert {type(error) for error in errors} == {AuthenticationError}
            assert server.count("POST", LOGIN) == 1
            server.on("POST", LOGIN, login_reply("access-1"))
            assert (client.tokens.get(7)).id == 7

    def test_a_token_is_refreshed_before_it_expires_and_rotation_is_followed(self, server: ScriptedServer) -> None:
        server.on("POST", LOGIN, login_reply("a1", "r1", expires_in=0))
        server.on("POST", REFRESH, login_reply("a2", "r2", expires_in=0), login_reply("a3", "r3"))
        with with_password(server) as client:
            for _ in range(4):
                client.tokens.get(7)
        assert [seen.json["refresh_token"] for seen in server.arrived if seen.path == REFRESH] == ["r1", "r2"]
        used = [seen.headers["authorization"] for seen in server.arrived if seen.path == TOKEN]
        assert used == ["Bearer a1", "Bearer a2", "Bearer a3", "Bearer a3"]
        assert server.count("POST", LOGIN) == 1

    def test_a_refused_refresh_leads_to_a_login(self, server: ScriptedServer) -> None:
        server.on("POST", LOGIN, login_reply("a1", expires_in=0), login_reply("a2"))
        server.on("POST", REFRESH, error_reply(401))
        with with_password(server) as client:
            client.tokens.get(7)
            client.tokens.get(7)
        assert [seen.path for seen in server.arrived] == [LOGIN, TOKEN, REFRESH, LOGIN, TOKEN]

    def test_a_forgotten_session_is_renewed_once(self, server: ScriptedServer) -> None:
        server.on("POST", LOGIN, login_reply("a1"))
        server.on("POST", REFRESH, login_reply("a2"))
        server.on("GET", TOKEN, error_reply(401, "TOKEN_EXPIRED"), Reply(body=token_body()))
        with with_password(server) as client:
            assert (client.tokens.get(7)).id == 7
        assert [seen.path for seen in server.arrived] == [LOGIN, TOKEN, REFRESH, TOKEN]
        assert server.arrived[-1].headers["authorization"] == "Bearer a2"

    def test_a_session_refused_again_is_an_error(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, error_reply(401, "INVALID_TOKEN"))
        server.on("POST", REFRESH, login_reply("a2"))
        with with_password(server) as client:
            with pytest.raises(AuthenticationError) as caught:
                client.tokens.get(7)
        assert caught.value.error_code == "INVALID_TOKEN"
        assert server.count("GET", TOKEN) == 2

    def test_many_calls_with_a_forgotten_session_renew_it_once(self, server: ScriptedServer) -> None:
        server.on("POST", LOGIN, login_reply("old"))
        server.on("POST", REFRESH, login_reply("new"))

        def check(seen: Arrived) -> Reply:
            fresh = seen.headers["authorization"] == "Bearer new"
            return Reply(body=token_body()) if fresh else error_reply(401)

        with with_password(server) as client:
            client.tokens.get(7)
            server.on("GET", TOKEN, check)
            tokens = gather([lambda: client.tokens.get(7)] * 10)
        assert [token.id for token in tokens] == [7] * 10
        assert server.count("POST", REFRESH) == 1
        assert server.count("POST", LOGIN) == 1

    def test_a_refused_key_is_an_error_at_once(self, server: ScriptedServer) -> None:
        server.on("GET", TOKEN, error_reply(401, "INVALID_API_KEY"))
        with with_key(server) as client:
            with pytest.raises(AuthenticationError):
                client.tokens.get(7)
        assert len(server.arrived) == 1

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, AuthenticationError), (422, ValidationError), (429, RateLimitError), (500, ServerError)],
    )
    def test_its_errors_are_those_of_any_call(
        self, server: ScriptedServer, pauses: list[float], status: int, kind: type[NeuroGraphError]
    ) -> None:
        server.on("POST", LOGIN, error_reply(status, Retry_After="1"))
        with with_password(server) as client:
            with pytest.raises(kind) as caught:
                client.tokens.get(7)
        assert caught.value.status_code == status
        assert caught.value.retry_after == 1
        assert server.count("POST", LOGIN) == (3 if status == 429 else 1)

    def test_it_is_repeated_when_the_server_is_busy(self, server: ScriptedServer, pauses: list[float]) -> None:
        server.on("POST", LOGIN, error_reply(503), Cut(), login_reply("a1"))
        with with_password(server) as client:
            assert (client.tokens.get(7)).id == 7
        assert len(pauses) == 2

    def test_a_malformed_answer_is_an_error_of_ours(self, server: ScriptedServer) -> None:
        server.on("POST", LOGIN, Reply(body={"token": "what the password bought"}))
        with with_password(server) as client:
            with pytest.raises(InvalidResponseError, match="access_token"):
                client.tokens.get(7)

    def test_an_echoed_password_is_hidden(self, server: ScriptedServer) -> None:
        body = {"detail": [{"loc": ["body", "password"], "msg": "bad: pass-word-123", "input": "pass-word-123"}]}
        server.on("POST", LOGIN, Reply(422, body))
        with with_password(server) as client:
            with pytest.raises(ValidationError) as caught:
                client.tokens.get(7)
        assert "pass-word-123" not in f"{caught.value} {caught.value!r} {caught.value.details}"
        assert "***" in str(caught.value)

    def test_without_credentials_only_public_calls_work(self, server: ScriptedServer) -> None:
        server.on("GET", "/api/v1/health", Reply(body={"status": "healthy", "version": "1"}))
        with NeuroGraphClient(server.url) as client:
            assert (client.health.check()).version == "1"
            with pytest.raises(AuthenticationError, match="NEUROGRAPH_API_KEY"):
                client.tokens.get(7)
        assert [seen.path for seen in server.arrived] == ["/api/v1/health"]
        assert "authorization" not in server.arrived[0].headers
