import os
import stat
import threading
from pathlib import Path
from typing import Any

import jwt
import pytest

from vectrograph.control import signing
from vectrograph.control.records import SessionRecord, UserRecord
from vectrograph.control.signing import ACCESS_SECONDS, TokenSigner, TokenType
from vectrograph.domain.access import Role
from vectrograph.domain.errors import InvalidToken, StartupError, TokenExpired

SECRET = bytes(range(64))
SESSION = SessionRecord(session_id="s" * 32, user_id="ada", refresh_id="r" * 32, created_at=0, expires_at=1)
USER = UserRecord(
    user_id="ada",
    username="ada",
    email=None,
    full_name=None,
    role=Role.VIEWER,
    scopes=frozenset({"tokens:read", "health:read"}),
    disabled=False,
    plan="",
    created_at=0,
)
NOW = 1_700_000_000


def signer(at: int = NOW) -> TokenSigner:
    return TokenSigner(SECRET, clock=lambda: at * 1_000_000)


def forged(secret: bytes = SECRET, algorithm: str = "HS256", kid: str | None = None, **changes: Any) -> str:
    claims = {
        "sub": "ada",
        "jti": "j",
        "sid": "s",
        "iss": "vectrograph",
        "aud": "vectrograph",
        "iat": NOW,
        "exp": NOW + 60,
        "token_type": "access",
        "role": "viewer",
        "scopes": ["tokens:read"],
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid or signer()._key_id})


def test_an_access_token_says_who_in_which_session_for_fifteen_minutes() -> None:
    token = signer().access_token(SESSION, USER)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == ACCESS_SECONDS == 900
    assert claims.keys() == {"sub", "jti", "sid", "iss", "aud", "iat", "exp", "token_type", "role", "scopes"}
    assert (claims["role"], claims["scopes"]) == ("viewer", ["health:read", "tokens:read"])
    assert jwt.get_unverified_header(token)["kid"]
    verified = signer().verify(token, TokenType.ACCESS)
    assert (verified.user_id, verified.session_id) == ("ada", SESSION.session_id)
    assert verified.expires_at == (NOW + 900) * 1_000_000
    assert (verified.role, verified.scopes) == (Role.VIEWER, USER.scopes)
    assert signer().verify(signer().login_token(SESSION), TokenType.LOGIN).scopes is None


def test_two_tokens_of_one_second_differ() -> None:
    assert signer().access_token(SESSION, USER) != signer().access_token(SESSION, USER)


def test_a_token_expires_to_the_second() -> None:
    token = signer().access_token(SESSION, USER)
    signer(NOW + 899).verify(token, TokenType.ACCESS)
    with pytest.raises(TokenExpired):
        signer(NOW + 900).verify(token, TokenType.ACCESS)


def test_neither_type_of_token_passes_for_the_other() -> None:
    with pytest.raises(InvalidToken, match="type access"):
        signer().verify(signer().refresh_token(SESSION), TokenType.ACCESS)
    with pytest.raises(InvalidToken, match="type refresh"):
        signer().verify(signer().access_token(SESSION, USER), TokenType.REFRESH)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "a.b.c",
        "ü.ü.ü",
        "\ud800",
        forged(bytes(64)),
        forged(algorithm="HS512"),
        forged(kid="0" * 16),
        forged(iss="someone"),
        forged(aud="someone"),
        forged(jti=None),
        forged(sid=None),
        forged(exp=None),
        forged(token_type=None),
        forged(sub=7),
        forged(exp="soon"),
        forged(exp=True),
        forged(role=None),
        forged(role="emperor"),
        forged(role=["admin"]),
        forged(scopes=None),
        forged(scopes="tokens:read"),
        forged(scopes=[7]),
        jwt.encode({"sub": "ada"}, None, algorithm="none"),
    ],
)
def test_tokens_that_are_not_ours_are_refused(token: str) -> None:
    assert signer().verify(forged(), TokenType.ACCESS).user_id == "ada"
    with pytest.raises((InvalidToken, TokenExpired)):
        signer().verify(token, TokenType.ACCESS)


def test_no_error_or_repr_shows_token_or_secret() -> None:
    token = forged(bytes(64))
    with pytest.raises(InvalidToken) as caught:
        signer().verify(token, TokenType.ACCESS)
    assert token not in str(caught.value)
    assert token.split(".")[1] not in repr(caught.value)
    assert SECRET.hex() not in repr(signer())


def test_the_secret_is_made_once_private_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    token = TokenSigner.from_file(path, lambda: NOW * 1_000_000).access_token(SESSION, USER)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["signing.key"]
    again = TokenSigner.from_file(path, lambda: NOW * 1_000_000)
    assert again.verify(token, TokenType.ACCESS).user_id == "ada"
    other = TokenSigner.from_file(tmp_path / "other.key", lambda: NOW * 1_000_000)
    with pytest.raises(InvalidToken):
        other.verify(token, TokenType.ACCESS)


def test_who_comes_second_uses_the_first_ones_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "signing.key"
    gate = threading.Barrier(4)
    create = signing._create_secret

    def together(where: Path) -> None:
        gate.wait(20)
        create(where)

    monkeypatch.setattr(signing, "_create_secret", together)
    made: list[TokenSigner] = []
    threads = [threading.Thread(target=lambda: made.append(TokenSigner.from_file(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({repr(each) for each in made}) == 1
    assert os.listdir(tmp_path) == ["signing.key"]


@pytest.mark.parametrize("content", ["", "short", "z" * 64, "ab" * 40])
def test_a_file_without_a_secret_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "signing.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StartupError, match="contains no signing key") as caught:
        TokenSigner.from_file(path)
    assert not content or content not in str(caught.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    TokenSigner.from_file(path)
    path.chmod(0o640)
    with pytest.raises(StartupError, match="chmod 600"):
        TokenSigner.from_file(path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="No such file"):
        TokenSigner.from_file(tmp_path / "none" / "signing.key")
