"""The gateway's part of the OpenAPI document."""

import inspect
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from vectrograph.domain import errors
from vectrograph.gateway.errors import HTTP_STATUS, RpcStatus
from vectrograph.http.credentials import IDEMPOTENCY_PARAMETER
from vectrograph.http.operation import Operation
from vectrograph.vectron.codes import number_of

_TEMPLATE: Final = "#/components/schemas/{name}"
_EXAMPLES: Final = {
    "name": "docs",
    "collection": "docs",
    "id": "point-1",
    "key_prefix": "ng_live_3f9c2a7b",
}
_ALWAYS: Final = (
    errors.InvalidArgument,
    errors.RateLimited,
    errors.DeadlineExceeded,
    errors.Unavailable,
    errors.InternalError,
)


def add_gateway(document: dict[str, Any], operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document with the gateway's tags, paths and schemas in it."""
    operations = tuple(operations)
    document["tags"] += [
        {
            "name": "vectron",
            "description": "Vectron's HTTP gateway: collections, points and search. What the path names wins over "
            "what the body says, and messages may be left out of a body that is empty.",
        },
        {"name": "vectron-accounts", "description": "Vectron's HTTP gateway: accounts and API keys."},
        {"name": "vectrograph", "description": "What Vectron's API lacks, through its HTTP gateway."},
    ]
    for operation in operations:
        document["paths"].setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    own = _schemas(operations)
    taken = own.keys() & document["components"]["schemas"].keys()
    if taken:
        raise ValueError(f"two structs share a name in the OpenAPI document: {sorted(taken)}")
    document["components"]["schemas"] |= own
    return document


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    structs = {o.body for o in operations} | {o.answer for o in operations} | {RpcStatus}
    _, schemas = msgspec.json.schema_components([s for s in structs if s is not None], ref_template=_TEMPLATE)
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema.get("description", ""))
        _write_as_strings(schema)
    return dict(sorted(schemas.items()))


def _write_as_strings(schema: Any) -> None:
    """Turn integers with a pattern, which are the 64-bit ones of answers, into the strings that JSON has for them."""
    if isinstance(schema, list):
        for part in schema:
            _write_as_strings(part)
    elif isinstance(schema, dict):
        if schema.get("type") == "integer" and "pattern" in schema:
            schema["type"] = "string"
        _write_as_strings(list(schema.values()))


def _described(operation: Operation) -> dict[str, Any]:
    part = {"vectron-accounts": "accounts", "vectrograph": "own"}.get(operation.tag, "points")
    described: dict[str, Any] = {
        "operationId": f"vectron_{part}_{operation.handler.__name__}",
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "example": _EXAMPLES[name]}
            for name in operation.path_parameters
        ]
        + _query_parameters(operation)
        + ([dict(IDEMPOTENCY_PARAMETER)] if operation.idempotent_by_key else []),
        "responses": _responses(operation),
        "security": [] if operation.public else [{"bearer": []}, {"api_key": []}],
    }
    if operation.body is not None:
        schema = {"$ref": _TEMPLATE.format(name=operation.body.__name__)}
        described["requestBody"] = {"required": False, "content": {"application/json": {"schema": schema}}}
    return described


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    _, components = msgspec.json.schema_components([operation.query], ref_template=_TEMPLATE)
    properties = components[operation.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
        if name not in operation.path_parameters
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    assert operation.answer is not None  # noqa: S101  (every method of the contract has an answer)
    responses: dict[str, Any] = {"200": _answer("OK", operation.answer)}
    kinds: list[type[errors.DomainError]] = [
        *_ALWAYS,
        *operation.raises,
        *([] if operation.public else [errors.Unauthenticated]),
    ]
    codes: dict[int, set[str]] = {413: {errors.TooLarge.code}}
    if operation.method != "GET":
        codes[415] = {"UNSUPPORTED_MEDIA_TYPE"}
    for kind in kinds:
        codes.setdefault(HTTP_STATUS[number_of(kind)], set()).add(kind.code)
    for status, names in sorted(codes.items()):
        responses[str(status)] = _answer(f"{HTTPStatus(status).phrase}: {', '.join(sorted(names))}", RpcStatus)
    return responses


def _answer(text: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": _TEMPLATE.format(name=struct.__name__)}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
