"""Python client for the Vectron gRPC API, synchronous and asynchronous.

from vectron_client import Point, VectronClient

with VectronClient("localhost:8081", api_key="YOUR_API_KEY") as client:
    client.create_collection("docs", dimension=4, distance="cosine")
    client.upsert("docs", [Point("vec1", [0.1, 0.2, 0.3, 0.4], {"title": "first"})])
    for result in client.search("docs", [0.1, 0.2, 0.3, 0.4], top_k=1):
        print(result.id, result.score)  # a distance: lower is closer
"""

from typing import Any

from vectron_client._async_auth_client import AsyncVectronAuthClient
from vectron_client._async_client import AsyncVectronClient
from vectron_client._async_pool import AsyncVectronClientPool
from vectron_client._async_watch import AsyncWatch
from vectron_client._auth_client import VectronAuthClient
from vectron_client._client import VectronClient
from vectron_client._options import ClientOptions
from vectron_client._pool import VectronClientPool
from vectron_client._protocol.hits import SearchHits
from vectron_client._results import (
    AccessToken,
    APIKey,
    ChangedPoint,
    ChangeEvent,
    CollectionInfo,
    CreatedAPIKey,
    ExplainedSearch,
    KeyOwner,
    Login,
    PointOutcome,
    ScrollPage,
    SearchPlan,
    ServerLimits,
)
from vectron_client._watch import Watch
from vectron_client.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalServerError,
    InvalidArgumentError,
    MessageTooLargeError,
    NotFoundError,
    PermissionDeniedError,
    PositionExpiredError,
    RateLimitError,
    UnavailableError,
    VectronError,
)
from vectron_client.filters import Field, Filter, each, everything, field
from vectron_client.models import CollectionStatus, FeedbackItem, Point, SearchResult, ShardStatus, UserProfile

__version__ = "0.60.0.dev0"

__all__ = [
    "APIKey",
    "AccessToken",
    "AlreadyExistsError",
    "AsyncVectronAuthClient",
    "AsyncVectronClient",
    "AsyncVectronClientPool",
    "AsyncWatch",
    "AuthenticationError",
    "ChangeEvent",
    "ChangedPoint",
    "ClientOptions",
    "CollectionInfo",
    "CollectionStatus",
    "CreatedAPIKey",
    "DeadlineExceededError",
    "ExplainedSearch",
    "FailedPreconditionError",
    "FeedbackItem",
    "Field",
    "Filter",
    "InternalServerError",
    "InvalidArgumentError",
    "KeyOwner",
    "Login",
    "MessageTooLargeError",
    "NotFoundError",
    "PermissionDeniedError",
    "Point",
    "PointOutcome",
    "PositionExpiredError",
    "RateLimitError",
    "ScrollPage",
    "SearchHits",
    "SearchPlan",
    "SearchResult",
    "ServerLimits",
    "ShardStatus",
    "UnavailableError",
    "UserProfile",
    "VectronAuthClient",
    "VectronClient",
    "VectronClientPool",
    "VectronError",
    "Watch",
    "each",
    "everything",
    "field",
]

# What users import from here says so in reprs, tracebacks and pickles, wherever it is defined.
for _name in __all__:
    _found: Any = globals()[_name]
    if "._" in _found.__module__:
        _found.__module__ = __name__
