"""Access of each role to every route and RPC of the running server, against one table."""

import re
from collections.abc import Iterator
from typing import Any, Final

import grpc
import httpx2
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from vectrograph import RunningServer, running
from vectrograph.services.accounts.development import Development
from vectron_client import Point

ROLES: Final = ("anonymous", "bot", "viewer", "developer", "admin")
NOBODY_LESS_THAN: Final = {"anyone": 0, "bot": 1, "viewer": 2, "developer": 3, "admin": 4, "nobody": 5}

# The least role that is let in; nobody: with the words that are sent here, a wrong password or a key of no one, all are
# refused. A bot is a caller with the scopes tokens:write, health:read and status:read; what it
# may do besides its rank is in BOT.
TABLE: Final = {
    "POST /api/v1/tokens/query": "viewer",
    "POST /api/v1/tokens": "developer",
    "GET /api/v1/tokens": "viewer",
    "POST /api/v1/tokens/batch": "developer",
    "GET /api/v1/tokens/{token_id}": "viewer",
    "PUT /api/v1/tokens/{token_id}": "developer",
    "DELETE /api/v1/tokens/{token_id}": "developer",
    "POST /api/v1/embeddings": "viewer",
    "GET /api/v1/cdna/status": "viewer",
    "PUT /api/v1/cdna/config": "developer",
    "GET /api/v1/cdna/profiles": "viewer",
    "GET /api/v1/cdna/profiles/{profile_id}": "viewer",
    "POST /api/v1/cdna/profiles/{profile_id}/switch": "developer",
    "POST /api/v1/cdna/validate": "viewer",
    "GET /api/v1/cdna/quarantine/status": "viewer",
    "POST /api/v1/cdna/quarantine/start": "developer",
    "POST /api/v1/cdna/quarantine/stop": "developer",
    "GET /api/v1/cdna/history": "viewer",
    "POST /api/v1/cdna/export": "viewer",
    "POST /api/v1/cdna/reset": "admin",
    "GET /api/v1/events": "bot",
    "POST /api/v1/events/ticket": "bot",
    "GET /ws": "bot",
    "POST /api/v1/auth/login": "anyone",
    "POST /api/v1/auth/refresh": "anyone",
    "POST /api/v1/auth/logout": "bot",
    "GET /api/v1/auth/me": "bot",
    "POST /api/v1/auth/change-password": "bot",
    "POST /api/v1/api-keys": "developer",
    "GET /api/v1/api-keys": "developer",
    "GET /api/v1/api-keys/{key_id}": "developer",
    "DELETE /api/v1/api-keys/{key_id}": "developer",
    "POST /api/v1/api-keys/{key_id}/revoke": "developer",
    "POST /api/v1/api-keys/{key_id}/rotate": "developer",
    "POST /api/v1/users": "admin",
    "GET /api/v1/users": "admin",
    "GET /api/v1/users/{user_id}": "admin",
    "DELETE /api/v1/users/{user_id}": "admin",
    "POST /api/v1/users/{user_id}/role": "admin",
    "POST /api/v1/users/{user_id}/password": "admin",
    "POST /api/v1/users/{user_id}/disable": "admin",
    "POST /api/v1/users/{user_id}/enable": "admin",
    "GET /api/v1/audit": "admin",
    "GET /api/v1/health": "anyone",
    "GET /api/v1/status": "bot",
    "GET /api/v1/limits": "anyone",
    "GET /livez": "anyone",
    "GET /readyz": "anyone",
    "GET /openapi.json": "anyone",
    "GET /docs": "anyone",
    "GET /": "anyone",
    "vectron.v1.VectronService/CreateCollection": "developer",
    "vectron.v1.VectronService/DeleteCollection": "developer",
    "vectron.v1.VectronService/Upsert": "developer",
    "vectron.v1.VectronService/Search": "viewer",
    "vectron.v1.VectronService/SearchStream": "viewer",
    "vectron.v1.VectronService/Get": "viewer",
    "vectron.v1.VectronService/Delete": "developer",
    "vectron.v1.VectronService/ListCollections": "viewer",
    "vectron.v1.VectronService/GetCollectionStatus": "viewer",
    "vectron.v1.VectronService/UpdateUserProfile": "bot",
    "vectron.v1.VectronService/SubmitFeedback": "viewer",
    "POST /api/v1/tokens/query/many": "viewer",
    "POST /api/v1/tokens/delete": "developer",
    "GET /api/v1/tokens/export": "viewer",
    "GET /api/v1/grid/status": "viewer",
    "POST /api/v1/grid/create": "developer",
    "GET /api/v1/grid/{grid_id}": "viewer",
    "DELETE /api/v1/grid/{grid_id}": "developer",
    "POST /api/v1/grid/{grid_id}/tokens": "developer",
    "POST /api/v1/grid/{grid_id}/tokens/{token_id}": "developer",
    "DELETE /api/v1/grid/{grid_id}/tokens/{token_id}": "developer",
    "GET /api/v1/grid/{grid_id}/neighbors/{token_id}": "viewer",
    "GET /api/v1/grid/{grid_id}/range": "viewer",
    "GET /api/v1/grid/{grid_id}/influence": "viewer",
    "GET /api/v1/grid/{grid_id}/density": "viewer",
    "POST /v1/collections": "developer",
    "GET /v1/collections": "viewer",
    "DELETE /v1/collections/{name}": "developer",
    "GET /v1/collections/{name}/status": "viewer",
    "POST /v1/collections/{collection}/points": "developer",
    "POST /v1/collections/{collection}/points/search": "viewer",
    "GET /v1/collections/{collection}/points/{id}": "viewer",
    "DELETE /v1/collections/{collection}/points/{id}": "developer",
    "POST /v1/feedback": "viewer",
    "POST /v1/collections/{collection}/points/search/batch": "viewer",
    "POST /v1/collections/{collection}/points/scroll": "viewer",
    "POST /v1/collections/{collection}/points/count": "viewer",
    "POST /v1/collections/{collection}/points/delete": "developer",
    "POST /v1/collections/{collection}/points/upsert-if": "developer",
    "GET /v1/collections/{name}/info": "viewer",
    "GET /v1/collections/{collection}/feedback": "developer",
    "GET /v1/limits": "anyone",
    "POST /v1/users/register": "anyone",
    "POST /v1/users/login": "nobody",
    "GET /v1/user/profile": "bot",
    "PUT /v1/user/profile": "bot",
    "POST /v1/user/delete": "bot",
    "POST /v1/auth/refresh": "nobody",
    "POST /v1/keys": "developer",
    "GET /v1/keys": "developer",
    "DELETE /v1/keys/{key_prefix}": "nobody",
    "POST /v1/keys/validate": "anyone",
    "POST /v1/sdk-jwt": "developer",
    "vectron.auth.v1.AuthService/RegisterUser": "anyone",
    "vectron.auth.v1.AuthService/Login": "nobody",
    "vectron.auth.v1.AuthService/GetUserProfile": "bot",
    "vectron.auth.v1.AuthService/UpdateUserProfile": "bot",
    "vectron.auth.v1.AuthService/DeleteUser": "bot",
    "vectron.auth.v1.AuthService/RefreshToken": "nobody",
    "vectron.auth.v1.AuthService/CreateAPIKey": "developer",
    "vectron.auth.v1.AuthService/ListAPIKeys": "developer",
    "vectron.auth.v1.AuthService/DeleteAPIKey": "nobody",
    "vectron.auth.v1.AuthService/ValidateAPIKey": "anyone",
    "vectron.auth.v1.AuthService/CreateSDKJWT": "nobody",
    "vectron.auth.v1.AuthService/GetAuthDetailsForSDK": "bot",
    "vectrograph.v1.VectrographService/SearchBatch": "viewer",
    "vectrograph.v1.VectrographService/Scroll": "viewer",
    "vectrograph.v1.VectrographService/Count": "viewer",
    "vectrograph.v1.VectrographService/DeleteWhere": "developer",
    "vectrograph.v1.VectrographService/UpsertIf": "developer",
    "vectrograph.v1.VectrographService/GetCollectionInfo": "viewer",
    "vectrograph.v1.VectrographService/GetLimits": "anyone",
    "vectrograph.v1.VectrographService/ListFeedback": "developer",
    "vectrograph.v1.VectrographService/Watch": "viewer",
    "grpc.health.v1.Health/Check": "anyone",
    "grpc.health.v1.Health/Watch": "anyone",
    "grpc.health.v1.Health/List": "anyone",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "anyone",
}
BOT: Final = {
    "POST /api/v1/tokens",
    "POST /api/v1/tokens/batch",
    "PUT /api/v1/tokens/{token_id}",
}
REFUSED_HTTP: Final = (401, 403)
REFUSED_GRPC: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    # Here, because the page of this table is made without the tests of the server at hand.
    from control.quick import lower_cost_of_passwords

    # The table is that of development mode, which the first account made here would end (test_development_mode.py).
    with pytest.MonkeyPatch.context() as patch:
        lower_cost_of_passwords(patch)
        with running() as started:
            patch.setattr(Development, "is_on", lambda _: True)
            yield started


