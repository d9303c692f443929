"""Every method of AuthService does what the contract says, over a real connection."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters

from vectrograph.control.passwords import Passwords
from vectrograph.control.store import ControlStore
from vectrograph.domain.access import Role
from vectrograph.rpc._pb import auth_pb as pb
from vectrograph.rpc._pb import vectron_pb
from vectrograph.rpc._pb.methods import AUTH_SERVICE_METHODS
from vectrograph.services import Services
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.lockout import Lockout
from vectrograph.services.accounts.registration import Registration
from vectrograph.services.call import Call

Send = Callable[..., Any]
PASSWORD = "Correct-horse-7"


def code_of(call: Callable[[], Any]) -> tuple[str, str]:
    """Return status and message of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code().name, error.details()


def login(send: Send, email: str, password: str) -> str:
    return str(send("auth.Login", pb.LoginRequest(email=email, password=password), credential="").jwt_token)


def new_email() -> str:
    return f"u{uuid.uuid4().hex[:12]}@example.org"


@pytest.fixture
def developer(send: Send) -> str:
    """Provide a login JWT of the account developer."""
    return login(send, "dev@neurograph.dev", "developer123")


@pytest.fixture
def made(send: Send, developer: str) -> Any:
    """Provide a fresh API key of developer's."""
    return send("auth.CreateAPIKey", pb.CreateAPIKeyRequest(name="my key_1-a"), credential=developer)


def test_the_official_flow_from_login_to_a_search(send: Send, developer: str, made: Any) -> None:
    assert made.full_key.startswith(made.key_info.key_prefix)
    assert (made.key_info.user_id, made.key_info.name) == ("developer", "my key_1-a")
    token = send("auth.CreateSDKJWT", pb.CreateSDKJWTRequest(api_key_id=made.key_info.key_prefix), credential=developer)
    for credential in (token.sdk_jwt, made.full_key, developer):
        assert "tokens" in send("ListCollections", credential=credential).collections
    request = vectron_pb.CreateCollectionRequest(name=f"flow-{uuid.uuid4()}", dimension=2)
    assert send("CreateCollection", request, credential=token.sdk_jwt).success


def test_lifetimes_are_those_of_the_contract(send: Send, developer: str, made: Any) -> None:
    sdk = send("auth.CreateSDKJWT", pb.CreateSDKJWTRequest(api_key_id=made.key_info.key_prefix), credential=developer)
    for token, seconds in ((developer, 24 * 3600), (sdk.sdk_jwt, 7 * 24 * 3600)):
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == seconds
    renewed = send("auth.RefreshToken", pb.RefreshTokenRequest(), credential=developer)
    assert renewed.jwt_token != developer
    assert renewed.expires_at == pytest.approx(time.time() + 24 * 3600, abs=30)
    assert send("auth.GetUserProfile", credential=renewed.jwt_token).user.id == "developer"


def test_a_new_account_is_a_developer_with_the_free_plan(send: Send) -> None:
    """FINDINGS A6: in development mode; by invitation it is a viewer, see below."""
    email = new_email()
    request = pb.RegisterUserRequest(email=f"  {email.upper()} ", password=PASSWORD)
    user = send("auth.RegisterUser", request, credential="").user
    assert (user.email, user.plan, user.subscription_status) == (email, pb.Plan.FREE, pb.SubscriptionStatus.ACTIVE)
    assert user.id.startswith("user-")
    token = login(send, email.title(), PASSWORD)
    assert send("auth.GetUserProfile", credential=token).user == user
    assert "tokens" in send("ListCollections", credential=token).collections
    send("CreateCollection", vectron_pb.CreateCollectionRequest(name="of-a-new-account", dimension=2), credential=token)
    assert code_of(lambda: send("auth.RegisterUser", request, credential=""))[0] == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [
        ("", PASSWORD, "email"),
        ("no-at-sign", PASSWORD, "email"),
        ("a@b", PASSWORD, "email"),
        ("a b@example.org", PASSWORD, "email"),
        ("a@b@example.org", PASSWORD, "email"),
        ("a" * 243 + "@example.org", PASSWORD, "email"),
        ("ok@example.org", "Sh0rt!", "password"),
        ("ok@example.org", "alllowercase1", "password"),
        ("ok@example.org", "A1!" + "x" * 126, "password"),
        ("ok@example.org", "", "password"),
    ],
)
def test_what_registration_refuses(send: Send, email: str, password: str, field: str) -> None:
    request = pb.RegisterUserRequest(email=email, password=password)
    code, message = code_of(lambda: send("auth.RegisterUser", request, credential=""))
    assert code == "INVALID_ARGUMENT"
    assert message.startswith(f"{field}: ")
    assert not password or password not in message


