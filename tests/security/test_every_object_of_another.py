"""Every route and every method of the running server, asked for every object of one tenant by a developer and by an
administrator of another: nothing is shown and nothing is changed.
"""

import ast
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import vectrograph
from tests.security.test_authorisation_table import served_methods, served_routes
from tests.security.vectron_wire import METHODS, Wire
from vectrograph import RunningServer, running
from vectron_client import Point

MARK = "the secret of tenant default"
PHRASE = "a phrase of another house"
# Of the caller itself: who may call them is in the table of roles, and they end what the caller needs here.
OWN = ("/logout", "/change-password", "/user/delete", "DeleteUser")


class Scene:
    """A server with things of an account `owner` of the tenant default, and callers of the tenant other."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.api = f"{server.http_url}/api/v1"
        self.admin = self.log_in("admin", "admin123")
        self.owner_id = self.account("owner", "developer", "default")
        for name, role in (("guest", "developer"), ("boss", "admin")):
            self.account(name, role, "other")
        self.callers = {name: self.log_in(name, PHRASE) for name in ("guest", "boss")}
        owner = {"Authorization": f"Bearer {self.log_in('owner', PHRASE)}"}
        self.key = httpx2.post(f"{self.api}/api-keys", json={"name": MARK}, headers=owner).json()
        token = {"text": MARK, "metadata": {"a": MARK}}
        self.token = httpx2.post(f"{self.api}/tokens", json=token, headers=owner).json()["id"]
        # The other tenant has no grid, so that a number of its own means nothing.
        self.grid = httpx2.post(f"{self.api}/grid/create", headers=owner).json()["grid_id"]
        assert httpx2.post(f"{self.api}/grid/{self.grid}/tokens/{self.token}", headers=owner).status_code == 200
        with server.vectron(api_key=self.key["api_key"]) as client:
            client.create_collection("of-default", 2, "cosine")
            client.upsert("of-default", [Point(id="p", vector=[1.0, 0.0], payload={"a": MARK})])
        # What was said about results needs no collection, so that asking another tenant's gives an empty list.
        item = {"resultId": "p", "relevanceScore": 3, "comment": MARK}
        said = {"collection": "of-default", "query": MARK, "feedbackItems": [item]}
        assert httpx2.post(f"{server.http_url}/v1/feedback", json=said, headers=owner).status_code == 200

        scales = {"dimension_scales": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}
        assert httpx2.put(f"{self.api}/cdna/config", json=scales, headers=owner).status_code == 200
        started = httpx2.post(f"{self.api}/cdna/quarantine/start?duration=3600", headers=owner)
        assert started.status_code == 200

    def log_in(self, username: str, password: str) -> str:
        answer = httpx2.post(f"{self.api}/auth/login", json={"username": username, "password": password})
        return str(answer.json()["access_token"])

    def account(self, name: str, role: str, tenant: str) -> str:
        body = {"username": name, "password": PHRASE, "role": role, "tenant": tenant, "full_name": MARK}
        if tenant != "default":
            del body["full_name"]
        made = httpx2.post(f"{self.api}/users", json=body, headers={"Authorization": f"Bearer {self.admin}"})
        assert made.status_code == 201, made.text
        return str(made.json()["user_id"])

    def things_of_default(self) -> tuple[Any, ...]:
        """Accounts, keys, collections, points, grid and CDNA of the tenant."""
        inside = self.server.server
        engine, store = inside.engine, inside._store
        points = [(info.spec.ref.name, info.count, info.seq) for info in engine.list("default")]
        keys = store.api_keys.list(self.owner_id)
        grid = store.grids.get("default", self.grid)
        cdna = (store.cdna.get("default"), store.cdna.count("default"))
        return store.accounts.list("default"), [(key.key_id, key.is_active) for key in keys], points, grid, cdna

    @property
    def names(self) -> dict[str, str]:
        """Objects that the parts of paths and the fields of messages name."""
        return {
            "token_id": str(self.token),
            "grid_id": str(self.grid),
            "key_id": self.key["key_id"],
            "key_prefix": self.key["key_prefix"],
            "api_key_id": self.key["key_prefix"],
            "user_id": self.owner_id,
            "collection": "of-default",
            "name": "of-default",
            "id": "p",
            # Profiles belong to no tenant.
            "profile_id": "unknown",
        }


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with running() as server:
        yield Scene(server)


BODIES: dict[str, dict[str, Any]] = {
    "PUT /api/v1/tokens/{token_id}": {"text": "stolen"},
    "POST /api/v1/tokens/query": {"text": MARK, "top_k": 10},
    "POST /api/v1/tokens/query/many": {"texts": [MARK]},
    "POST /api/v1/tokens/delete": {"filter": {"path": "a", "exists": True}},
    "POST /api/v1/grid/{grid_id}/tokens": {"ids": [1]},
    "PUT /api/v1/cdna/config": {"profile": "analyzer"},
    "POST /api/v1/users/{user_id}/role": {"role": "viewer"},
    "POST /api/v1/users/{user_id}/password": {"password": "a stolen phrase of mine"},
    "POST /v1/collections/{collection}/points": {"points": [{"id": "p", "vector": [0, 1]}]},
    "POST /v1/collections/{collection}/points/search": {"vector": [1, 0], "topK": 10},
}


@pytest.mark.parametrize("who", ["guest", "boss"])
def test_no_route_shows_or_changes_anything_of_another_tenant(scene: Scene, who: str) -> None:
    before = scene.things_of_default()
    headers = {"Authorization": f"Bearer {scene.callers[who]}"}
    # A grid that the caller made itself would have the number of the other tenant's.
    routes = [route for route in sorted(served_routes(scene.server)) if not route.endswith((*OWN, "/grid/create"))]
    assert len(routes) > 50
    for route in routes:
        method, _, path = route.partition(" ")
        concrete = re.sub(r"{(\w+)}", lambda part: scene.names[part[1]], path)
        body = BODIES.get(route, {}) if method in ("POST", "PUT") else None
        answer = httpx2.request(method, f"{scene.server.http_url}{concrete}", headers=headers, json=body)
        assert MARK not in answer.text, route
        if not path.endswith("/audit"):
            # The record of the own tenant has what its own callers asked for.
            assert scene.key["key_prefix"] not in answer.text.replace(concrete, ""), route
        if "{" in path:
            assert answer.status_code in (400, 403, 404) or route.endswith("/feedback"), (
                route,
                answer.status_code,
                answer.text,
            )
        assert scene.things_of_default() == before, route


@pytest.mark.parametrize("who", ["guest", "boss"])
def test_no_method_shows_or_changes_anything_of_another_tenant(scene: Scene, who: str) -> None:
    before = scene.things_of_default()
    served = {name.rpartition("/")[2] for name in served_methods(scene.server) if name.startswith("vectr")}
    assert served <= METHODS.keys()
    with Wire(scene.server.grpc_address) as wire:
        for name in sorted(served - set(OWN)):
            request = METHODS[name].request()
            for field in request.DESCRIPTOR.fields:
                if field.name in scene.names:
                    setattr(request, field.name, scene.names[field.name])
                elif field.name == "vector":
                    request.vector.extend([1.0, 0.0])  # type: ignore[attr-defined]
                elif field.name == "points":
                    request.points.add(id="p", vector=[0.0, 1.0])  # type: ignore[attr-defined]
                elif field.name == "filter_json" and name != "SearchBatch":
                    setattr(request, field.name, '{"path": "a", "exists": true}')
            if name == "CreateCollection":
                request.name = f"c{uuid.uuid4().hex[:8]}"  # type: ignore[attr-defined]
            status, message = wire.refusal(name, request, scene.callers[who])
            assert MARK not in message, name
            if any(field.name in ("collection", "key_prefix") for field in request.DESCRIPTOR.fields):
                feedback = name in ("SubmitFeedback", "ListFeedback")
                assert status in ("NOT_FOUND", "PERMISSION_DENIED", "INVALID_ARGUMENT") or feedback, (name, status)
            if status == "OK":
                assert MARK not in str(wire.call(name, request, scene.callers[who])), name
            assert scene.things_of_default() == before, name


def test_the_boss_of_another_tenant_sees_none_of_the_record(scene: Scene) -> None:
    headers = {"Authorization": f"Bearer {scene.callers['boss']}"}
    entries = httpx2.get(f"{scene.api}/audit?limit=1000", headers=headers).json()["entries"]
    assert entries
    assert {entry["actor"] for entry in entries} & {"admin", scene.owner_id} == set()


FORBIDDEN_IMPORTS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "import_module"}


def test_nothing_is_unpickled_evaluated_or_imported_by_name() -> None:
    for file in Path(vectrograph.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                names = {module} | {alias.name for alias in node.names}
                assert not {name.split(".")[0] for name in names} & FORBIDDEN_IMPORTS, file
            elif isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                assert called not in FORBIDDEN_CALLS, file
