"""Python client of the NeuroGraph REST API, synchronous and asynchronous.

>>> from neurograph import NeuroGraphClient
>>> client = NeuroGraphClient("http://localhost:8000", username="developer", password="developer123")
>>> client.close()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurograph._version import __version__

if TYPE_CHECKING:
    from neurograph._arguments import UNSET
    from neurograph._bulk.results import BulkResult, FailedItem
    from neurograph._log_setup import enable_debug_logging, get_logger, setup_logging
    from neurograph._resources.async_event_stream import AsyncEventStream
    from neurograph._resources.event_stream import EventStream
    from neurograph._retry_decorators import RetryConfig, async_retry_with_backoff, retry_with_backoff
    from neurograph.async_client import AsyncNeuroGraphClient
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
        PositionExpiredError,
        RateLimitError,
        ServerError,
        TimeoutError,
        ValidationError,
    )
    from neurograph.filters import Field, Filter, each, everything, field
    from neurograph.models import (
        APIKey,
        APIKeyCreate,
        APIKeyCreated,
        CDNAConfig,
        CDNAExport,
        CDNAHistory,
        CDNAHistoryEntry,
        CDNAMetrics,
        CDNAProfile,
        CDNAProfiles,
        CDNAQuarantine,
        CDNAState,
        CDNAStatus,
        CDNASwitch,
        CDNAUpdate,
        CDNAValidation,
        DeletedTokens,
        Event,
        EventTicket,
        GridCell,
        GridQuery,
        GridQueryResult,
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

# Modules that define the public names. They are imported at first use, so that a program that needs an exception or
# only the version does not wait for pydantic.
_MODULES = {
    "APIKey": "neurograph.models",
    "APIKeyCreate": "neurograph.models",
    "APIKeyCreated": "neurograph.models",
    "AsyncEventStream": "neurograph._resources.async_event_stream",
    "AsyncNeuroGraphClient": "neurograph.async_client",
    "AuthenticationError": "neurograph.exceptions",
    "AuthorizationError": "neurograph.exceptions",
    "BulkResult": "neurograph._bulk.results",
    "CDNAState": "neurograph.models",
    "CDNAConfig": "neurograph.models",
    "CDNAExport": "neurograph.models",
    "CDNAHistory": "neurograph.models",
    "CDNAHistoryEntry": "neurograph.models",
    "CDNAMetrics": "neurograph.models",
    "CDNAProfile": "neurograph.models",
    "CDNAProfiles": "neurograph.models",
    "CDNAQuarantine": "neurograph.models",
    "CDNAStatus": "neurograph.models",
    "CDNASwitch": "neurograph.models",
    "CDNAUpdate": "neurograph.models",
    "CDNAValidation": "neurograph.models",
    "CircuitOpenError": "neurograph.exceptions",
    "ClientClosedError": "neurograph.exceptions",
    "ConfigurationError": "neurograph.exceptions",
    "ConflictError": "neurograph.exceptions",
    "ConnectionError": "neurograph.exceptions",
    "DeletedTokens": "neurograph.models",
    "Event": "neurograph.models",
    "EventStream": "neurograph._resources.event_stream",
    "EventTicket": "neurograph.models",
    "FailedItem": "neurograph._bulk.results",
    "Field": "neurograph.filters",
    "Filter": "neurograph.filters",
    "GridCell": "neurograph.models",
    "GridQuery": "neurograph.models",
    "GridQueryResult": "neurograph.models",
    "HealthStatus": "neurograph.models",
    "InvalidResponseError": "neurograph.exceptions",
    "LoginResponse": "neurograph.models",
    "NeuroGraphClient": "neurograph.client",
    "NeuroGraphError": "neurograph.exceptions",
    "NotFoundError": "neurograph.exceptions",
    "PayloadTooLargeError": "neurograph.exceptions",
    "PositionExpiredError": "neurograph.exceptions",
    "RateLimitError": "neurograph.exceptions",
    "RetryConfig": "neurograph._retry_decorators",
    "ServerError": "neurograph.exceptions",
    "SystemStatus": "neurograph.models",
    "TimeoutError": "neurograph.exceptions",
    "Token": "neurograph.models",
    "TokenCreate": "neurograph.models",
    "TokenPage": "neurograph.models",
    "TokenQuery": "neurograph.models",
    "TokenQueryResult": "neurograph.models",
    "UNSET": "neurograph._arguments",
    "User": "neurograph.models",
    "ValidationError": "neurograph.exceptions",
    "async_retry_with_backoff": "neurograph._retry_decorators",
    "each": "neurograph.filters",
    "enable_debug_logging": "neurograph._log_setup",
    "everything": "neurograph.filters",
    "field": "neurograph.filters",
    "get_logger": "neurograph._log_setup",
    "retry_with_backoff": "neurograph._retry_decorators",
    "setup_logging": "neurograph._log_setup",
}

__all__ = [
    "UNSET",
    "APIKey",
    "APIKeyCreate",
    "APIKeyCreated",
    "AsyncEventStream",
    "AsyncNeuroGraphClient",
    "AuthenticationError",
    "AuthorizationError",
    "BulkResult",
    "CDNAConfig",
    "CDNAExport",
    "CDNAHistory",
    "CDNAHistoryEntry",
    "CDNAMetrics",
    "CDNAProfile",
    "CDNAProfiles",
    "CDNAQuarantine",
    "CDNAState",
    "CDNAStatus",
    "CDNASwitch",
    "CDNAUpdate",
    "CDNAValidation",
    "CircuitOpenError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionError",
    "DeletedTokens",
    "Event",
    "EventStream",
    "EventTicket",
    "FailedItem",
    "Field",
    "Filter",
    "GridCell",
    "GridQuery",
    "GridQueryResult",
    "HealthStatus",
    "InvalidResponseError",
    "LoginResponse",
    "NeuroGraphClient",
    "NeuroGraphError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PositionExpiredError",
    "RateLimitError",
    "RetryConfig",
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
    "async_retry_with_backoff",
    "each",
    "enable_debug_logging",
    "everything",
    "field",
    "get_logger",
    "retry_with_backoff",
    "setup_logging",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