def test_registration_is_by_invitation_where_it_is_not_open(
    serve: Callable[..., Any], services: Services, control_template: Path, tmp_path: Path, send: Send
) -> None:
    ControlStore.copy_of(control_template, tmp_path / "control.sqlite")
    store = ControlStore.open(f"sqlite:///{tmp_path / 'control.sqlite'}")
    store.development.end("the test says so")
    registration = Registration(store, Passwords(), Audit(store.audit), Lockout(), Development(store))
    closed = replace(services, registration=registration)
    stub = serve(closed)[1].unary_unary(
        AUTH_SERVICE_METHODS["RegisterUser"].path, response_deserializer=pb.RegisterUserResponse.FromString
    )
    tokens = {name: login(send, f"{mail}@neurograph.dev", f"{name}123") for name, mail in
              (("admin", "admin"), ("developer", "dev"))}  # fmt: skip

    def register(email: str, *metadata: tuple[str, str]) -> Any:
        body = pb.RegisterUserRequest(email=email, password=PASSWORD).SerializeToString()
        return stub(body, metadata=metadata, timeout=20)

    answers = set()
    for email in (new_email(), "dev@neurograph.dev", "not an email"):
        answers.add(code_of(lambda email=email: register(email)))  # type: ignore[misc]
        answers.add(code_of(lambda email=email: register(email, ("authorization", tokens["developer"]))))  # type: ignore[misc]
    assert [code for code, _ in answers] == ["PERMISSION_DENIED"]
    invited = register(new_email(), ("authorization", tokens["admin"])).user.id
    assert store.accounts.get(invited).role is Role.VIEWER
    store.close()


