"""Roles, scopes, and the scopes of each role."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Scope(StrEnum):
    """One permission, `subject:action`: NeuroGraph's strings, plus `collections:*` for what Vectron clients make."""

    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    TOKENS_DELETE = "tokens:delete"
    COLLECTIONS_READ = "collections:read"
    COLLECTIONS_WRITE = "collections:write"
    COLLECTIONS_DELETE = "collections:delete"
    CONNECTIONS_READ = "connections:read"
    CONNECTIONS_WRITE = "connections:write"
    CONNECTIONS_DELETE = "connections:delete"
    GRID_READ = "grid:read"
    GRID_WRITE = "grid:write"
    CDNA_READ = "cdna:read"
    CDNA_WRITE = "cdna:write"
    METRICS_READ = "metrics:read"
    HEALTH_READ = "health:read"
    STATUS_READ = "status:read"
    API_KEYS_READ = "api_keys:read"
    API_KEYS_WRITE = "api_keys:write"
    API_KEYS_DELETE = "api_keys:delete"
    CONFIG_ADMIN = "config:admin"
    BOOTSTRAP_ADMIN = "bootstrap:admin"
    LOGS_ADMIN = "logs:admin"
    USERS_ADMIN = "users:admin"


class Role(StrEnum):
    """Role of an account. `bot` is a caller that holds an API key instead of a password."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"
    BOT = "bot"


ALL_SCOPES: Final[frozenset[str]] = frozenset(scope.value for scope in Scope)

_WATCHING: Final = frozenset({"metrics:read", "health:read", "status:read"})

ROLE_SCOPES: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        Role.ADMIN: ALL_SCOPES,
        Role.DEVELOPER: frozenset(
            f"{subject}:{action}"
            for subject in ("tokens", "collections", "connections", "api_keys")
            for action in ("read", "write", "delete")
        )
        | {"grid:read", "grid:write", "cdna:read", "cdna:write"}
        | _WATCHING,
        Role.VIEWER: frozenset(
            {"tokens:read", "collections:read", "connections:read", "grid:read", "cdna:read"} | _WATCHING
        ),
        Role.BOT: frozenset({"tokens:write", "health:read", "status:read"}),
    }
)


def without_keys_and_administration(scopes: frozenset[str]) -> frozenset[str]:
    """Return the scopes of an API key whose creator names none: everything but managing keys and administration.

    >>> sorted(without_keys_and_administration(frozenset({"tokens:read", "api_keys:write", "users:admin"})))
    ['tokens:read']
    """
    return frozenset(s for s in scopes if not s.startswith("api_keys:") and not s.endswith(":admin"))
