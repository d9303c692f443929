"""Results of the operations on accounts and of those that this project's server adds to Vectron's API: dataclasses.

Secrets stay out of every `repr`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vectron_client.models import Point, SearchResult, UserProfile


@dataclass(frozen=True)
class SearchPlan:
    """Explanation of how a search was answered.

    Attributes:
        strategy: what was done: an exact scan, a graph, either under a filter.
        index: the index that was used; empty for none.
        rows_scanned: points that were compared with the query.
        matches: points that match the filter; 0 when there is none or they were not counted.
        milliseconds: what it took in the engine.
    """

    strategy: str
    index: str
    rows_scanned: int
    matches: int
    milliseconds: float


@dataclass(frozen=True)
class ExplainedSearch:
    """Results of a search and how they were found.

    Attributes:
        results: closest first.
        complete: whether as many were found as there are matches, up to `top_k`.
        plan: how.
    """

    results: list[SearchResult]
    complete: bool
    plan: SearchPlan


@dataclass(frozen=True)
class ScrollPage:
    """A page of points.

    Attributes:
        points: in the order that was asked for; their vectors are empty unless asked for.
        cursor: what to pass for the next page; empty when there is nothing more.
    """

    points: list[Point]
    cursor: str


@dataclass(frozen=True)
class PointOutcome:
    """Outcome of a conditional upsert for one point.

    Attributes:
        id: of the point.
        status: `created`, `updated`, or `skipped` where the condition did not hold.
        version: of the point as it is stored now; rises with each change, 0 when there is none.
    """

    id: str
    status: str
    version: int


@dataclass(frozen=True)
class ChangedPoint:
    """A point as it is when an event about it is delivered, perhaps after later changes.

    Attributes:
        version: of the point now.
        payload: None when it was not asked for.
        text: None when it was not asked for, and when the point has none.
    """

    version: int
    payload: dict[str, Any] | None
    text: str | None


@dataclass(frozen=True)
class ChangeEvent:
    """A change of one point, from `watch`.

    Attributes:
        id: of the point.
        type: `created`, `updated` or `deleted`.
        version: number of the change, which rises in a collection, and version of the point that it left behind.
        time: of the change, with time zone.
        position: the place after this change; `watch(…, since=position)` goes on from there.
        matches: whether the point, as it is now, matches the filter; None without a filter, and for deletions.
        point: the point as it is now; None when neither payload nor text was asked for, and when it is gone.
    """

    id: str
    type: str
    version: int
    time: datetime
    position: str
    matches: bool | None
    point: ChangedPoint | None


@dataclass(frozen=True)
class CollectionInfo:
    """A collection in numbers.

    Attributes:
        name: its name.
        dimension: components of each vector.
        distance: `cosine`, `euclidean` or `dot`.
        count: how many points it has.
        indexed: how many of them the index covers; the others are searched exactly.
        bytes_on_disk: what it takes there.
        state: `creating`, `ready`, `dropping` or `quarantined`.
        created_at: when it came to be, in UTC.
        quantization: how its index stores a component: `int8`, `float16` or `float32`; empty where the server does not
            tell.
    """

    name: str
    dimension: int
    distance: str
    count: int
    indexed: int
    bytes_on_disk: int
    state: str
    created_at: datetime
    quantization: str = ""


@dataclass(frozen=True)
class ServerLimits:
    """The largest things a server takes.

    Attributes:
        max_message_bytes: one request.
        max_batch: points or query vectors in one request.
        max_top_k: results of one query.
        default_top_k: results where `top_k` is 0.
        max_hits: results of one request, queries times `top_k`.
        max_dimension: components of a vector.
        max_text_bytes: one text, as UTF-8.
        max_payload_bytes: one payload, as compact JSON.
        max_name_bytes: name of a collection, as UTF-8.
        max_page: points of one page.
        max_id_bytes: id of a point, as UTF-8.
        max_filter_conditions: conditions of one filter.
        max_filter_paths: distinct paths in one filter.
        max_filter_work: tests of one filter, points times conditions and paths, more for long texts.
        max_collections: collections of the server, those named `tokens` not counted.
        max_tenant_collections: collections of one tenant, `tokens` not counted.
    """

    max_message_bytes: int
    max_batch: int
    max_top_k: int
    default_top_k: int
    max_hits: int
    max_dimension: int
    max_text_bytes: int
    max_payload_bytes: int
    max_name_bytes: int
    max_page: int
    max_id_bytes: int
    max_filter_conditions: int
    max_filter_paths: int
    max_filter_work: int
    max_collections: int
    max_tenant_collections: int


@dataclass(frozen=True)
class Login:
    """A login that held.

    Attributes:
        token: a JWT, which a client takes as its `api_key`.
        user: the account.
    """

    token: str = field(repr=False)
    user: UserProfile


@dataclass(frozen=True)
class AccessToken:
    """A new JWT in exchange for one that still holds.

    Attributes:
        token: the JWT, which a client takes as its `api_key`.
        expires_at: until when it holds, in UTC.
    """

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class APIKey:
    """An API key without its secret.

    Attributes:
        key_prefix: its first characters, which name it.
        user_id: whose it is.
        created_at: when it came to be, in UTC.
        name: what it was called.
    """

    key_prefix: str
    user_id: str
    created_at: datetime
    name: str


@dataclass(frozen=True)
class CreatedAPIKey:
    """A new API key.

    Attributes:
        api_key: the key itself, which a client takes as its `api_key`; no later call shows it again.
        info: the rest.
    """

    api_key: str = field(repr=False)
    info: APIKey


@dataclass(frozen=True)
class KeyOwner:
    """Owner of an API key.

    Attributes:
        user_id: the account.
        plan: of the account, `FREE` or `PAID`; empty when the server does not say.
        key_prefix: the key's first characters, which name it.
    """

    user_id: str
    plan: str
    key_prefix: str
