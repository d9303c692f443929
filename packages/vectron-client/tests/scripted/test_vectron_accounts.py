"""The auth client: what it sends on whose behalf, what it takes over from answers, and what it keeps to itself."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from vectron_client import (
    APIKey,
    AsyncVectronAuthClient,
    AuthenticationError,
    ClientOptions,
    CreatedAPIKey,
    InternalServerError,
    InvalidArgumentError,
    KeyOwner,
    UnavailableError,
    VectronAuthClient,
    VectronError,
)
from vectron_client._pb import auth_pb as wire

if TYPE_CHECKING:
    from scripted.conftest import ScriptedServer

USER = wire.UserProfile(id="u-1", email="ada@example.org", created_at=86_400, plan=wire.Plan.PAID)
KEY = wire.APIKey(key_prefix="vkey-12345678", user_id="u-1", created_at=86_400, name="mine")
SECOND_DAY = datetime(1970, 1, 2, tzinfo=timezone.utc)
SECRETS = ("Password-1", "jwt-secret", "vkey-secret", "ada@example.org")


class Awaited:
    """The asynchronous client with synchronous methods."""

    def __init__(self, client: AsyncVectronAuthClient, runner: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._runner.run_until_complete(method(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def auth(request: pytest.FixtureRequest, server: "ScriptedServer") -> Iterator[VectronAuthClient]:
    options = ClientOptions(retry_initial_backoff_ms=5, retry_on_writes=True, hedged_reads=True, hedge_delay_ms=0)
    with contextlib.closing(asyncio.new_event_loop()) as runner:
        client: Any
        if request.param == "sync":
            client = VectronAuthClient(server.address, "first", options)
        else:
            client = Awaited(AsyncVectronAuthClient(server.address, "first", options), runner)
        yield client
        client.close()


def sent(server: "ScriptedServer") -> list[str | bytes | None]:
    return [seen.metadata.get("authorization") for seen in server.seen]


def test_later_calls_are_on_behalf_of_who_logged_in_last(server: "ScriptedServer", auth: VectronAuthClient) -> None:
    server.answers("Login", wire.LoginResponse(jwt_token="jwt-secret", user=USER))
    server.answers("RefreshToken", wire.RefreshTokenResponse(jwt_token="jwt-2", expires_at=86_400))
    server.answers("UpdateUserProfile", wire.UpdateUserProfileResponse(user=USER, jwt_token="jwt-3"))
    server.answers("GetUserProfile", wire.GetUserProfileResponse(user=USER))
    auth.get_user_profile()
    login = auth.login("ada@example.org", "Password-1")
    assert (login.token, login.user.id, login.user.created_at) == ("jwt-secret", "u-1", SECOND_DAY)
    token = auth.refresh()
    assert (token.token, token.expires_at) == ("jwt-2", SECOND_DAY)
    assert auth.update_user_profile("paid").plan == "PAID"
    auth.get_user_profile()
    assert sent(server) == ["Bearer first", "Bearer first", "Bearer jwt-secret", "Bearer jwt-2", "Bearer jwt-3"]


def test_keys(server: "ScriptedServer", auth: VectronAuthClient) -> None:
    server.answers("CreateAPIKey", wire.CreateAPIKeyResponse(full_key="vkey-secret", key_info=KEY))
    server.answers("ListAPIKeys", wire.ListAPIKeysResponse(keys=[KEY]))
    server.answers("DeleteAPIKey", wire.DeleteAPIKeyResponse(success=True))
    server.answers("CreateSDKJWT", wire.CreateSDKJWTResponse(sdk_jwt="jwt-secret"))
    server.answers(
        "ValidateAPIKey", wire.ValidateAPIKeyResponse(valid=True, user_id="u-1", plan="FREE", api_key_id="p")
    )
    server.answers("ValidateAPIKey", wire.ValidateAPIKeyResponse())
    server.answers("GetAuthDetailsForSDK", wire.GetAuthDetailsForSDKResponse(success=True, user_id="u-1", plan=1))
    server.answers("GetAuthDetailsForSDK", wire.GetAuthDetailsForSDKResponse())
    info = APIKey("vkey-12345678", "u-1", SECOND_DAY, "mine")
    assert auth.create_api_key("mine") == CreatedAPIKey("vkey-secret", info)
    assert auth.list_api_keys() == [info]
    auth.delete_api_key("vkey-12345678")
    assert auth.create_sdk_token("vkey-12345678") == "jwt-secret"
    assert [auth.validate_api_key("vkey-secret") for _ in range(2)] == [KeyOwner("u-1", "FREE", "p"), None]
    assert [auth.get_key_owner("q") for _ in range(2)] == [KeyOwner("u-1", "FREE", "q"), None]
    bodies = {seen.method: seen.body for seen in server.seen}
    assert wire.CreateAPIKeyRequest.FromString(bodies["CreateAPIKey"]).name == "mine"
    for method in ("CreateSDKJWT", "GetAuthDetailsForSDK"):
        request = getattr(wire, f"{method}Request").FromString(bodies[method])
        assert request.api_key_id == ("vkey-12345678" if method == "CreateSDKJWT" else "q")


def test_an_account_from_beginning_to_end(server: "ScriptedServer", auth: VectronAuthClient) -> None:
    server.answers("RegisterUser", wire.RegisterUserResponse(user=USER))
    server.answers("DeleteUser", wire.DeleteUserResponse(success=True))
    assert auth.register("ada@example.org", "Password-1").email == "ada@example.org"
    auth.delete_user("Password-1")
    register, delete = server.seen
    assert wire.RegisterUserRequest.FromString(register.body) == wire.RegisterUserRequest(
        email="ada@example.org", password="Password-1"
    )
    assert wire.DeleteUserRequest.FromString(delete.body).password == "Password-1"


WRITES: dict[str, Callable[[VectronAuthClient], Any]] = {
    "RegisterUser": lambda c: c.register("ada@example.org", "Password-1"),
    "CreateAPIKey": lambda c: c.create_api_key("mine"),
    "DeleteAPIKey": lambda c: c.delete_api_key("p"),
    "DeleteUser": lambda c: c.delete_user("Password-1"),
    "CreateSDKJWT": lambda c: c.create_sdk_token("p"),
    "UpdateUserProfile": lambda c: c.update_user_profile("FREE"),
}


@pytest.mark.parametrize("method", WRITES)
def test_what_changes_something_is_sent_once(server: "ScriptedServer", auth: VectronAuthClient, method: str) -> None:
    server.fails(method, "UNAVAILABLE")
    with pytest.raises(UnavailableError):
        WRITES[method](auth)
    assert server.methods() == [method]


def test_logins_and_reads_are_repeated_and_not_hedged(server: "ScriptedServer", auth: VectronAuthClient) -> None:
    server.fails("Login", "UNAVAILABLE")
    server.answers("Login", wire.LoginResponse(jwt_token="jwt-secret", user=USER))
    server.answers("GetUserProfile", wire.GetUserProfileResponse(user=USER))
    auth.login("ada@example.org", "Password-1")
    auth.get_user_profile()
    assert server.methods() == ["Login", "Login", "GetUserProfile"]


def test_a_login_that_fails_changes_nothing(server: "ScriptedServer", auth: VectronAuthClient) -> None:
    server.fails("Login", "UNAUTHENTICATED", "wrong email or password")
    server.answers("GetUserProfile", wire.GetUserProfileResponse(user=USER))
    with pytest.raises(AuthenticationError) as caught:
        auth.login("ada@example.org", "Password-1")
    auth.get_user_profile()
    assert sent(server) == ["Bearer first"] * 2
    assert not any(secret in f"{caught.value!r} {caught.value}" for secret in SECRETS)


@pytest.mark.parametrize("method", ["CreateAPIKey", "CreateSDKJWT", "DeleteAPIKey", "DeleteUser"])
def test_an_empty_answer_is_an_error(server: "ScriptedServer", auth: VectronAuthClient, method: str) -> None:
    server.answers(method, b"")
    with pytest.raises(InternalServerError, match=f"{method} without an error but without"):
        WRITES[method](auth)


def test_no_secret_shows(server: "ScriptedServer", auth: VectronAuthClient) -> None:
    server.answers("Login", wire.LoginResponse(jwt_token="jwt-secret"))
    server.answers("RefreshToken", wire.RefreshTokenResponse(jwt_token="jwt-secret"))
    server.answers("CreateAPIKey", wire.CreateAPIKeyResponse(full_key="vkey-secret", key_info=KEY))
    shown = repr([auth.login("a", "Password-1"), auth.refresh(), auth.create_api_key("mine"), auth])
    assert not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda c: c.login("", "Password-1"), "email"),
        (lambda c: c.login("ada@example.org", b"Password-1"), "password"),
        (lambda c: c.register("ada@example.org", None), "password"),
        (lambda c: c.create_api_key(5), "name"),
        (lambda c: c.delete_api_key(""), "key_prefix"),
        (lambda c: c.validate_api_key(None), "api_key"),
        (lambda c: c.update_user_profile("GOLD"), "plan"),
        (lambda c: c.get_user_profile(timeout=0), "timeout"),
    ],
)
def test_bad_arguments(
    server: "ScriptedServer", auth: VectronAuthClient, call: Callable[[VectronAuthClient], Any], name: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=name) as caught:
        call(auth)
    assert "Password-1" not in str(caught.value)
    assert server.seen == []


def test_a_closed_client_says_so(auth: VectronAuthClient) -> None:
    auth.close()
    with pytest.raises(VectronError, match="closed"):
        auth.list_api_keys()


def test_the_guide() -> None:
    text, facts = VectronAuthClient.help()
    assert "create_sdk_token(key_prefix, *, timeout=None)" in text
    assert facts["operations"] == AsyncVectronAuthClient.help()[1]["operations"]
