"""Python client of the NeuroGraph REST API, synchronous and asynchronous.

>>> from neurograph import NeuroGraphClient
>>> client = NeuroGraphClient("http://localhost:8000", username="developer", password="developer123")
>>> client.close()
"""

from neurograph.async_client import AsyncNeuroGraphClient
from neurograph.bulk import BulkResult, FailedItem
from neurograph.client import NeuroGraphClient
from neurograph.exceptions import (
    AuthenticationError,
    AuthorizationError,
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    ConnectionError,
    InvalidResponseError,
    NeuroGraphError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    ServerError,
    TimeoutError,
    ValidationError,
)
from neurograph.filters import Field, Filter, each, field
from neurograph.models import (
    APIKey,
    APIKeyCreate,
    APIKeyCreated,
    DeletedTokens,
    HealthStatus,
    LoginResponse,
    SystemStatus,
    Token,
    TokenCreate,
    TokenPage,
    TokenQuery,
    TokenQueryResult,
    User,
)
from neurograph.unset import UNSET
from neurograph.version import __version__

__all__ = [
    "UNSET",
    "APIKey",
    "APIKeyCreate",
    "APIKeyCreated",
    "AsyncNeuroGraphClient",
    "AuthenticationError",
    "AuthorizationError",
    "BulkResult",
    "CircuitOpenError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionError",
    "DeletedTokens",
    "FailedItem",
    "Field",
    "Filter",
    "HealthStatus",
    "InvalidResponseError",
    "LoginResponse",
    "NeuroGraphClient",
    "NeuroGraphError",
    "NotFoundError",
    "PayloadTooLargeError",
    "RateLimitError",
    "ServerError",
    "SystemStatus",
    "TimeoutError",
    "Token",
    "TokenCreate",
    "TokenPage",
    "TokenQuery",
    "TokenQueryResult",
    "User",
    "ValidationError",
    "__version__",
    "each",
    "field",
]
