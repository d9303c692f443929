"""The OpenAPI 3.1 document, made from the table of routes and the structs on the wire."""

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from apispec import APISpec
from msgspec import UNSET

from vectrograph.domain import errors
from vectrograph.http.context import NDJSON
from vectrograph.http.credentials import DEADLINE_HEADER, IDEMPOTENCY_PARAMETER
from vectrograph.http.errors import (
    HostNotAllowed,
    MalformedHandshake,
    MalformedRequest,
    OriginNotAllowed,
    RequestTooSlow,
    UnsupportedMediaType,
    UpgradeRequired,
)
from vectrograph.http.operation import Operation, Workload
from vectrograph.http.vector_frames import VECTORS
from vectrograph.rest import responses
from vectrograph.rest.errors import status_of
from vectrograph.rest.examples import EXAMPLES

_TEMPLATE: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = (
    "One vector database, two APIs: this is NeuroGraph's REST API. Send an access token or an API key as "
    "`Authorization: Bearer …`, or an API key as `X-API-Key`. Every error has the same shape, see `Error`; quote its "
    "`request_id` when you report one. Fields may be added to answers at any time; ignore those you do not know. "
    f"Bodies with vectors can also be frames, `{VECTORS}`: JSON with the vectors beside it as plain float32."
)
_TAGS: Final = (
    ("tokens", "Texts with vectors, and the search for the nearest."),
    ("grid", "Tokens in eight spaces of three dimensions: who is near, influence and density."),
    ("cdna", "Scales that weight the levels of the Grid, their profiles, and trials of changes."),
    ("events", "What happens, as it happens."),
    ("auth", "Sessions and the account behind them."),
    ("api-keys", "Keys for programs, never wider than their creator."),
    ("users", "Accounts, for administrators."),
    ("audit", "What was done, by whom, for administrators."),
    ("system", "What the server says about itself."),
)
_PATH_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "token_id": {"schema": {"type": "integer"}, "description": "Id of a token.", "example": 7},
    "grid_id": {"schema": {"type": "integer"}, "description": "Id of a grid.", "example": 1},
    "key_id": {
        "schema": {"type": "string", "minLength": 1},
        "description": "Id of an API key.",
        "example": "3f9c2a7b51d0e846",
    },
    "profile_id": {
        "schema": {"type": "string", "minLength": 1},
        "description": "Id of a profile: explorer, analyzer, creative or quarantine.",
        "example": "analyzer",
    },
    "user_id": {
        "schema": {"type": "string", "minLength": 1},
        "description": "Id of an account.",
        "example": "user-3f9c2a7b51d0e846",
    },
}
_HEADER_PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "schema": {"type": "string"},
        "description": "Your name for the request, also read from `X-Correlation-ID`: 1 to 128 of A-Z, a-z, 0-9, dot, "
        "underscore and hyphen. One is made up otherwise.",
    },
    "Timeout": {
        "name": DEADLINE_HEADER,
        "in": "header",
        "schema": {"type": "integer", "minimum": 1},
        "description": "Milliseconds after which you stop waiting. Past them nothing is written and the answer is 504.",
    },
}