@pytest.fixture(scope="module")
def credentials(server: RunningServer) -> dict[str, str | None]:
    """Provide a login of each role; what each may do is seen without its body being accepted."""
    found: dict[str, str | None] = {"anonymous": None}
    for role in ("viewer", "developer", "admin"):
        body = {"username": role, "password": f"{role}123"}
        answer = httpx2.post(f"{server.http_url}/api/v1/auth/login", json=body).json()
        found[role] = answer["access_token"]
    admin = {"Authorization": f"Bearer {found['admin']}"}
    made = {"username": "robot", "password": "seven words make a phrase", "role": "bot"}
    assert httpx2.post(f"{server.http_url}/api/v1/users", json=made, headers=admin).status_code == 201
    body = {"username": "robot", "password": made["password"]}
    found["bot"] = httpx2.post(f"{server.http_url}/api/v1/auth/login", json=body).json()["access_token"]
    return found


def served_routes(server: RunningServer) -> set[str]:
    document = httpx2.get(f"{server.http_url}/openapi.json").json()
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


def served_methods(server: RunningServer) -> set[str]:
    with grpc.insecure_channel(server.grpc_address) as opened:
        channel: Any = opened
        ask = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        listed = next(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
        names = [service.name for service in listed.list_services_response.service]
        found = set()
        for name in names:
            answer = next(ask(iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)])))
            for raw in answer.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(raw)
                for service in file.service:
                    if f"{file.package}.{service.name}" == name:
                        found |= {f"{name}/{method.name}" for method in service.method}
    return found


