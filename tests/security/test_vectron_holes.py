"""Authentication of the official Vectron server, fact by fact as section 3 of the list of facts has them, and that
none of its holes is here.
"""

import base64
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from tests.security.vectron_wire import Wire
from vectrograph import RunningServer, running
from vectrograph.rpc._pb import auth_pb as auth
from vectrograph.rpc._pb import vectron_pb as pb

PASSWORD = "Correct-horse-7"
KNOWN = {"UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("holes")


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[RunningServer]:
    with running(data) as started:
        yield started


@pytest.fixture(scope="module")
def wire(server: RunningServer) -> Iterator[Wire]:
    with Wire(server.grpc_address) as opened:
        yield opened


DEVELOPER = ("dev@neurograph.dev", "developer123")


def login(wire: Wire, email: str = DEVELOPER[0], password: str = DEVELOPER[1]) -> str:
    return str(wire.call("Login", auth.LoginRequest(email=email, password=password)).jwt_token)


def new_account(wire: Wire) -> str:
    email = f"u{uuid.uuid4().hex[:12]}@example.org"
    wire.call("RegisterUser", auth.RegisterUserRequest(email=email, password=PASSWORD))
    return email


def set_role(server: RunningServer, wire: Wire, email: str, role: str) -> tuple[str, dict[str, str]]:
    """Give an account a role; returns its URL and the headers of an administrator."""
    admin = {"Authorization": f"Bearer {login(wire, 'admin@neurograph.dev', 'admin123')}"}
    users = f"{server.http_url}/api/v1/users"
    found = next(user for user in httpx2.get(users, headers=admin).json()["users"] if user["email"] == email)
    account = f"{users}/{found['user_id']}"
    httpx2.post(f"{account}/role", json={"role": role}, headers=admin)
    return account, admin


def new_key(wire: Wire, credential: str) -> Any:
    return wire.call("CreateAPIKey", auth.CreateAPIKeyRequest(name="k"), credential)


def sdk(wire: Wire, credential: str, prefix: str) -> str:
    return str(wire.call("CreateSDKJWT", auth.CreateSDKJWTRequest(api_key_id=prefix), credential).sdk_jwt)


# ---------------------------------------------------------------- 3.1 the check of every call


def test_3_1_any_spelling_of_the_scheme_holds_and_so_does_none(wire: Wire, server: RunningServer) -> None:
    key = server.api_key
    for value in (f"Bearer {key}", f"bearer {key}", f"BEARER {key}", key):
        assert wire.refusal("ListCollections", metadata=[("authorization", value)])[0] == "OK", value[:7]


def test_3_1_a_remembered_credential_ends_with_its_revocation_not_30_seconds_later(wire: Wire) -> None:
    token = login(wire)
    made = new_key(wire, token)
    credentials = (made.full_key, sdk(wire, token, made.key_info.key_prefix))
    for credential in credentials:
        assert wire.refusal("ListCollections", credential=credential)[0] == "OK"
    wire.call("DeleteAPIKey", auth.DeleteAPIKeyRequest(key_prefix=made.key_info.key_prefix), token)
    for credential in credentials:
        assert wire.refusal("ListCollections", credential=credential)[0] == "UNAUTHENTICATED"


def forged(token: str, secret: bytes, *, algorithm: str = "HS256", drop: str = "", **changed: object) -> str:
    """Return the token with other claims, signed with the server's own secret: what a check must refuse all the
    same.
    """
    claims = {**jwt.decode(token, options={"verify_signature": False}), **changed}
    claims.pop(drop, None)
    headers = {"kid": jwt.get_unverified_header(token)["kid"]}
    return jwt.encode(claims, None if algorithm == "none" else secret, algorithm=algorithm, headers=headers)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_3_1_algorithm_end_issuer_audience_and_kind_are_all_asked_for(wire: Wire, data: Path) -> None:
    token = login(wire)
    secret = bytes.fromhex((data / "signing.key").read_text().split()[0])
    assert wire.refusal("ListCollections", credential=forged(token, secret))[0] == "OK"
    wrong: list[Mapping[str, Any]] = [
        {"algorithm": "HS384"},
        {"algorithm": "HS512"},
        {"algorithm": "none"},
        *({"drop": claim} for claim in ("exp", "iss", "aud", "sub", "jti", "sid", "iat", "token_type")),
        {"iss": "someone else"},
        {"aud": "someone else"},
        {"exp": 1},
        {"sid": "0" * 32},
        {"sub": "admin"},
        {"token_type": "refresh"},
    ]
    for change in wrong:
        assert wire.refusal("ListCollections", credential=forged(token, secret, **change))[0] == "UNAUTHENTICATED", (
            change
        )


def test_3_1_what_a_login_may_do_is_asked_of_the_account_not_of_the_token(wire: Wire, server: RunningServer) -> None:
    email = new_account(wire)
    token = login(wire, email, PASSWORD)
    set_role(server, wire, email, "viewer")
    create = pb.CreateCollectionRequest(name=f"c{uuid.uuid4().hex[:8]}", dimension=2)
    assert wire.refusal("CreateCollection", create, token)[0] == "PERMISSION_DENIED"
    account, admin = set_role(server, wire, email, "developer")
    assert wire.refusal("CreateCollection", create, token)[0] == "OK"
    httpx2.delete(account, headers=admin)
    assert wire.refusal("ListCollections", credential=token)[0] == "UNAUTHENTICATED"


def test_3_1_search_stream_is_checked_limited_and_logged_like_every_call() -> None:
    search = pb.SearchRequest(collection="tokens", vector=[0.0] * 256)
    with running(rate_limit=3) as limited, Wire(limited.grpc_address) as wire:
        assert wire.refusal("SearchStream", search)[0] == "UNAUTHENTICATED"
        codes = [wire.refusal("SearchStream", search, limited.api_key)[0] for _ in range(8)]
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
        assert limited.server.services.health._requests >= 9


def test_3_1_no_variable_of_the_environment_switches_the_check_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VECTRON_BENCHMARK_MODE", "RAW_SPEED_MODE", "VECTRON_RAW_SPEED_MODE"):
        monkeypatch.setenv(name, "1")
    with running(rate_limit=2) as hurried, Wire(hurried.grpc_address) as wire:
        assert wire.refusal("ListCollections")[0] == "UNAUTHENTICATED"
        codes = {wire.refusal("ListCollections", credential=hurried.api_key)[0] for _ in range(6)}
        assert codes == {"OK", "RESOURCE_EXHAUSTED"}


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Basic YWRtaW46YWRtaW4xMjM=")],
        [("authorization", "Bearer garbage")],
        [("authorization", "Bearer a.b.c")],
        [("authorization", "Bearer ng_live_" + "0" * 64)],
        [("authorization", "Bearer vkey-" + str(uuid.UUID(int=7)))],
        [("authorization", "Bearer x y")],
        [("x-api-key", "")],
    ],
)
def test_3_1_whatever_is_no_credential_is_unauthenticated_and_never_internal(
    wire: Wire, metadata: list[tuple[str, str]]
) -> None:
    assert wire.refusal("ListCollections", metadata=metadata)[0] == "UNAUTHENTICATED"


