"""The OpenAPI document and the served routes are the same thing, and the document keeps its word."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from rest.serving import VERSION, Served
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from vectrograph import http_app
from vectrograph.gateway.description import add_gateway
from vectrograph.gateway.routes import GATEWAY_OPERATIONS
from vectrograph.http.operation import Operation
from vectrograph.rest.examples import EXAMPLES
from vectrograph.rest.openapi import openapi_document
from vectrograph.rest.routes import OPERATIONS
from vectrograph.services.call import UNKNOWN_ORIGIN

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def document(anonymous: httpx2.Client) -> dict[str, Any]:
    response = anonymous.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    return body


def described(document: dict[str, Any], *, gateway: bool = False) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS and path.startswith("/v1/") == gateway
    }


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_the_document_is_made_once_and_not_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(_: object, version: str) -> dict[str, Any]:
        made.append(version)
        return openapi_document((), version)

    monkeypatch.setattr("vectrograph.rest.openapi.openapi_document", make)
    monkeypatch.setattr(http_app, "add_gateway", lambda document, _: document)
    document = http_app._Document("1.2")
    assert made == []
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: document(), range(8)))
    assert len(set(answers)) == 1
    assert msgspec.json.decode(answers[0])["info"]["version"] == "1.2"
    assert made == ["1.2"]


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == VERSION


def test_served_routes_and_document_are_the_same_set(anonymous: httpx2.Client, document: dict[str, Any]) -> None:
    served = set()
    for _, path in described(document):
        concrete = path.replace("{token_id}", "1").replace("{key_id}", "k")
        allowed = anonymous.request("TRACE", concrete).headers["allow"].split(", ")
        served |= {(method, path) for method in allowed if method != "HEAD"}
    table = {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(table) == len(OPERATIONS)
    assert set(described(document)) == served == table


def test_the_routes_are_those_of_the_contract() -> None:
    expected = """
        POST auth/login  POST auth/refresh  POST auth/logout  GET auth/me  POST auth/change-password
        POST tokens  GET tokens  POST tokens/batch  POST tokens/query
        POST tokens/query/many  POST tokens/delete  GET tokens/export
        GET tokens/{token_id}  PUT tokens/{token_id}  DELETE tokens/{token_id}
        POST embeddings
        POST api-keys  GET api-keys  GET api-keys/{key_id}  DELETE api-keys/{key_id}  POST api-keys/{key_id}/revoke
        POST api-keys/{key_id}/rotate
        POST users  GET users  GET users/{user_id}  DELETE users/{user_id}  POST users/{user_id}/role
        POST users/{user_id}/password  POST users/{user_id}/disable  POST users/{user_id}/enable  GET audit
        GET grid/status  POST grid/create  GET grid/{grid_id}  DELETE grid/{grid_id}  POST grid/{grid_id}/tokens
        POST grid/{grid_id}/tokens/{token_id}  DELETE grid/{grid_id}/tokens/{token_id}
        GET grid/{grid_id}/neighbors/{token_id}  GET grid/{grid_id}/range  GET grid/{grid_id}/influence
        GET grid/{grid_id}/density
        GET health  GET status  GET limits  GET events  POST events/ticket
        GET cdna/status  PUT cdna/config  GET cdna/profiles  GET cdna/profiles/{profile_id}
        POST cdna/profiles/{profile_id}/switch  POST cdna/validate  GET cdna/history  POST cdna/export  POST cdna/reset
        GET cdna/quarantine/status  POST cdna/quarantine/start  POST cdna/quarantine/stop
    """
    api = {f"{method} /api/v1/{path}" for method, path in re.findall(r"(\w+) (\S+)", expected)}
    assert {name_of(operation) for operation in OPERATIONS} == api | {
        "GET /", "GET /livez", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /ws"
    }  # fmt: skip


def test_operation_ids_are_distinct_names(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for gateway in (0, 1)
        for operation in described(document, gateway=bool(gateway)).values()
    ]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z_]+", name) for name in ids)


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_each_operation_is_described_whole(document: dict[str, Any], operation: Operation) -> None:
    shown = described(document)[operation.method, operation.path]
    assert shown["summary"]
    assert shown["tags"][0] in {tag["name"] for tag in document["tags"]}
    assert ("requestBody" in shown) == (operation.body is not None)
    scopes = [] if operation.scope is None else [operation.scope.value]
    assert shown["security"] == ([] if operation.public else [{"bearer": scopes}, {"api_key": scopes}])
    statuses = set(shown["responses"])
    assert str(operation.status) in statuses
    assert {"400", "413", "422", "500"} <= statuses
    if not operation.public:
        assert "401" in statuses
    assert ("403" in statuses) or operation.scope is None
    for status, response in shown["responses"].items():
        if int(status) >= 400:
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> Any:
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                yield from references(child)

    found = set(references(document))
    assert len(found) > 20
    for reference in found:
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_every_struct_on_the_wire_has_an_example_that_fits(document: dict[str, Any]) -> None:
    structs = {o.body for o in OPERATIONS} | {o.answer for o in OPERATIONS} - {None}
    for struct in structs - {None}:
        assert struct is not None
        schema = document["components"]["schemas"][struct.__name__]
        (example,) = schema["examples"]
        assert msgspec.convert(example, struct) == EXAMPLES[struct]
        whole = {"$ref": f"#/components/schemas/{struct.__name__}", "components": document["components"]}
        jsonschema_rs.validate(whole, example)


def test_answers_promise_every_field_that_is_always_sent(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas["Session"]["required"]) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert set(schemas["Error"]["required"]) == {"success", "error"}
    assert "required" not in schemas["ErrorDetails"] or schemas["ErrorDetails"]["required"] == []
    assert schemas["TokenCreate"]["required"] == []


def test_tables_with_new_routes_need_no_other_change() -> None:
    shown = openapi_document(OPERATIONS[:1], "1")
    assert list(shown["paths"]) == [OPERATIONS[0].path]


# ---------------------------------------------------------------- the document keeps its word

WHOLE = (*OPERATIONS, *GATEWAY_OPERATIONS)
SCHEMA = schemathesis.openapi.from_dict(add_gateway(openapi_document(OPERATIONS, VERSION), GATEWAY_OPERATIONS))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


def throwaway(served: Served) -> str:
    """Return a login of an account whose wrong passwords, or end, nobody minds."""
    account = ("nobody@example.org", "Correct-horse-7", UNKNOWN_ORIGIN)
    served.services.registration.register(None, *account)
    # Not over HTTP: from there, too many wrong passwords have come by now.
    return served.services.logins.login(*account).token


@pytest.mark.slow
@pytest.mark.parametrize("operation", WHOLE, ids=name_of)
def test_whatever_is_sent_is_answered_as_documented(served: Served, operation: Operation) -> None:
    # The example of a new password would be taken, were it sent for the account that it is an example of.
    credential = served.login("viewer" if operation.path.endswith("/change-password") else "developer")
    if operation.path == "/v1/user/delete":
        credential = throwaway(served)
    cases = SCHEMA[operation.path][operation.method].as_strategy()

    @given(case=cases)
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: schemathesis.Case[Any]) -> None:
        case.headers.pop("X-Request-Timeout-Ms", None)
        if operation.events:
            case.query = {**(case.query or {}), "follow": "false"}
        if operation.path.endswith("/logout"):
            case.headers["Authorization"] = f"Bearer {served.login('viewer')}"
        else:
            case.headers["Authorization"] = f"Bearer {credential}"
        response = case.call(base_url=served.url)
        case.validate_response(response, checks=list(CHECKS))

    run()