def http_lets_in(server: RunningServer, route: str, credential: str | None) -> bool:
    """Return an empty body and ids of nothing: whoever is let in is told about those, others only that they are not."""
    method, _, path = route.partition(" ")
    path = re.sub(r"{\w+}", "999999", path)
    headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
    body = b'{"refresh_token": 7}' if method == "POST" else None
    if body:
        headers["Content-Type"] = "application/json"
    answer = httpx2.request(method, f"{server.http_url}{path}", headers=headers, content=body)
    if answer.status_code not in REFUSED_HTTP:
        return True
    if path.startswith("/v1/"):
        return False
    return answer.json()["error"]["code"] not in ("AUTHENTICATION_REQUIRED", "PERMISSION_DENIED")


def grpc_lets_in(server: RunningServer, method: str, credential: str | None) -> bool:
    metadata = () if credential is None else (("authorization", f"Bearer {credential}"),)
    with grpc.insecure_channel(server.grpc_address) as opened:
        channel: Any = opened
        # Field 1 of every request that names a collection; "missing" does not exist. Field 2 of Upsert is a point.
        message = b"\x0a\x07missing" + (b"\x12\x03\x0a\x01p" if method.endswith("/Upsert") else b"")
        call = channel.stream_stream(f"/{method}")(iter([message]), metadata=metadata, timeout=10)
        try:
            next(call)
        except StopIteration:
            return True
        except grpc.RpcError as error:
            return error.code() not in REFUSED_GRPC
        finally:
            call.cancel()
    return True


def allowed(action: str, role: str) -> bool:
    if role == "bot" and action in BOT:
        return True
    return ROLES.index(role) >= NOBODY_LESS_THAN[TABLE[action]]


def test_every_route_and_method_has_a_row_and_no_row_is_for_nothing(server: RunningServer) -> None:
    assert served_routes(server) | served_methods(server) == TABLE.keys()