def openapi_document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Return the document as plain dictionaries; every route, body, answer, error and credential is in it."""
    operations = tuple(operations)
    spec = APISpec(
        title="vectrograph",
        version=version,
        openapi_version="3.1.0",
        info={
            "description": _DESCRIPTION,
            "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
        },
        tags=[{"name": name, "description": text} for name, text in _TAGS],
        servers=[{"url": "/"}],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("api_key", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    for name, parameter in _HEADER_PARAMETERS.items():
        spec.components.parameter(name, "header", dict(parameter))
    for name, schema in _schemas(operations).items():
        spec.components.schema(name, schema)
    for operation in operations:
        spec.path(path=operation.path, operations={operation.method.lower(): _described(operation)})
    document: dict[str, Any] = spec.to_dict()
    return document


def _schemas(operations: Iterable[Operation]) -> dict[str, dict[str, Any]]:
    structs = {o.body for o in operations} | {o.answer for o in operations}
    structs |= {o.line for o in operations} | {o.frame for o in operations} | {responses.Error}
    structs |= {struct for o in operations for struct in o.events}
    known = [struct for struct in structs if struct is not None]
    _, schemas = msgspec.json.schema_components(known, ref_template=_TEMPLATE)
    for struct in known:
        if struct in EXAMPLES:
            schemas[struct.__name__]["examples"] = [msgspec.to_builtins(EXAMPLES[struct])]
    for name, schema in schemas.items():
        schema["description"] = inspect.cleandoc(schema.get("description", ""))  # python -OO keeps none
        if hasattr(responses, name) and name != responses.ErrorDetails.__name__:
            # A default only saves handlers from writing it: what is in an answer's struct is always sent, unless the
            # default is that it is absent.
            optional = {f.encode_name for f in msgspec.structs.fields(getattr(responses, name)) if f.default is UNSET}
            schema["required"] = [field for field in schema["properties"] if field not in optional]
    # Which details an error has depends on its code: the struct names those that have a fixed shape, and more may come.
    schemas[responses.ErrorDetails.__name__]["additionalProperties"] = True
    return dict(sorted(schemas.items()))


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__
        if operation.tag == "system"
        else f"{operation.tag.replace('-', '_')}_{operation.handler.__name__}",
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": _security(operation),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
        if operation.frame is not None:
            described["requestBody"]["content"][VECTORS] = _frame_of(operation.frame)
    return described


def _parameters(operation: Operation) -> list[dict[str, Any] | str]:
    parameters: list[dict[str, Any] | str] = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]} for name in operation.path_parameters
    ]
    if operation.query is not None:
        _, schemas = msgspec.json.schema_components([operation.query])
        for name, schema in schemas[operation.query.__name__]["properties"].items():
            text = schema.pop("description", "")
            parameters.append({"name": name, "in": "query", "schema": schema, "description": text})
    if operation.idempotent_by_key:
        parameters.append(dict(IDEMPOTENCY_PARAMETER))
    return [*parameters, *_HEADER_PARAMETERS]


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.answer is not None:
        success["content"] = {operation.media_type: {"schema": _reference(operation.answer)}}
        if operation.line is not None:
            success["content"][NDJSON] = {"schema": {"type": "string"}, "x-line": _reference(operation.line)}
    elif operation.events:
        success["content"] = {operation.media_type: {"schema": _events_of(operation)}}
    elif operation.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.SWITCHING_PROTOCOLS):
        is_json = operation.media_type == "application/json"
        success["content"] = {operation.media_type: {"schema": {"type": "object" if is_json else "string"}}}
        if operation.line is not None:
            success["content"][operation.media_type]["x-line"] = _reference(operation.line)
    if operation.vectors:
        success["content"][VECTORS] = _frame_of(operation.answer or operation.line)
    described = {str(operation.status): success}
    for status, codes in sorted(_failures(operation).items()):
        text = f"{HTTPStatus(status).phrase}: {', '.join(sorted(codes))}"
        content = {"application/json": {"schema": _reference(responses.Error)}}
        described[str(status)] = {"description": text, "content": content}
    return described


def _failures(operation: Operation) -> dict[int, set[str]]:
    """Return statuses with the codes behind them: those of every route, those that this one's parts bring, and
    its own.
    """
    failures: dict[int, set[str]] = {
        400: {MalformedRequest.code, HostNotAllowed.code},
        413: {errors.TooLarge.code},
        429: {errors.RateLimited.code},
    }
    kinds: list[type[errors.DomainError]] = [
        errors.InvalidArgument,
        errors.InternalError,
        *operation.raises,
    ]
    if operation.workload is not Workload.INLINE:
        kinds += [errors.DeadlineExceeded, errors.Unavailable]
    if not operation.public:
        kinds += [errors.Unauthenticated, errors.InvalidToken, errors.TokenExpired, errors.InvalidApiKey]
    if operation.scope is not None:
        kinds.append(errors.PermissionDenied)
    if operation.body is not None:
        failures[408] = {RequestTooSlow.code}
    if operation.method not in ("GET", "HEAD"):
        failures[415] = {UnsupportedMediaType.code}
    if operation.opens:
        failures[UpgradeRequired.status] = {UpgradeRequired.code}
        failures[400].add(MalformedHandshake.code)
        failures[OriginNotAllowed.status] = {OriginNotAllowed.code}
    for kind in kinds:
        failures.setdefault(status_of(kind), set()).add(kind.code)
    return failures


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    if operation.public:
        return []
    scopes = [] if operation.scope is None else [operation.scope.value]
    return [{"bearer": scopes}, {"api_key": scopes}]


def _events_of(operation: Operation) -> dict[str, Any]:
    """Return the schema of each event of a stream, as readers of Server-Sent Events see it."""
    data: dict[str, Any] = {"anyOf": [_reference(struct) for struct in operation.events]}
    fields = {
        "id": {"type": "string", "description": "Position after this event; absent where there is none."},
        "event": {"type": "string", "description": "Kind of a control frame; absent in events."},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": data},
    }
    return {"type": "object", "properties": fields}


def _frame_of(document: type[msgspec.Struct] | None) -> dict[str, Any]:
    """Return a vector frame: bytes for whoever reads the document, and what its document holds for whoever looks
    closer.
    """
    shown: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    return shown if document is None else {**shown, "x-document": _reference(document)}


def _reference(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(name=struct.__name__)}
