"""Channels: their names, and what a caller needs to read them."""

from collections.abc import Sequence
from typing import Final

import msgspec

from vectrograph.domain.access import Scope
from vectrograph.domain.collections import DEFAULT_TENANT, TOKENS_COLLECTION, CollectionRef
from vectrograph.domain.errors import InvalidArgument, PermissionDenied, clipped
from vectrograph.services.call import Call, Principal

TOKENS: Final = TOKENS_COLLECTION
COLLECTIONS: Final = "collections"
METRICS: Final = "metrics"
STATUS: Final = "status"
SIGNALS: Final = "signals"
ACTIONS: Final = "actions"
LOGS: Final = "logs"
CONNECTIONS: Final = "connections"
PREFIX: Final = "collection:"
"""Begins the name of the channel of a collection."""
MAX_CHANNELS: Final = 64
"""Channels of one stream. Chosen: a position names each of the log channels and must fit into a header."""
ANONYMOUS: Final = frozenset({METRICS, STATUS})
"""Channels that need no credentials in development mode, over a transport that allows it."""
_BUS: Final = frozenset({COLLECTIONS, METRICS, STATUS, SIGNALS, ACTIONS, LOGS, CONNECTIONS})
_SCOPES: Final = {
    METRICS: Scope.METRICS_READ,
    STATUS: Scope.STATUS_READ,
    SIGNALS: Scope.TOKENS_WRITE,
    ACTIONS: Scope.CONNECTIONS_WRITE,
    LOGS: Scope.LOGS_ADMIN,
    CONNECTIONS: Scope.CONFIG_ADMIN,
}
# Characters of a channel's name that an error repeats.
_SHOWN: Final = 300


def parse_names(names: Sequence[str], field: str = "channels") -> tuple[str, ...]:
    """Return the names of channels, each once.

    Raises:
        InvalidArgument: one is no channel, or there are too many.

    >>> parse_names(["tokens", "collection:docs", "tokens"])
    ('tokens', 'collection:docs')
    """
    if len(names) > MAX_CHANNELS:
        raise InvalidArgument.of(field, f"has {len(names)} channels and {MAX_CHANNELS} is the limit", "too_long")
    for name in names:
        if name == PREFIX + TOKENS_COLLECTION:
            raise InvalidArgument.of(field, f"{name!r} is the channel {TOKENS!r}; use that name", "enum")
        if name not in _BUS and name != TOKENS and not (name.startswith(PREFIX) and len(name) > len(PREFIX)):
            raise InvalidArgument.of(
                field,
                f"{clipped(name, _SHOWN)!r} is no channel; there are {TOKENS}, {PREFIX}NAME, {', '.join(sorted(_BUS))}",
                "enum",
            )
    return tuple(dict.fromkeys(names))


def split_names(text: str, field: str = "channels") -> list[str]:
    """Return the names in a text: separated by commas, or a JSON list where a name has a comma.

    Raises:
        InvalidArgument: it begins as a JSON list and is none of texts.

    >>> split_names("tokens, collection:docs"), split_names('["collection:a,b"]'), split_names("")
    (['tokens', 'collection:docs'], ['collection:a,b'], [])
    """
    if not text.startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidArgument.of(field, "is no JSON list of texts; separate names by commas", "json_invalid") from error


def collection_of(channel: str) -> str | None:
    """Return the name of the collection whose log a channel is; None for a channel of the bus.

    >>> collection_of("tokens"), collection_of("collection:docs"), collection_of("metrics")
    ('tokens', 'docs', None)
    """
    if channel == TOKENS:
        return TOKENS_COLLECTION
    return channel.removeprefix(PREFIX) if channel.startswith(PREFIX) else None


def channel_of(collection: str) -> str:
    """Return the name of the channel of a collection.

    >>> channel_of("tokens"), channel_of("docs")
    ('tokens', 'collection:docs')
    """
    return TOKENS if collection == TOKENS_COLLECTION else PREFIX + collection


def require_channel(call: Call, channel: str) -> CollectionRef | None:
    """Go on only when the caller may read a channel; returns the collection of a log channel.

    Raises:
        PermissionDenied: a scope is missing, or the tenant or the key is one that may not.
    """
    name = collection_of(channel)
    if name is not None:
        return call.require_collection(name, "read")
    if channel == COLLECTIONS and Scope.TOKENS_READ not in call.principal.scopes:
        call.require(Scope.COLLECTIONS_READ)
    scope = _SCOPES.get(channel)
    if scope is not None and scope not in call.principal.scopes:
        raise PermissionDenied(
            f"The channel {channel} needs the scope {scope.value}; use credentials with this scope.",
            details={"channel": channel, "required_scope": scope.value},
        )
    if channel == SIGNALS:
        call.require_reach(TOKENS_COLLECTION)
    if channel == LOGS and call.principal.tenant != DEFAULT_TENANT:
        raise PermissionDenied(
            f"The channel {channel} is for administrators of the tenant {DEFAULT_TENANT}: log lines are about all "
            "tenants.",
            details={"channel": channel},
        )
    return None


def may_see(principal: Principal, collection: str) -> bool:
    """Return whether a caller may read a collection of its tenant."""
    scope = Scope.TOKENS_READ if collection == TOKENS_COLLECTION else Scope.COLLECTIONS_READ
    return scope in principal.scopes and (principal.collections is None or collection in principal.collections)