def test_3_1_an_sdk_token_whose_account_is_gone_is_unauthenticated_not_internal(wire: Wire) -> None:
    email = new_account(wire)
    token = login(wire, email, PASSWORD)
    sdk_token = sdk(wire, token, new_key(wire, token).key_info.key_prefix)
    assert wire.refusal("GetUserProfile", credential=sdk_token)[0] == "OK"
    wire.call("DeleteUser", auth.DeleteUserRequest(password=PASSWORD), token)
    for credential in (token, sdk_token):
        assert wire.refusal("GetUserProfile", credential=credential)[0] == "UNAUTHENTICATED"


def test_3_1_a_known_caller_without_the_right_is_told_permission_denied(wire: Wire) -> None:
    token = login(wire, "viewer@neurograph.dev", "viewer123")
    create = pb.CreateCollectionRequest(name="of-viewer", dimension=2)
    assert wire.refusal("CreateCollection", create, token)[0] == "PERMISSION_DENIED"


# ---------------------------------------------------------------- 3.2 credentials


def test_3_2_a_key_has_256_random_bits_and_is_stored_as_a_digest(wire: Wire, data: Path) -> None:
    made = new_key(wire, login(wire))
    secret = made.full_key.removeprefix("ng_live_")
    assert len(base64.urlsafe_b64decode(f"{secret}===")) == 32
    assert made.full_key.encode() not in (data / "control.sqlite").read_bytes()
    assert made.full_key[:16].encode() in (data / "control.sqlite").read_bytes()


