"""One route as data: everything that serving it and describing it have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from vectrograph.domain.access import Scope
from vectrograph.domain.errors import DomainError
from vectrograph.http.context import Context, Lines, Page, Streamed
from vectrograph.services.call import Action


class Access(StrEnum):
    """Access without a scope: for anyone, or for anyone with valid credentials."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"


class Workload(StrEnum):
    """Kind of threads that a handler runs in.

    inline: on the event loop, for what neither computes nor waits. probing: in a thread kept for probes, which answer
    however busy the others are, and count towards no limit. threaded: in a worker thread. writing: in one of as many
    others, so that those who wait for the disk never hold up those who search. hashing: in one of very few, because a
    password hash takes tens of milliseconds and megabytes.
    """

    INLINE = "inline"
    PROBING = "probing"
    THREADED = "threaded"
    WRITING = "writing"
    HASHING = "hashing"


_CHANGES: Final = ("write", "delete")
_CHANGING: Final = (":write", ":delete")

Answer: TypeAlias = msgspec.Struct | Page | Lines | Streamed | None
Handler: TypeAlias = Callable[[Context, Any], Answer]
"""Synchronous. The second argument is the decoded body, else the decoded query string, else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path.

    Attributes:
        method: upper case; GET also answers HEAD.
        path: with `{name}` for each part that varies.
        handler: what it does.
        summary: one line for the documentation.
        description: what the summary leaves out.
        tag: the resource it belongs to.
        access: the scope that is needed, or who may call without one.
        body: struct of the request body, None for no body.
        frame: struct of the document where the body can also be a vector frame.
        vectors: whether the answer has vectors, so that it can also be a vector frame, or frames.
        body_required: False lets the body be absent; the handler then receives the struct's defaults.
        query: struct of the query string.
        answer: struct of the answer; None means 204, or `media_type` when that is not JSON.
        status: of the answer.
        media_type: of the answer.
        raises: errors of its own, besides those that every route has.
        idempotent_by_key: whether the header Idempotency-Key is heeded.
        line: struct of one line where the answer can be, or always is (when `answer` is None), NDJSON.
        events: structs of the data of each kind of event, where the answer is a stream of them.
        workload: where the handler runs.
        takes_ticket: whether `?ticket=` may stand for credentials, as for web pages that can send no header.
        opens: whether the path has WebSockets, and nothing for a plain request, which is answered 426.
        reach: what the caller must be allowed to do in the collection that the first part of the path names.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    access: Scope | Access
    description: str = ""
    body: type[msgspec.Struct] | None = None
    frame: type[msgspec.Struct] | None = None
    vectors: bool = False
    body_required: bool = True
    query: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None
    status: int = 200
    media_type: str = "application/json"
    raises: tuple[type[DomainError], ...] = ()
    idempotent_by_key: bool = False
    line: type[msgspec.Struct] | None = None
    events: tuple[type[msgspec.Struct], ...] = ()
    workload: Workload = Workload.THREADED
    takes_ticket: bool = False
    opens: bool = False
    reach: Action | None = None

    @property
    def public(self) -> bool:
        """Return whether no credentials are looked at."""
        return self.access is Access.PUBLIC

    @property
    def scope(self) -> Scope | None:
        """The scope that is needed, if one is."""
        return self.access if isinstance(self.access, Scope) else None

    @property
    def pool(self) -> Workload:
        """Threads that it runs in: those of `workload`, but the writing ones for changes of stored data.

        >>> from vectrograph.rest.routes import OPERATIONS
        >>> sorted(o.pool.value for o in OPERATIONS if o.path == "/api/v1/tokens")
        ['threaded', 'writing']
        """
        changes = self.reach in _CHANGES or str(self.scope).endswith(_CHANGING)
        return Workload.WRITING if changes and self.workload is Workload.THREADED else self.workload

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """Names of the parts of the path that vary.

        >>> from vectrograph.rest.routes import OPERATIONS
        >>> next(o for o in OPERATIONS if o.method == "PUT").path_parameters
        ('token_id',)
        """
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))
