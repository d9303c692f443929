"""The table of the gateway's routes: those of VectronService, of AuthService, and of our own service."""

from typing import Any, Final

from vectrograph.domain import errors
from vectrograph.domain.access import Scope
from vectrograph.gateway import (
    account_messages,
    accounts,
    collections,
    extension_messages,
    extensions,
    messages,
    vector_messages,
)
from vectrograph.http.operation import Access, Handler, Operation, Workload


def _route(method: str, path: str, handler: Handler, summary: str, answer: Any, **more: Any) -> Operation:
    """An operation that needs credentials; the services ask for the scopes, which depend on the collection."""
    tag = _TAGS.get(handler.__module__.rpartition(".")[2], "vectron")
    row = {"access": Access.AUTHENTICATED, "body_required": False, "tag": tag, **more}
    return Operation(method=method, path=path, handler=handler, summary=summary, answer=answer, **row)


_TAGS: Final = {"accounts": "vectron-accounts", "extensions": "vectrograph"}
_COLLECTION: Final = "/v1/collections/{collection}/points"
_MISSING: Final = {"raises": (errors.CollectionNotFound, errors.PermissionDenied)}
_HASHING: Final = {"workload": Workload.HASHING}
_PUBLIC: Final = {"access": Access.PUBLIC}
_READS: Final = {**_MISSING, "reach": "read"}
_WRITES: Final = {**_MISSING, "reach": "write"}
_DELETES: Final = {**_MISSING, "reach": "delete"}
_REPEATABLE: Final = {"idempotent_by_key": True}

_VECTRON: Final = (
    _route(
        "POST", "/v1/collections", collections.create, "Create a collection", messages.CreateCollectionResponse,
        body=messages.CreateCollectionRequest, raises=(errors.AlreadyExists, errors.PermissionDenied),
    ),
    _route(
        "GET", "/v1/collections", collections.list_names, "List collections", messages.ListCollectionsResponse,
        raises=(errors.PermissionDenied,),
    ),
    _route(
        "DELETE", "/v1/collections/{name}", collections.drop, "Delete a collection", messages.SuccessResponse,
        **_MISSING,
    ),
    _route(
        "GET", "/v1/collections/{name}/status", collections.status, "Get dimension, distance and shards",
        messages.GetCollectionStatusResponse, **_READS,
    ),
    _route(
        "POST", _COLLECTION, collections.upsert, "Store points", messages.UpsertResponse,
        body=messages.UpsertRequest, frame=vector_messages.UpsertRows, **_WRITES, **_REPEATABLE,
    ),
    _route(
        "POST", f"{_COLLECTION}/search", collections.search, "Find the nearest points", messages.SearchResponse,
        body=messages.SearchRequest, frame=vector_messages.SearchRow, **_READS,
    ),
    _route(
        "GET", f"{_COLLECTION}/{{id}}", collections.get, "Get a point", messages.GetResponse,
        query=messages.GetQuery, **_READS,
    ),
    _route(
        "DELETE", f"{_COLLECTION}/{{id}}", collections.delete, "Delete a point", messages.DeleteResponse,
        **_DELETES, **_REPEATABLE,
    ),
    _route(
        "POST", "/v1/feedback", collections.submit_feedback, "Judge search results", messages.SubmitFeedbackResponse,
        body=messages.SubmitFeedbackRequest, raises=(errors.PermissionDenied,),
    ),
)  # fmt: skip

