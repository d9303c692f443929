"""Every procedure of Vectron's contract, over gRPC and over the HTTP gateway: the same outcome, good or bad.

Two servers live through the same story, one called over each wire. Every step must end alike: the same answer, or the
same code, error code and message, which begins with the field that is wrong.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import grpc
import httpx2
import pytest
from google.protobuf import json_format

from vectrograph import RunningServer, running
from vectrograph.gateway.routes import GATEWAY_OPERATIONS
from vectrograph.http.operation import Operation
from vectrograph.rpc.methods import SERVICES
from vectrograph.vectron.procedures import ACCOUNTS, EXTENSIONS, PROCEDURES, VECTRON

PASSWORD = "Correct-horse-7"
EMAIL = "ada@example.org"
#: Procedures that HTTP has no route for.
ONLY_GRPC = {
    f"{VECTRON}/SearchStream",
    f"{VECTRON}/UpdateUserProfile",
    f"{ACCOUNTS}/GetAuthDetailsForSDK",
    # Over HTTP the same events come as Server-Sent Events, from a route of their own.
    f"{EXTENSIONS}/Watch",
}
#: Fields that differ between two servers that did the same.
OWN = {
    "jwt_token", "sdk_jwt", "full_key", "key_prefix", "api_key_id", "feedback_id", "created_at", "expires_at",
    "milliseconds", "bytes_on_disk", "user_id", "cursor",
}  # fmt: skip
NUMBERS = {code.value[0]: code.name for code in grpc.StatusCode}
LATE = '{"path": "year", "gte": 1995}'
Memory = dict[str, str]


@dataclass(frozen=True)
class Step:
    """A call: the procedure, the fields of its message, who calls, and the name of a write that may come twice."""

    name: str
    fields: Mapping[str, Any] | Callable[[Memory], Mapping[str, Any]] = field(default_factory=dict)
    caller: str = "key"
    repeat: str | None = None
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The end of a call: `code` is gRPC's, `error` and `message` are empty where it went well."""

    code: str
    error: str = ""
    message: str = ""
    answer: Any = None


