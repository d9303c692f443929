"""Every route asks for exactly the scope that the table names, and public ones for nothing."""

import re
from typing import Any

import httpx2
import msgspec
import pytest
from rest.envelope import error_of
from rest.serving import Served, Start

from vectrograph.domain.access import ALL_SCOPES, Role
from vectrograph.http.operation import Operation
from vectrograph.rest.examples import EXAMPLES
from vectrograph.rest.routes import OPERATIONS
from vectrograph.services.call import Principal

SCOPED = [operation for operation in OPERATIONS if operation.scope is not None]
CLOSED = [operation for operation in OPERATIONS if not operation.public]


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def call(client: httpx2.Client, operation: Operation) -> httpx2.Response:
    """Return a well-formed request of an operation, for things that do not exist."""
    path = re.sub(r"{\w+}", "unknown", operation.path.replace("{token_id}", "424242"))
    if operation.body is None:
        return client.request(operation.method, path)
    body = msgspec.to_builtins(EXAMPLES[operation.body])
    # Neither a key nor an account can be wider than its creator, and this is not the place to test that.
    if "role" in body:
        body["role"] = "nobody"
    return client.request(operation.method, path, json=body | {"scopes": []} if "scopes" in body else body)


class OneCaller:
    """Stands in for the sessions: whoever calls has these scopes."""

    def __init__(self) -> None:
        self.scopes: frozenset[str] = frozenset()

    def authenticate(self, _: str) -> Principal:
        return Principal("developer", "developer", Role.BOT, self.scopes, key_id="k")


@pytest.mark.parametrize("operation", CLOSED, ids=name_of)
def test_closed_routes_need_credentials(anonymous: httpx2.Client, operation: Operation) -> None:
    error_of(call(anonymous, operation), 401, "AUTHENTICATION_REQUIRED")


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.public], ids=name_of)
def test_public_routes_do_not_look_at_credentials(served: Served, operation: Operation) -> None:
    with served.client("ng_wrong") as client:
        response = call(client, operation)
    if operation.path.endswith("/refresh"):
        error_of(response, 401, "INVALID_TOKEN")
    else:
        assert response.status_code == 200


def test_each_scope_opens_its_routes_and_no_other(start: Start) -> None:
    refused: dict[str, Any] = {}
    caller = OneCaller()
    with start(sessions=caller).client("any") as client:
        for caller.scopes in [ALL_SCOPES, *(ALL_SCOPES - {scope} for scope in sorted(ALL_SCOPES))]:
            for operation in SCOPED:
                response = call(client, operation)
                assert (response.status_code == 403) == (operation.scope not in caller.scopes), name_of(operation)
                if response.status_code == 403:
                    error = error_of(response, 403, "PERMISSION_DENIED")
                    assert error["details"] == {"required_scope": operation.scope}
                    refused[name_of(operation)] = operation.scope
    assert refused == {name_of(operation): operation.scope for operation in SCOPED}


def test_roles_do_what_the_contract_says(served: Served) -> None:
    allowed = {}
    for role in ("admin", "developer", "viewer"):
        with served.client(served.login(role)) as client:
            allowed[role] = {o.path.rsplit("/", 1)[-1] + o.method for o in SCOPED if call(client, o).status_code != 403}
    everything = {o.path.rsplit("/", 1)[-1] + o.method for o in SCOPED}
    administration = {o.path.rsplit("/", 1)[-1] + o.method for o in SCOPED if str(o.scope).endswith(":admin")}
    assert allowed["admin"] == everything
    assert allowed["developer"] == everything - administration
    assert administration >= {"usersPOST", "auditGET", "rolePOST", "passwordPOST", "disablePOST", "enablePOST"}
    assert allowed["viewer"] == {
        "queryPOST", "manyPOST", "exportGET", "tokensGET", "{token_id}GET", "embeddingsPOST", "statusGET",
        "profilesGET", "{profile_id}GET", "validatePOST", "historyGET", "exportPOST",
        "{grid_id}GET", "densityGET", "influenceGET", "rangeGET"
    }  # fmt: skip
