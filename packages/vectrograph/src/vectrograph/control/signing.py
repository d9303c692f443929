"""The signing secret, in a file of its own, and the JSON Web Tokens signed with it."""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import jwt

from vectrograph.control.clock import SECOND, Clock, now
from vectrograph.control.records import ApiKeyRecord, SessionRecord, UserRecord
from vectrograph.domain.access import Role
from vectrograph.domain.errors import InvalidToken, StartupError, TokenExpired

# Life of a NeuroGraph access token, as the official API has it.
ACCESS_SECONDS: Final = 15 * 60
# Life of a NeuroGraph refresh token, as the official API has it.
REFRESH_SECONDS: Final = 7 * 24 * 3600
# Life of a Vectron login token, as the official API has it.
LOGIN_SECONDS: Final = 24 * 3600
# Life of a Vectron SDK token, as the official API has it.
SDK_SECONDS: Final = 7 * 24 * 3600

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "vectrograph"
_AUDIENCE: Final = "vectrograph"
# Bytes of the signing secret. RFC 7518 asks for at least 32 with HS256.
_SECRET_BYTES: Final = 32
_WRITTEN: Final = re.compile(r"[0-9a-f]{64}(\n[0-9a-f]{64})?\n?")
_ROLES: Final = tuple(role.value for role in Role)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_REQUIRED: Final = ["sub", "jti", "sid", "iss", "aud", "iat", "exp", "token_type"]


