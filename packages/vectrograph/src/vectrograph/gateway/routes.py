"""The table of the gateway's routes: those of VectronService, of AuthService, and of our own service."""

from functools import partial
from typing import Final

from vectrograph.domain import errors
from vectrograph.gateway.handlers import handler_of
from vectrograph.gateway.vectors import FRAMES
from vectrograph.http.operation import Access, Operation, Workload
from vectrograph.vectron.procedures import ACCOUNTS, EXTENSIONS, PROCEDURES, VECTRON

_TAGS: Final = {VECTRON: "vectron", ACCOUNTS: "vectron-accounts", EXTENSIONS: "vectrograph"}
_POINTS: Final = "/v1/collections/{collection}/points"
_DENIED: Final = (errors.PermissionDenied,)
_MISSING: Final = (errors.CollectionNotFound, errors.PermissionDenied)


def _route(
    service: str,
    method: str,
    path: str,
    name: str,
    summary: str,
    *raises: type[errors.DomainError],
    workload: Workload = Workload.THREADED,
) -> Operation:
    """Return the operation of a procedure. Fields that the path does not name come in the body or the query."""
    procedure = PROCEDURES[f"{service}/{name}"]
    request = procedure.request
    sent = [field for field in request.__struct_fields__ if f"{{{field}}}" not in path]
    body = request if method in ("POST", "PUT") else None
    return Operation(
        method=method,
        path=path,
        handler=handler_of(procedure),
        summary=summary,
        tag=_TAGS[service],
        access=Access.PUBLIC if procedure.public else procedure.scope or Access.AUTHENTICATED,
        body=body,
        frame=FRAMES.get(request) if body else None,
        body_required=False,
        query=request if method == "GET" and sent else None,
        answer=procedure.response,
        raises=raises,
        idempotent_by_key=procedure.repeatable,
        workload=workload,
        reach=procedure.action,
    )


_vectron, _account, _extension = partial(_route, VECTRON), partial(_route, ACCOUNTS), partial(_route, EXTENSIONS)

GATEWAY_OPERATIONS: Final = (
    _vectron(
        "POST",
        "/v1/collections",
        "CreateCollection",
        "Create a collection",
        errors.AlreadyExists,
        errors.PermissionDenied,
    ),
    _vectron("GET", "/v1/collections", "ListCollections", "List collections", *_DENIED),
    _vectron("DELETE", "/v1/collections/{name}", "DeleteCollection", "Delete a collection", *_MISSING),
    _vectron(
        "GET", "/v1/collections/{name}/status", "GetCollectionStatus", "Get dimension, distance and shards", *_MISSING
    ),
    _vectron("POST", _POINTS, "Upsert", "Store points", *_MISSING),
    _vectron("POST", f"{_POINTS}/search", "Search", "Find the nearest points", *_MISSING),
    _vectron("GET", f"{_POINTS}/{{id}}", "Get", "Get a point", *_MISSING),
    _vectron("DELETE", f"{_POINTS}/{{id}}", "Delete", "Delete a point", *_MISSING),
    _vectron("POST", "/v1/feedback", "SubmitFeedback", "Submit feedback on search results", *_MISSING),
    _account(
        "POST",
        "/v1/users/register",
        "RegisterUser",
        "Create an account",
        errors.AlreadyExists,
        errors.PermissionDenied,
        workload=Workload.HASHING,
    ),
    _account(
        "POST",
        "/v1/users/login",
        "Login",
        "Log in with email and password",
        errors.InvalidCredentials,
        errors.PermissionDenied,
        workload=Workload.HASHING,
    ),
    _account("GET", "/v1/user/profile", "GetUserProfile", "Get the caller's account"),
    _account("PUT", "/v1/user/profile", "UpdateUserProfile", "Change the caller's plan", *_DENIED),
    _account(
        "POST",
        "/v1/user/delete",
        "DeleteUser",
        "Delete the caller's account",
        errors.PermissionDenied,
        errors.Conflict,
        workload=Workload.HASHING,
    ),
    _account("POST", "/v1/auth/refresh", "RefreshToken", "Renew a login", *_DENIED),
    _account("POST", "/v1/keys", "CreateAPIKey", "Create an API key", *_DENIED),
    _account("GET", "/v1/keys", "ListAPIKeys", "List the caller's API keys", *_DENIED),
    _account("POST", "/v1/keys/validate", "ValidateAPIKey", "Check whether an API key is valid"),
    _account("DELETE", "/v1/keys/{key_prefix}", "DeleteAPIKey", "Delete an API key", *_DENIED),
    _account("POST", "/v1/sdk-jwt", "CreateSDKJWT", "Create a token that represents an API key", *_DENIED),
    _extension("POST", f"{_POINTS}/search/batch", "SearchBatch", "Search for many vectors", *_MISSING),
    _extension("POST", f"{_POINTS}/scroll", "Scroll", "Get a page of points", *_MISSING),
    _extension("POST", f"{_POINTS}/count", "Count", "Count points", *_MISSING),
    _extension("POST", f"{_POINTS}/delete", "DeleteWhere", "Delete all points that match a filter", *_MISSING),
    _extension("POST", f"{_POINTS}/upsert-if", "UpsertIf", "Store points if a condition holds", *_MISSING),
    _extension(
        "GET",
        "/v1/collections/{name}/info",
        "GetCollectionInfo",
        "Get the size and settings of a collection",
        *_MISSING,
    ),
    _extension("GET", "/v1/collections/{collection}/feedback", "ListFeedback", "List feedback, newest first", *_DENIED),
    _extension("GET", "/v1/limits", "GetLimits", "Get the limits of this server", workload=Workload.INLINE),
)
"""Every route of the gateway. Where two paths fit a request, the first that has its method answers."""