def test_3_2_a_key_works_itself_and_is_shown_once(wire: Wire) -> None:
    token = login(wire)
    made = new_key(wire, token)
    assert wire.refusal("ListCollections", credential=made.full_key)[0] == "OK"
    assert made.full_key not in str(wire.call("ListAPIKeys", credential=token))


def test_3_2_a_token_does_not_name_its_own_rights(wire: Wire) -> None:
    claims = jwt.decode(login(wire), options={"verify_signature": False})
    assert claims.keys() == {"sub", "jti", "sid", "iss", "aud", "iat", "exp", "token_type"}


def test_3_2_an_sdk_token_is_no_login(wire: Wire) -> None:
    token = login(wire)
    made = new_key(wire, token)
    sdk_token = sdk(wire, token, made.key_info.key_prefix)
    assert wire.refusal("ListCollections", credential=sdk_token)[0] == "OK"
    for name, request in (
        ("CreateAPIKey", auth.CreateAPIKeyRequest(name="wider")),
        ("DeleteUser", auth.DeleteUserRequest(password="developer123")),
        ("RefreshToken", auth.RefreshTokenRequest()),
    ):
        assert wire.refusal(name, request, sdk_token)[0] == "PERMISSION_DENIED", name


def test_3_2_a_login_of_24_hours_can_be_ended(wire: Wire, server: RunningServer) -> None:
    token = login(wire)
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx2.post(f"{server.http_url}/api/v1/auth/logout", headers=headers).status_code == 200
    assert wire.refusal("ListCollections", credential=token)[0] == "UNAUTHENTICATED"


def test_3_2_a_validated_key_is_not_valid_for_five_minutes_after_its_end(wire: Wire) -> None:
    token = login(wire)
    made = new_key(wire, token)
    ask = auth.ValidateAPIKeyRequest(full_key=made.full_key)
    assert wire.call("ValidateAPIKey", ask).valid
    wire.call("DeleteAPIKey", auth.DeleteAPIKeyRequest(key_prefix=made.key_info.key_prefix), token)
    assert not wire.call("ValidateAPIKey", ask).valid


# ---------------------------------------------------------------- 3.3 the rules of AuthService


def test_3_3_registration_takes_good_emails_and_passwords_only(wire: Wire) -> None:
    email = new_account(wire)
    again = auth.RegisterUserRequest(email=f"  {email.upper()} ", password=PASSWORD)
    assert wire.refusal("RegisterUser", again)[0] == "ALREADY_EXISTS"
    for bad, password in (("nobody", PASSWORD), (f"{'a' * 250}@b.org", PASSWORD), ("a@b.org", "alllowercase")):
        request = auth.RegisterUserRequest(email=bad, password=password)
        assert wire.refusal("RegisterUser", request)[0] == "INVALID_ARGUMENT", bad


def test_3_3_a_login_finds_the_email_however_it_is_written_and_tells_nothing_about_others(wire: Wire) -> None:
    email = new_account(wire)
    assert login(wire, f" {email.upper()} ", PASSWORD)
    said = {
        wire.refusal("Login", auth.LoginRequest(email=name, password="Wrong-horse-7"))
        for name in (email, f"no-{email}", "not an email")
    }
    assert len(said) == 1
    assert said.pop()[0] == "UNAUTHENTICATED"


def test_3_3_a_plan_is_one_of_two_and_changes_no_limit(wire: Wire) -> None:
    token = login(wire, "viewer@neurograph.dev", "viewer123")
    assert wire.refusal("UpdateUserProfile", b"\x08\x63", token)[0] == "INVALID_ARGUMENT"
    before = wire.call("GetLimits", credential=token)
    wire.call("auth.UpdateUserProfile", auth.UpdateUserProfileRequest(plan=2), token)
    assert wire.call("GetLimits", credential=token) == before
    assert wire.refusal("CreateAPIKey", auth.CreateAPIKeyRequest(name="k"), token)[0] == "PERMISSION_DENIED"


@pytest.mark.parametrize("name", ["", "x" * 51, "a/b", "né", "a'; DROP TABLE api_keys; --", "a\nb"])
def test_3_3_names_of_keys_are_plain(wire: Wire, name: str) -> None:
    request = auth.CreateAPIKeyRequest(name=name)
    assert wire.refusal("CreateAPIKey", request, login(wire))[0] == "INVALID_ARGUMENT"