def test_a_login_never_tells_whether_an_account_exists(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown account that skipped the hash would answer in a tenth of the time."""
    checked: list[Parameters] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, hash: str, password: str) -> bool:
        checked.append(extract_parameters(hash))
        return verify(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    emails = ("dev@neurograph.dev", new_email(), "", "x" * 400)
    answers = {code_of(lambda email=email: login(send, email, "Wrong-password-1")) for email in emails}  # type: ignore[misc]
    assert answers == {("UNAUTHENTICATED", "Incorrect email or password.")}
    assert checked == [extract_parameters(Passwords().encode(PASSWORD))] * len(emails)


def test_a_login_does_not_mind_credentials_of_the_past(send: Send) -> None:
    request = pb.LoginRequest(email="dev@neurograph.dev", password="developer123")
    assert send("auth.Login", request, credential="ng_live_gone").user.id == "developer"


def test_plans_come_with_a_new_token_for_a_login_only(send: Send, developer: str, made: Any) -> None:
    request = pb.UpdateUserProfileRequest(plan=pb.Plan.PAID)
    answer = send("auth.UpdateUserProfile", request, credential=developer)
    assert answer.user.plan == pb.Plan.PAID
    assert send("auth.GetUserProfile", credential=answer.jwt_token).user.plan == pb.Plan.PAID
    assert send("auth.UpdateUserProfile", request, credential=made.full_key).jwt_token == ""


def test_keys_are_listed_without_their_secret_and_deleted_by_prefix(send: Send, developer: str, made: Any) -> None:
    prefix = made.key_info.key_prefix
    assert made.key_info in send("auth.ListAPIKeys", credential=developer).keys
    sdk = send("auth.CreateSDKJWT", pb.CreateSDKJWTRequest(api_key_id=prefix), credential=developer).sdk_jwt
    for credential in (made.full_key, sdk):
        send("ListCollections", credential=credential)
    assert send("auth.DeleteAPIKey", pb.DeleteAPIKeyRequest(key_prefix=prefix), credential=developer).success
    assert made.key_info not in send("auth.ListAPIKeys", credential=developer).keys
    for credential in (made.full_key, sdk):
        assert code_of(lambda credential=credential: send("ListCollections", credential=credential))[0] == (  # type: ignore[misc]
            "UNAUTHENTICATED"
        )
    assert not send("auth.ValidateAPIKey", pb.ValidateAPIKeyRequest(full_key=made.full_key), credential="").valid


@pytest.mark.parametrize("name", ["", " ", "x" * 51, "semi;colon", "naïve", "a\nb"])
def test_names_of_keys_are_vectrons(send: Send, developer: str, name: str) -> None:
    request = pb.CreateAPIKeyRequest(name=name)
    assert code_of(lambda: send("auth.CreateAPIKey", request, credential=developer))[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("auth.DeleteAPIKey", lambda prefix: pb.DeleteAPIKeyRequest(key_prefix=prefix)),
        ("auth.CreateSDKJWT", lambda prefix: pb.CreateSDKJWTRequest(api_key_id=prefix)),
    ],
)
def test_a_key_of_another_reads_like_one_that_does_not_exist(
    send: Send, services: Services, method: str, request_of: Callable[[str], Any], made: Any, key: str, developer: str
) -> None:
    admin = login(send, "admin@neurograph.dev", "admin123")
    foreign = send("auth.CreateAPIKey", pb.CreateAPIKeyRequest(name="a"), credential=admin).key_info.key_prefix
    refusals = {
        code_of(lambda prefix=prefix: send(method, request_of(prefix), credential=developer))  # type: ignore[misc]
        for prefix in (foreign, "ng_live_nothing0", "x", made.full_key)
    }
    assert [code for code, _ in refusals] == ["PERMISSION_DENIED"]
    assert code_of(lambda: send(method, request_of(""), credential=developer))[0] == "INVALID_ARGUMENT"
    # A plain key may not manage keys at all.
    assert code_of(lambda: send(method, request_of(made.key_info.key_prefix), credential=key))[0] == "PERMISSION_DENIED"


def test_a_narrow_key_makes_no_token_of_a_wider_one(send: Send, services: Services, developer: str, made: Any) -> None:
    owner = services.sessions.authenticate(developer)
    narrow = services.keys.create(Call(owner, "t"), "narrow", ["api_keys:write"], None)
    wider = pb.CreateSDKJWTRequest(api_key_id=made.key_info.key_prefix)
    assert code_of(lambda: send("auth.CreateSDKJWT", wider, credential=narrow.secret))[0] == "PERMISSION_DENIED"
    own = pb.CreateSDKJWTRequest(api_key_id=narrow.record.key_prefix)
    sdk = send("auth.CreateSDKJWT", own, credential=narrow.secret).sdk_jwt
    assert code_of(lambda: send("ListCollections", credential=sdk))[0] == "PERMISSION_DENIED"


def test_validation_takes_the_whole_key_and_nothing_less(send: Send, developer: str, made: Any) -> None:
    def validate(full_key: str) -> pb.ValidateAPIKeyResponse:
        answer = send("auth.ValidateAPIKey", pb.ValidateAPIKeyRequest(full_key=full_key), credential="")
        assert isinstance(answer, pb.ValidateAPIKeyResponse)
        return answer

    good = validate(made.full_key)
    assert (good.valid, good.user_id, good.api_key_id) == (True, "developer", made.key_info.key_prefix)
    assert good.plan in ("FREE", "PAID", "PLAN_UNSPECIFIED")
    last = "A" if made.full_key[-1] != "A" else "B"
    for wrong in (made.key_info.key_prefix, made.full_key[:-1] + last, "short", "vkey-", developer):
        assert validate(wrong) == pb.ValidateAPIKeyResponse()
    assert code_of(lambda: validate(""))[0] == "INVALID_ARGUMENT"


def test_details_of_a_key_are_for_itself_and_for_administrators(send: Send, developer: str, made: Any) -> None:
    request = pb.GetAuthDetailsForSDKRequest(api_key_id=made.key_info.key_prefix)
    sdk_request = pb.CreateSDKJWTRequest(api_key_id=made.key_info.key_prefix)
    sdk = send("auth.CreateSDKJWT", sdk_request, credential=developer).sdk_jwt
    admin = login(send, "admin@neurograph.dev", "admin123")
    for credential in (made.full_key, sdk, admin):
        answer = send("auth.GetAuthDetailsForSDK", request, credential=credential)
        assert (answer.success, answer.user_id) == (True, "developer")
    nothing = pb.GetAuthDetailsForSDKRequest(api_key_id="ng_live_nothing0")
    viewer = login(send, "viewer@neurograph.dev", "viewer123")
    for credential, asked in ((viewer, request), (viewer, nothing), (admin, nothing), (made.full_key, nothing)):
        assert send("auth.GetAuthDetailsForSDK", asked, credential=credential) == pb.GetAuthDetailsForSDKResponse()
    assert code_of(lambda: send("auth.GetAuthDetailsForSDK", request, credential=""))[0] == "UNAUTHENTICATED"


def test_an_account_ends_with_everything_it_had(send: Send) -> None:
    email = new_email()
    send("auth.RegisterUser", pb.RegisterUserRequest(email=email, password=PASSWORD), credential="")
    token = login(send, email, PASSWORD)
    wrong = pb.DeleteUserRequest(password="Wrong-password-1")
    assert code_of(lambda: send("auth.DeleteUser", wrong, credential=token))[0] == "INVALID_ARGUMENT"
    assert send("auth.DeleteUser", pb.DeleteUserRequest(password=PASSWORD), credential=token).success
    assert code_of(lambda: send("auth.GetUserProfile", credential=token))[0] == "UNAUTHENTICATED"
    assert code_of(lambda: login(send, email, PASSWORD))[0] == "UNAUTHENTICATED"


def test_neither_the_last_administrator_nor_a_key_ends_an_account(send: Send, made: Any) -> None:
    admin = login(send, "admin@neurograph.dev", "admin123")
    request = pb.DeleteUserRequest(password="admin123")
    assert code_of(lambda: send("auth.DeleteUser", request, credential=admin))[0] == "FAILED_PRECONDITION"
    request = pb.DeleteUserRequest(password="developer123")
    assert code_of(lambda: send("auth.DeleteUser", request, credential=made.full_key))[0] == "PERMISSION_DENIED"


def test_only_a_login_is_renewed(send: Send, services: Services, made: Any) -> None:
    short = services.sessions.login("developer", "developer123").access_token
    for credential in (short, made.full_key):
        assert code_of(lambda credential=credential: send("auth.RefreshToken", credential=credential))[0] == (  # type: ignore[misc]
            "PERMISSION_DENIED"
        )


def test_logging_out_ends_a_login_and_what_was_renewed(send: Send, services: Services, developer: str) -> None:
    renewed = send("auth.RefreshToken", credential=developer).jwt_token
    services.sessions.logout(Call(services.sessions.authenticate(developer), "t"))
    for credential in (developer, renewed):
        assert code_of(lambda credential=credential: send("auth.GetUserProfile", credential=credential))[0] == (  # type: ignore[misc]
            "UNAUTHENTICATED"
        )


@pytest.mark.parametrize("name", sorted(AUTH_SERVICE_METHODS))
def test_anonymous_callers_reach_three_methods_only(send: Send, name: str) -> None:
    code, _ = code_of(lambda: send(f"auth.{name}", b"\xff", credential=""))
    public = {"RegisterUser", "Login", "ValidateAPIKey"}
    assert code == ("INVALID_ARGUMENT" if name in public else "UNAUTHENTICATED")


def test_anonymous_callers_send_little(send: Send) -> None:
    request = pb.LoginRequest(email="a@example.org", password="x" * 70_000)
    assert code_of(lambda: send("auth.Login", request, credential=""))[0] == "RESOURCE_EXHAUSTED"