class TokenType(StrEnum):
    """access: presented with every request. refresh: exchanged, once, for a new pair.

    login: what a Vectron login gives; presented with every request, for 24 hours. sdk: stands for an API key, 7 days.
    """

    ACCESS = "access"
    REFRESH = "refresh"
    LOGIN = "login"
    SDK = "sdk"


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of a verified token; its session may be over. `expires_at` is microseconds.

    For a token of type sdk, `session_id` is the key's id and prefix with a dot between. An access token has the role
    and the scopes that its account had when it was made, which is the most that it may do; the others leave that to
    the account or the key (None).
    """

    user_id: str
    token_id: str
    session_id: str
    token_type: TokenType
    expires_at: int
    role: Role | None = None
    scopes: frozenset[str] | None = None


class TokenSigner:
    """Issues tokens with one secret, and verifies those of the secret before it too, until they are over.

    The algorithm is fixed; a token cannot choose it.
    """

    def __init__(self, secret: bytes, clock: Clock = now, *, previous: bytes | None = None) -> None:
        self._secret = secret
        self._key_id = _key_id(secret)
        self._secrets = {self._key_id: secret}
        if previous is not None:
            self._secrets.setdefault(_key_id(previous), previous)
        self._clock = clock

    @classmethod
    def from_file(cls, path: Path, clock: Clock = now) -> Self:
        """Return a signer with the secret in `path`, made at the first start: random, mode 0600, on disk before it is
        used.

        Raises:
            StartupError: the file cannot be read or made, others may read it, or it holds no secret.
        """
        try:
            if not path.exists():
                _create_secret(path)
            current, *older = _read_secrets(path)
            return cls(current, clock, previous=older[0] if older else None)
        except OSError as error:
            raise StartupError(f"Cannot use the signing key {path}: {error.strerror}.") from error

    def access_token(self, session: SessionRecord, user: UserRecord) -> str:
        """Return a token of a session, for 15 minutes, with the role and the scopes that its account has now."""
        rights = {"role": user.role.value, "scopes": sorted(user.scopes)}
        return self._sign(session, TokenType.ACCESS, secrets.token_hex(16), ACCESS_SECONDS, rights)

    def refresh_token(self, session: SessionRecord) -> str:
        """Return the one refresh token of a session that is due, for 7 days."""
        return self._sign(session, TokenType.REFRESH, session.refresh_id, REFRESH_SECONDS)

    def login_token(self, session: SessionRecord) -> str:
        """Return a token of a session, for 24 hours."""
        return self._sign(session, TokenType.LOGIN, secrets.token_hex(16), LOGIN_SECONDS)

    def sdk_token(self, key: ApiKeyRecord) -> str:
        """Return a token that stands for an API key, for 7 days."""
        return self._sign_for(
            key.owner, f"{key.key_id}.{key.key_prefix}", TokenType.SDK, secrets.token_hex(16), SDK_SECONDS
        )

    def keys_for(self, purpose: str) -> tuple[bytes, ...]:
        """Return keys that sign something else than tokens: the one in force, then that of the secret before it."""
        return tuple(hashlib.blake2b(purpose.encode(), key=secret).digest() for secret in self._secrets.values())

    def verify(self, token: str, *expected: TokenType) -> Claims:
        """Return the claims of a token of this server.

        Raises:
            TokenExpired: its time is over.
            InvalidToken: it is malformed, not signed by us, or of a type that is not expected.
        """
        claims = self._verified(token)
        kind = next((kind for kind in expected if claims["token_type"] == kind.value), None)
        if kind is None:
            raise InvalidToken(f"This token is not of type {expected[0].value}; send the {expected[0].value} token.")
        expires_at = claims["exp"]
        if not isinstance(expires_at, int):
            raise InvalidToken("The token is malformed; log in again.")
        if expires_at * SECOND <= self._clock():
            raise TokenExpired("The token has expired; refresh it or log in again.")
        role, scopes = _rights(claims) if kind is TokenType.ACCESS else (None, None)
        return Claims(
            role=role,
            scopes=scopes,
            user_id=str(claims["sub"]),
            token_id=str(claims["jti"]),
            session_id=str(claims["sid"]),
            token_type=kind,
            expires_at=expires_at * SECOND,
        )

    def _sign(
        self, session: SessionRecord, kind: TokenType, token_id: str, seconds: int, more: Mapping[str, Any] = _NOTHING
    ) -> str:
        return self._sign_for(session.user_id, session.session_id, kind, token_id, seconds, more)

    def _sign_for(
        self,
        user_id: str,
        session_id: str,
        kind: TokenType,
        token_id: str,
        seconds: int,
        more: Mapping[str, Any] = _NOTHING,
    ) -> str:
        issued = self._clock() // SECOND
        claims = {
            "sub": user_id,
            "jti": token_id,
            "sid": session_id,
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "iat": issued,
            "exp": issued + seconds,
            "token_type": kind.value,
            **more,
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM, headers={"kid": self._key_id})

    def _verified(self, token: str) -> Mapping[str, Any]:
        try:
            key_id = str(jwt.get_unverified_header(token).get("kid"))
            secret = self._secrets.get(key_id)
            if secret is None:
                raise InvalidToken("The token was signed with another key; log in again.")
            claims: Mapping[str, Any] = jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                # Times are compared with this signer's own clock.
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.InvalidTokenError, UnicodeError, ValueError) as error:
            raise InvalidToken("The token is not valid; log in again.") from error
        return claims

    def __repr__(self) -> str:
        return f"TokenSigner(kid={self._key_id!r})"


def _rights(claims: Mapping[str, Any]) -> tuple[Role, frozenset[str]]:
    role, scopes = claims.get("role"), claims.get("scopes")
    if role not in _ROLES or not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise InvalidToken("The token has no purpose; log in again.")
    return Role(role), frozenset(scopes)


def rotate_secret(path: Path) -> None:
    """Put a new secret before the one in `path`, which verifies on; the one before that is dropped.

    A server reads the file at its start. Rotating twice ends every token at once.

    Raises:
        StartupError: the file cannot be read or written.
    """
    try:
        current = _read_secrets(path)[0]
        aside = _write_aside(path, f"{secrets.token_hex(_SECRET_BYTES)}\n{current.hex()}\n")
        aside.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise StartupError(f"Cannot rotate the signing key {path}: {error.strerror}.") from error


def _key_id(secret: bytes) -> str:
    return hashlib.sha256(b"kid:" + secret).hexdigest()[:16]


def _write_aside(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return aside


def _create_secret(path: Path) -> None:
    """Write aside, then link: who comes second uses the first one's secret, and a crash leaves no half-written one."""
    aside = _write_aside(path, secrets.token_hex(_SECRET_BYTES) + "\n")
    try:
        try:
            os.link(aside, path)
        except FileExistsError:
            return
    finally:
        aside.unlink()
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_secrets(path: Path) -> list[bytes]:
    """Return the secret in force and, after a rotation, the one before it."""
    with path.open(encoding="ascii", errors="replace") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        written = file.read(_SECRET_BYTES * 4 + 3)
    if os.name == "posix" and mode & 0o077:
        raise StartupError(f"Other users can read the signing key {path}; run: chmod 600 {path}")
    if not _WRITTEN.fullmatch(written):
        raise StartupError(f"{path} contains no signing key; restore it, or delete it, which logs all users out.")
    return [bytes.fromhex(line) for line in written.split()]