_ACCOUNTS: Final = (
    _route(
        "POST", "/v1/users/register", accounts.register, "Make an account", account_messages.UserAnswer,
        body=account_messages.EmailAndPassword, raises=(errors.AlreadyExists, errors.PermissionDenied),
        **_PUBLIC, **_HASHING,
    ),
    _route(
        "POST", "/v1/users/login", accounts.login, "Log in by email", account_messages.LoginResponse,
        body=account_messages.EmailAndPassword, raises=(errors.InvalidCredentials, errors.PermissionDenied),
        **_PUBLIC, **_HASHING,
    ),
    _route("GET", "/v1/user/profile", accounts.profile, "Get the caller's account", account_messages.UserAnswer),
    _route(
        "PUT", "/v1/user/profile", accounts.update_profile, "Change the caller's plan",
        account_messages.UpdateUserProfileResponse, body=account_messages.UpdateUserProfileRequest,
        raises=(errors.PermissionDenied,),
    ),
    _route(
        "POST", "/v1/user/delete", accounts.delete_user, "Delete the caller's account", messages.SuccessResponse,
        body=account_messages.DeleteUserRequest, raises=(errors.PermissionDenied, errors.Conflict), **_HASHING,
    ),
    _route(
        "POST", "/v1/auth/refresh", accounts.refresh, "Renew a login", account_messages.RefreshTokenResponse,
        body=account_messages.EmptyRequest, raises=(errors.PermissionDenied,),
    ),
    _route(
        "POST", "/v1/keys", accounts.create_key, "Create an API key", account_messages.CreateKeyResponse,
        access=Scope.API_KEYS_WRITE, body=account_messages.CreateKeyRequest, raises=(errors.PermissionDenied,),
    ),
    _route(
        "GET", "/v1/keys", accounts.list_keys, "List the caller's API keys", account_messages.ListKeysResponse,
        raises=(errors.PermissionDenied,),
    ),
    _route(
        "POST", "/v1/keys/validate", accounts.validate_key, "Tell whether an API key holds",
        account_messages.ValidateKeyResponse, body=account_messages.ValidateKeyRequest, **_PUBLIC,
    ),
    _route(
        "DELETE", "/v1/keys/{key_prefix}", accounts.delete_key, "Delete an API key", messages.SuccessResponse,
        raises=(errors.PermissionDenied,),
    ),
    _route(
        "POST", "/v1/sdk-jwt", accounts.sdk_token, "Make a token that stands for an API key",
        account_messages.SdkTokenResponse, body=account_messages.SdkTokenRequest, raises=(errors.PermissionDenied,),
    ),
)  # fmt: skip

_OWN: Final = (
    _route(
        "POST", f"{_COLLECTION}/search/batch", extensions.search_batch, "Search for many vectors",
        extension_messages.SearchBatchResponse, body=extension_messages.SearchBatchRequest, **_READS,
    ),
    _route(
        "POST", f"{_COLLECTION}/scroll", extensions.scroll, "Get a page of points", extension_messages.ScrollResponse,
        body=extension_messages.ScrollRequest, **_READS,
    ),
    _route(
        "POST", f"{_COLLECTION}/count", extensions.count, "Count points", extension_messages.CountResponse,
        body=extension_messages.CountRequest, **_READS,
    ),
    _route(
        "POST", f"{_COLLECTION}/delete", extensions.delete_where, "Delete every point that matches",
        extension_messages.DeleteWhereResponse, body=extension_messages.DeleteWhereRequest, **_DELETES, **_REPEATABLE,
    ),
    _route(
        "POST", f"{_COLLECTION}/upsert-if", extensions.upsert_if, "Store points on a condition",
        extension_messages.UpsertIfResponse, body=extension_messages.UpsertIfRequest,
        frame=vector_messages.UpsertIfRows,
        **_WRITES, **_REPEATABLE,
    ),
    _route(
        "GET", "/v1/collections/{name}/info", extensions.info, "Get a collection in numbers",
        extension_messages.GetCollectionInfoResponse, **_READS,
    ),
    _route(
        "GET", "/v1/collections/{collection}/feedback", extensions.list_feedback, "List feedback, newest first",
        extension_messages.ListFeedbackResponse, query=extension_messages.ListFeedbackQuery, reach="write",
        raises=(errors.PermissionDenied,),
    ),
    _route(
        "GET", "/v1/limits", extensions.limits, "Get the largest things this server takes",
        extension_messages.GetLimitsResponse,
        **_PUBLIC, workload=Workload.INLINE,
    ),
)  # fmt: skip

GATEWAY_OPERATIONS: Final = (*_VECTRON, *_ACCOUNTS, *_OWN)
"""Every route of the gateway. Where two paths fit a request, the first that has its method answers."""