def test_the_server_does_what_the_table_says(server: RunningServer, credentials: dict[str, str | None]) -> None:
    print()
    print(f"{'action':64}", *(f"{role:9}" for role in ROLES))
    wrong = []
    for action in sorted(TABLE, key=lambda name: name.endswith("/logout")):
        ask = http_lets_in if " /" in action else grpc_lets_in
        row = [ask(server, action, credentials[role]) for role in ROLES]
        print(f"{action:64}", *(f"{'yes' if let_in else '-':9}" for let_in in row))
        wrong += [
            (action, role, let_in) for role, let_in in zip(ROLES, row, strict=True) if let_in != allowed(action, role)
        ]
    assert wrong == []


def test_nothing_of_one_user_or_tenant_opens_to_another(server: RunningServer) -> None:
    """Every object of user A, asked for by user B of the same tenant and by user C of another one."""
    from web_socket import WebSocket

    url = f"{server.http_url}/api/v1"

    def log_in(username: str, password: str) -> dict[str, str]:
        answer = httpx2.post(f"{url}/auth/login", json={"username": username, "password": password})
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    admin = log_in("admin", "admin123")
    accounts = {}
    for name, tenant in (("user-a", "default"), ("user-b", "default"), ("user-c", "other")):
        body = {"username": name, "password": f"a phrase no. {len(name)}!", "role": "developer", "tenant": tenant}
        made = httpx2.post(f"{url}/users", json=body, headers=admin)
        assert made.status_code == 201, made.text
        accounts[name] = (made.json()["user_id"], log_in(name, f"a phrase no. {len(name)}!"))
    (a_id, a), (_, b), (_, c) = accounts.values()
    key = httpx2.post(f"{url}/api-keys", json={"name": "of a"}, headers=a).json()
    token = httpx2.post(f"{url}/tokens", json={"text": "of tenant default"}, headers=a).json()["id"]
    with server.vectron(api_key=key["api_key"]) as client:
        client.create_collection("of-default", 2, "cosine")
        client.upsert("of-default", [Point(id="p", vector=[1.0, 0.0])])

    for other in (b, c):
        for method, path in (
            ("GET", f"api-keys/{key['key_id']}"),
            ("POST", f"api-keys/{key['key_id']}/revoke"),
            ("POST", f"api-keys/{key['key_id']}/rotate"),
            ("DELETE", f"api-keys/{key['key_id']}"),
        ):
            assert httpx2.request(method, f"{url}/{path}", headers=other).status_code == 404, path
        assert httpx2.get(f"{url}/api-keys", headers=other).json()["api_keys"] == []
        assert httpx2.get(f"{url}/users/{a_id}", headers=other).status_code == 403
    watched = {"channels": "collection:of-default", "since": "oldest", "follow": "false"}
    for headers, status in ((b, 200), (c, 404)):
        assert httpx2.get(f"{url}/events", params=watched, headers=headers).status_code == status
        port = server.server.addresses.http_port
        with WebSocket(port, Authorization=headers["Authorization"]) as reader:
            assert reader.next()["type"] == "connected"
            answer = reader.ask({"type": "subscribe", "channels": [watched["channels"]]})
            assert answer["channels"] == ([watched["channels"]] if status == 200 else [])
    assert httpx2.get(f"{url}/tokens/{token}", headers=b).status_code == 200
    for method in ("GET", "PUT", "DELETE"):
        stolen = {"text": "stolen"} if method == "PUT" else None
        assert httpx2.request(method, f"{url}/tokens/{token}", headers=c, json=stolen).status_code == 404
    c_key = httpx2.post(f"{url}/api-keys", json={"name": "of c"}, headers=c).json()["api_key"]
    with server.vectron(api_key=c_key) as client:
        assert client.list_collections() == ["tokens"]
        for reach in (
            lambda: client.get("of-default", "p"),
            lambda: client.search("of-default", [1.0, 0.0]),
            lambda: client.delete("of-default", "p"),
            lambda: client.upsert("of-default", [Point(id="q", vector=[1.0, 0.0])]),
            lambda: client.get_collection_status("of-default"),
            lambda: client.delete_collection("of-default"),
        ):
            with pytest.raises(Exception, match="no collection"):
                reach()
    with server.vectron(api_key=key["api_key"]) as client:
        assert client.get("of-default", "p").id == "p"