def test_3_3_a_key_of_another_reads_like_none(wire: Wire) -> None:
    made = new_key(wire, login(wire, "admin@neurograph.dev", "admin123"))
    mine = login(wire)
    for name, kind, field in (
        ("DeleteAPIKey", auth.DeleteAPIKeyRequest, "key_prefix"),
        ("CreateSDKJWT", auth.CreateSDKJWTRequest, "api_key_id"),
    ):
        assert wire.refusal(name, kind(), mine)[0] == "INVALID_ARGUMENT"
        of_another = wire.refusal(name, kind(**{field: made.key_info.key_prefix}), mine)
        of_nobody = wire.refusal(name, kind(**{field: "ng_live_00000000"}), mine)
        assert of_another == of_nobody
        assert of_another[0] == "PERMISSION_DENIED"


def test_3_3_validation_of_anything_is_an_answer_not_an_internal_error(wire: Wire) -> None:
    made = new_key(wire, login(wire))
    for text in ("a", "vkey-", "vkey-1234567", made.key_info.key_prefix, made.full_key[:-1], "x" * 5000, "☃"):
        assert not wire.call("ValidateAPIKey", auth.ValidateAPIKeyRequest(full_key=text)).valid, text
    assert wire.refusal("ValidateAPIKey")[0] == "INVALID_ARGUMENT"


def test_3_3_details_of_a_key_are_not_public(wire: Wire) -> None:
    made = new_key(wire, login(wire))
    ask = auth.GetAuthDetailsForSDKRequest(api_key_id=made.key_info.key_prefix)
    assert wire.refusal("GetAuthDetailsForSDK", ask)[0] == "UNAUTHENTICATED"
    assert not wire.call("GetAuthDetailsForSDK", ask, login(wire, "viewer@neurograph.dev", "viewer123")).success
    assert wire.call("GetAuthDetailsForSDK", ask, made.full_key).user_id == "developer"
    assert wire.call("GetAuthDetailsForSDK", ask, login(wire, "admin@neurograph.dev", "admin123")).success


# ---------------------------------------------------------------- 3.4 rate limits


def test_3_4_new_sdk_tokens_do_not_use_up_a_limit_of_everyone(wire: Wire) -> None:
    token = login(wire)
    prefix = new_key(wire, token).key_info.key_prefix
    codes = {wire.refusal("ListCollections", credential=sdk(wire, token, prefix))[0] for _ in range(110)}
    assert codes == {"OK"}


def test_3_4_callers_behind_a_proxy_are_counted_apart_and_one_who_lies_is_not() -> None:
    wrong = auth.LoginRequest(email="viewer@neurograph.dev", password="wrong")

    def codes_of(server: RunningServer, addresses: list[str]) -> list[str]:
        with Wire(server.grpc_address) as wire:
            return [wire.refusal("Login", wrong, metadata=[("x-forwarded-for", address)])[0] for address in addresses]

    ones = ["203.0.113.9"] * 8
    many = [f"203.0.113.{number}" for number in range(8)]
    with running(trusted_proxy=("127.0.0.1",), address_rate_limit=4) as behind:
        assert "RESOURCE_EXHAUSTED" in codes_of(behind, ones)
        with Wire(behind.grpc_address) as wire:
            for address in many:
                given = [("x-forwarded-for", address)]
                assert wire.refusal("ListCollections", metadata=given)[0] == "UNAUTHENTICATED"
    with running(address_rate_limit=4) as open_server, Wire(open_server.grpc_address) as wire:
        codes = [wire.refusal("ListCollections", metadata=[("x-forwarded-for", address)])[0] for address in many * 2]
        assert "RESOURCE_EXHAUSTED" in codes


def test_3_4_guessing_is_slowed_for_login_and_no_refusal_is_an_internal_error() -> None:
    with running() as fresh, Wire(fresh.grpc_address) as wire:
        wrong = auth.LoginRequest(email="viewer@neurograph.dev", password="wrong")
        codes = [wire.refusal("Login", wrong)[0] for _ in range(9)]
        assert codes[:3] == ["UNAUTHENTICATED"] * 3
        assert "RESOURCE_EXHAUSTED" in codes
        assert set(codes) <= KNOWN
