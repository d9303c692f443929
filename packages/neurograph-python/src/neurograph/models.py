"""What goes to the server and what comes back, as pydantic models.

Fields that a server adds are kept and readable as attributes. A model's repr never shows a secret.
"""

from neurograph.server_models import (
    APIKey,
    APIKeyCreate,
    APIKeyCreated,
    HealthStatus,
    LoginResponse,
    ServerLimits,
    SystemStatus,
    User,
)
from neurograph.token_models import (
    DeletedTokens,
    Token,
    TokenCreate,
    TokenPage,
    TokenQuery,
    TokenQueryResult,
)

__all__ = [
    "APIKey",
    "APIKeyCreate",
    "APIKeyCreated",
    "DeletedTokens",
    "HealthStatus",
    "LoginResponse",
    "ServerLimits",
    "SystemStatus",
    "Token",
    "TokenCreate",
    "TokenPage",
    "TokenQuery",
    "TokenQueryResult",
    "User",
]