class OverGrpc:
    """Calls one server over gRPC."""

    def __init__(self, server: RunningServer) -> None:
        self._channel: Any = grpc.insecure_channel(server.grpc_address)

    def call(self, name: str, request: Any, credential: str | None, repeat: str | None) -> tuple[Outcome, Any]:
        metadata = [("authorization", f"Bearer {credential}")] if credential else []
        metadata += [("idempotency-key", repeat)] if repeat is not None else []
        method = self._channel.unary_unary(f"/{name}")
        try:
            body = method(request.SerializeToString(), metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            failed: Any = error
            trailers = dict(failed.trailing_metadata())
            details = json.loads(trailers.get("x-error-details-bin", b"{}"))
            for wrong in details.get("errors", ()):
                assert failed.details().startswith(f"{wrong['field']}: ") or len(details["errors"]) > 1
            return Outcome(failed.code().name, trailers["x-error-code"], failed.details()), None
        service, _, short = name.partition("/")
        answer = SERVICES[service][short].response.FromString(body)
        return Outcome("OK", answer=masked(answer)), answer

    def close(self) -> None:
        self._channel.close()


class OverHttp:
    """Calls one server over the gateway."""

    def __init__(self, server: RunningServer) -> None:
        self._client = httpx2.Client(base_url=server.http_url, timeout=30)

    def call(self, name: str, request: Any, credential: str | None, repeat: str | None) -> tuple[Outcome, Any]:
        operation = route_of(name)
        sent = json_format.MessageToDict(request)
        path = operation.path
        for part in operation.path_parameters:
            path = path.replace(f"{{{part}}}", quote(getattr(request, part), safe=""))
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        headers |= {"Idempotency-Key": repeat} if repeat is not None else {}
        if operation.method in ("GET", "DELETE"):
            response = self._client.request(operation.method, path, headers=headers, params=sent)
        else:
            response = self._client.request(operation.method, path, headers=headers, json=sent)
        if response.status_code != 200:
            body = response.json()
            return Outcome(NUMBERS[body["code"]], response.headers["X-Error-Code"], body["message"]), None
        service, _, short = name.partition("/")
        answer = json_format.Parse(response.content, SERVICES[service][short].response())
        return Outcome("OK", answer=masked(answer)), answer

    def close(self) -> None:
        self._client.close()


def route_of(name: str) -> Operation:
    """Return the route of a procedure."""
    procedure = PROCEDURES[name]
    [found] = [
        operation
        for operation in GATEWAY_OPERATIONS
        if operation.answer is procedure.response and operation.handler.__name__ == procedure.run.__name__
    ]
    return found


def masked(message: Any) -> Any:
    """Return an answer without the parts that only one server can give."""

    def cover(value: Any) -> Any:
        if isinstance(value, list):
            return [cover(item) for item in value]
        if isinstance(value, dict):
            account = "subscription_status" in value
            covered = {key: "…" if key in OWN and held else cover(held) for key, held in value.items()}
            return covered | {"id": "…"} if account else covered
        return value

    return cover(json_format.MessageToDict(message, preserving_proto_field_name=True))


def point(number: int, **more: Any) -> dict[str, Any]:
    payload = json.dumps({"year": 1990 + number, "title": f"t{number}"}).encode()
    return {"id": str(number), "vector": [float(number), 0.0], "payload_json": payload, **more}


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def v(procedure: str, /, *arguments: Any, **fields: Any) -> Step:
    return _step(VECTRON, procedure, arguments, fields)


def a(procedure: str, /, *arguments: Any, **fields: Any) -> Step:
    return _step(ACCOUNTS, procedure, arguments, fields)


def x(procedure: str, /, *arguments: Any, **fields: Any) -> Step:
    return _step(EXTENSIONS, procedure, arguments, fields)


def _step(service: str, procedure: str, arguments: tuple[Any, ...], fields: dict[str, Any]) -> Step:
    named = {key: fields.pop(f"_{key}") for key in ("caller", "repeat", "keep") if f"_{key}" in fields}
    return Step(f"{service}/{procedure}", arguments[0] if arguments else fields, **named)


DOCS = {"collection": "docs"}
TOO_MANY = {"path": "a", "any_of": list(range(5_000))}
BAD_FILTERS = ["{", "[]", '{"path": "year"}', '{"path": "year", "gte": {}}', json.dumps({"not": {"not": 1}}), "\x00"]
STORY = [
    # Collections.
    v("CreateCollection", name="docs", dimension=2),
    v("CreateCollection", name="docs", dimension=2),
    v("CreateCollection", name="", dimension=2),
    v("CreateCollection", name="x" * 300, dimension=2),
    v("CreateCollection", name="a\x00b", dimension=2),
    v("CreateCollection", name="other", dimension=0),
    v("CreateCollection", name="other", dimension=-1),
    v("CreateCollection", name="other", dimension=2, distance="manhattan"),
    v("CreateCollection", name="other", dimension=2, quantization="int4"),
    v("CreateCollection", name="other", dimension=2, distance="dot", quantization="float16"),
    v("CreateCollection", name="tokens", dimension=2),
    v("CreateCollection", name="other", dimension=2, _caller="nobody"),
    v("ListCollections"),
    v("ListCollections", _caller="nobody"),
    v("ListCollections", _caller="wrong"),
    v("GetCollectionStatus", name="docs"),
    v("GetCollectionStatus", name="nowhere"),
    x("GetCollectionInfo", name="other"),
    x("GetCollectionInfo", name="nowhere"),
    v("DeleteCollection", name="nowhere"),
    v("DeleteCollection", name="tokens"),
    v("DeleteCollection", name="other"),
    x("GetLimits", _caller="nobody"),
    # Points.
    v("Upsert", **DOCS, points=[point(n) for n in range(10)]),
    v("Upsert", **DOCS, points=[{"id": "plain", "vector": [3, 4], "payload": {"k": "v"}}]),
    v("Upsert", **DOCS),
    v("Upsert", collection="nowhere", points=[point(1)]),
    v("Upsert", **DOCS, points=[{"id": "", "vector": [1, 2]}]),
    v("Upsert", **DOCS, points=[point(1), {"id": "short", "vector": [1]}]),
    v("Upsert", **DOCS, points=[{"id": "none"}]),
    v("Upsert", **DOCS, points=[{"id": "i", "vector": [1, float("inf")]}]),
    v("Upsert", **DOCS, points=[{"id": "n", "vector": [1, float("nan")]}]),
    v("Upsert", **DOCS, points=[{"id": "x" * 600, "vector": [1, 2]}]),
    *(
        v("Upsert", **DOCS, points=[point(1), {"id": "b", "vector": [1, 2], "payload_json": text}])
        for text in (b"{", b"[1]", b'{"a": NaN}', b'{"a": "\xff"}', b"[" * 100_000)
    ),
    v("Upsert", **DOCS, points=[{"id": "b", "vector": [1, 2], "payload": {"k": "x" * 100_000}}]),
    v("Upsert", **DOCS, points=[point(n) for n in range(1_001)]),
    v("Upsert", **DOCS, points=[point(1)], _caller="nobody"),
    v("Upsert", **DOCS, points=[point(1)], _repeat="once"),
    v("Upsert", **DOCS, points=[point(1)], _repeat="once"),
    v("Upsert", **DOCS, points=[point(2)], _repeat="once"),
    v("Upsert", **DOCS, points=[point(2)], _repeat="k" * 255),
    v("Upsert", **DOCS, points=[point(2)], _repeat="k" * 256),
    v("Upsert", **DOCS, points=[point(2)], _repeat=""),
    v("Get", **DOCS, id="1"),
    v("Get", **DOCS, id="1", json_payload=True),
    v("Get", **DOCS, id="plain"),
    v("Get", **DOCS, id="missing"),
    v("Get", collection="nowhere", id="1"),
    # Searches.
    v("Search", **DOCS, vector=[0, 0]),
    v("Search", **DOCS, vector=[0, 0], top_k=2, include_vectors=True, omit_payload=True),
    v("Search", **DOCS, vector=[0, 0], top_k=2, json_payload=True, filter_json=LATE, exact=True, explain=True),
    v("Search", **DOCS, vector=[0, 0], top_k=3, query="t9", rerank={"keyword_weight": 1, "candidates": 10}),
    v("Search", **DOCS, vector=[0, 0], query="t9", rerank={"field_boosts": {"title": 2}}),
    v("Search", **DOCS, vector=[0, 0], rerank={}),
    v("Search", **DOCS, vector=[0, 0], query="t", rerank={"keyword_weight": -1}),
    v("Search", **DOCS, vector=[0, 0], query="t", rerank={"candidates": 100_000}),
    v("Search", **DOCS, vector=[0, 0], top_k=100_000),
    v("Search", **DOCS, vector=[0, 0], ef=10_000_000),
    v("Search", **DOCS, vector=[0, 0, 0]),
    v("Search", **DOCS, vector=[0, float("nan")]),
    v("Search", **DOCS),
    v("Search", collection="nowhere", vector=[0, 0]),
    v("Search", **DOCS, vector=[0, 0], _caller="nobody"),
    *(v("Search", **DOCS, vector=[0, 0], filter_json=text) for text in BAD_FILTERS),
    v("Search", **DOCS, vector=[0, 0], filter_json=json.dumps(TOO_MANY)),
    x("SearchBatch", **DOCS, vectors=floats(0, 0, 9, 0), queries=2, top_k=2),
    x(
        "SearchBatch",
        **DOCS,
        vectors=floats(0, 0),
        queries=1,
        filter_json=LATE,
        include_vectors=True,
        json_payload=True,
    ),
    x("SearchBatch", **DOCS, vectors=floats(0, 0, 9), queries=2),
    x("SearchBatch", **DOCS, vectors=b"abc", queries=1),
    x("SearchBatch", **DOCS, vectors=floats(0, 0)),
    x("SearchBatch", **DOCS, queries=1),
    x("SearchBatch", **DOCS, vectors=floats(0, 0) * 2_000, queries=2_000),
    *(x("SearchBatch", **DOCS, vectors=floats(0, 0), queries=1, filter_json=text) for text in BAD_FILTERS),
    x("Scroll", **DOCS),
    x("Scroll", **DOCS, limit=2, order_by="updated", descending=True, filter_json=LATE, include_vectors=True),
    x("Scroll", **DOCS, limit=2, omit_payload=True),
    x("Scroll", **DOCS, limit=1_000_000),
    x("Scroll", **DOCS, order_by="size"),
    x("Scroll", **DOCS, cursor="nonsense"),
    x("Scroll", collection="nowhere"),
    *(x("Scroll", **DOCS, filter_json=text) for text in BAD_FILTERS),
    x("Count", **DOCS),
    x("Count", **DOCS, filter_json=LATE),
    x("Count", collection="nowhere"),
    *(x("Count", **DOCS, filter_json=text) for text in BAD_FILTERS),
    # Writes on a condition, and the end of points.
    x("UpsertIf", **DOCS, points=[point(1), {"id": "new", "vector": [1, 1]}], if_absent=True),
    x("UpsertIf", **DOCS, points=[point(2), point(8)], if_match_json=LATE),
    x("UpsertIf", **DOCS, points=[point(3)], if_version={"3": 999_999}),
    x("UpsertIf", **DOCS, points=[point(3)], if_absent=True, if_version={"3": 1}),
    x("UpsertIf", **DOCS, if_absent=True),
    x("UpsertIf", **DOCS, points=[point(1), {"id": "b", "payload_json": b"{"}]),
    x("UpsertIf", **DOCS, points=[{"id": "b", "vector": [1]}]),
    x("UpsertIf", collection="nowhere", points=[point(1)]),
    *(x("UpsertIf", **DOCS, points=[point(1)], if_match_json=text) for text in BAD_FILTERS),
    x("UpsertIf", **DOCS, points=[point(4)], _repeat="twice"),
    x("UpsertIf", **DOCS, points=[point(4)], _repeat="twice"),
    x("UpsertIf", **DOCS, points=[point(5)], _repeat="twice"),
    v("Delete", **DOCS, id="1", _repeat="gone"),
    v("Delete", **DOCS, id="1", _repeat="gone"),
    v("Delete", **DOCS, id="2", _repeat="gone"),
    v("Delete", **DOCS, id="missing"),
    v("Delete", collection="nowhere", id="1"),
    x("DeleteWhere", **DOCS, filter_json=LATE, _repeat="late"),
    x("DeleteWhere", **DOCS, filter_json=LATE, _repeat="late"),
    x("DeleteWhere", **DOCS, filter_json='{"path": "year", "lt": 1991}', _repeat="late"),
    x("DeleteWhere", **DOCS),
    x("DeleteWhere", **DOCS, filter_json="{}"),
    x("DeleteWhere", collection="nowhere", filter_json=LATE),
    *(x("DeleteWhere", **DOCS, filter_json=text) for text in BAD_FILTERS),
    # Feedback.
    v("SubmitFeedback", **DOCS, query="q", feedback_items=[{"result_id": "1", "relevance_score": 5, "clicked": True}]),
    v("SubmitFeedback", **DOCS, query="q"),
    v("SubmitFeedback", query="q", feedback_items=[{"result_id": "1", "relevance_score": 5}]),
    v("SubmitFeedback", **DOCS, query="q", feedback_items=[{"result_id": "1", "relevance_score": 6}]),
    v("SubmitFeedback", **DOCS, query="q", feedback_items=[{"result_id": "1", "relevance_score": 3, "position": -1}]),
    v("SubmitFeedback", collection="nowhere", query="q", feedback_items=[{"result_id": "1", "relevance_score": 3}]),
    x("ListFeedback", **DOCS),
    x("ListFeedback", **DOCS, query="other", limit=3),
    x("ListFeedback", **DOCS, limit=1_000_000),
    x("ListFeedback", **DOCS, cursor="nonsense"),
    x("ListFeedback", collection="nowhere"),
    # Accounts.
    a("RegisterUser", email=EMAIL, password=PASSWORD, _caller="nobody"),
    a("RegisterUser", email=EMAIL, password=PASSWORD, _caller="nobody"),
    a("RegisterUser", email="nonsense", password=PASSWORD, _caller="nobody"),
    a("RegisterUser", email="b@example.org", password="short", _caller="nobody"),
    a("RegisterUser", email="c@example.org", password=PASSWORD, _caller="wrong"),
    a("RegisterUser", email="d@example.org", password=PASSWORD, _caller="key"),
    a("Login", email=EMAIL, password="wrong", _caller="nobody"),
    a("Login", _caller="nobody"),
    a("Login", email=EMAIL, password=PASSWORD, _caller="nobody", _keep=("jwt_token",)),
    a("GetUserProfile", _caller="jwt_token"),
    a("GetUserProfile", _caller="wrong"),
    a("UpdateUserProfile", plan="PAID", _caller="jwt_token"),
    a("UpdateUserProfile", plan=7, _caller="jwt_token"),
    a("UpdateUserProfile", plan=-1, _caller="jwt_token"),
    a("UpdateUserProfile", plan="FREE", _caller="key"),
    a("UpdateUserProfile", _caller="jwt_token"),
    a("RefreshToken", _caller="jwt_token"),
    a("RefreshToken", _caller="key"),
    a("CreateAPIKey", name="my key", _caller="jwt_token", _keep=("full_key", "key_info.key_prefix")),
    a("CreateAPIKey", name="", _caller="jwt_token"),
    a("CreateAPIKey", name="n" * 51, _caller="jwt_token"),
    a("CreateAPIKey", name="ä", _caller="jwt_token"),
    a("CreateAPIKey", name="", _caller="full_key"),
    a("ListAPIKeys", _caller="jwt_token"),
    a("ListAPIKeys", _caller="nobody"),
    a("ValidateAPIKey", lambda memory: {"full_key": memory["full_key"]}, _caller="nobody"),
    a("ValidateAPIKey", full_key="ng_live_nonsense", _caller="nobody"),
    a("ValidateAPIKey", _caller="nobody"),
    a("CreateSDKJWT", lambda memory: {"api_key_id": memory["key_info.key_prefix"]}, _caller="jwt_token"),
    a("CreateSDKJWT", api_key_id="nonsense", _caller="jwt_token"),
    a("CreateSDKJWT", _caller="jwt_token"),
    a("DeleteAPIKey", key_prefix="nonsense", _caller="jwt_token"),
    a("DeleteAPIKey", lambda memory: {"key_prefix": memory["key_info.key_prefix"]}, _caller="jwt_token"),
    a("ListAPIKeys", _caller="full_key"),
    a("DeleteUser", password="wrong", _caller="jwt_token"),
    a("DeleteUser", password=PASSWORD, _caller="key"),
    a("DeleteUser", password=PASSWORD, _caller="jwt_token"),
    a("GetUserProfile", _caller="jwt_token"),
]


def outcomes(wire: OverGrpc | OverHttp, key: str) -> list[Outcome]:
    """Return the outcome of every step over one wire."""
    memory: Memory = {"key": key, "wrong": "ng_live_wrong"}
    found = []
    for step in STORY:
        service, _, short = step.name.partition("/")
        fields = step.fields(memory) if callable(step.fields) else step.fields
        request = SERVICES[service][short].request(**fields)
        outcome, answer = wire.call(step.name, request, memory.get(step.caller), step.repeat)
        for path in step.keep:
            held = answer
            for part in path.split("."):
                held = getattr(held, part)
            memory[path] = held
        found.append(outcome)
    return found


@pytest.fixture(scope="module")
def both() -> list[tuple[Outcome, Outcome]]:
    found = []
    connect: type[OverGrpc] | type[OverHttp]
    for connect in (OverGrpc, OverHttp):
        with running() as server:
            wire = connect(server)
            found.append(outcomes(wire, server.api_key))
            wire.close()
    return list(zip(*found, strict=True))


@pytest.mark.parametrize("number", range(len(STORY)), ids=lambda n: f"{n}-{STORY[n].name.rpartition('/')[2]}")
def test_both_wires_end_alike(both: list[tuple[Outcome, Outcome]], number: int) -> None:
    over_grpc, over_http = both[number]
    if over_grpc.code == "UNAUTHENTICATED" and STORY[number].caller == "nobody":
        # Each wire says in its own words where it looks for credentials.
        over_grpc, over_http = (replace(one, message="") for one in (over_grpc, over_http))
    if STORY[number].repeat is not None:
        # HTTP writes Idempotency-Key what is idempotency-key in metadata.
        over_grpc, over_http = (replace(one, message=one.message.lower()) for one in (over_grpc, over_http))
    assert over_grpc == over_http


def test_every_procedure_went_well_once_and_was_refused_once(both: list[tuple[Outcome, Outcome]]) -> None:
    went_well = {step.name for step, (outcome, _) in zip(STORY, both, strict=True) if outcome.code == "OK"}
    was_refused = {step.name for step, (outcome, _) in zip(STORY, both, strict=True) if outcome.code != "OK"}
    assert went_well == set(PROCEDURES) - ONLY_GRPC
    # Anyone may ask for the limits, and there is nothing to get wrong.
    assert was_refused == went_well - {f"{EXTENSIONS}/GetLimits"}
    assert not any(outcome.code in ("UNKNOWN", "INTERNAL") for outcome, _ in both)


def test_what_has_no_route_is_known() -> None:
    routed = {(operation.answer, operation.handler.__name__) for operation in GATEWAY_OPERATIONS}
    without = {n for n, one in PROCEDURES.items() if (one.response, one.run.__name__) not in routed}
    assert without == ONLY_GRPC
