"""Hostile input over real sockets, for a bounded number of examples: never a 500, never a hang, never anything written
by a request that is refused.

`make fuzz` runs many more. FUZZ_EXAMPLES sets how many for each test.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.security import nastiness as nasty
from tests.security.vectron_wire import METHODS, Wire
from vectrograph import RunningServer, running
from vectron_client import Point

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))
PATIENCE = 20.0
DEFECTS = (500, 502)
# Strategies of this size have long descriptions.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
fuzzing = settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))


class House:
    """A server with something in it, a caller who may do everything, and a look at what is stored."""

    def __init__(self, server: RunningServer, data: Path) -> None:
        self.server = server
        self.data = data
        self.credential = self._log_in("admin", "admin123")
        self.wire = Wire(server.grpc_address)
        self.client = httpx2.Client(base_url=server.http_url, timeout=PATIENCE)
        self.bearer = {"Authorization": f"Bearer {self.credential}"}
        paths = self.client.get("/openapi.json").json()["paths"]
        ended = ("/logout", "/change-password")
        self.operations = [
            (method.upper(), path)
            for path, methods in sorted(paths.items())
            for method in sorted(methods)
            if not path.endswith(ended)
        ]

    def _log_in(self, username: str, password: str) -> str:
        body = {"username": username, "password": password}
        return str(httpx2.post(f"{self.server.http_url}/api/v1/auth/login", json=body).json()["access_token"])

    def state(self) -> tuple[Any, ...]:
        """Return everything that a request could have changed, the audit record apart."""
        inside = self.server.server
        engine, store = inside.engine, inside.services.users._accounts
        collections = [
            (info.spec.ref.name, info.count, engine.changes(info.spec.ref, None, limit=10_000).position)
            for info in engine.list("default")
        ]
        return (collections, store.list(), sorted(path.name for path in self.data.parent.iterdir()))

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> httpx2.Response:
        """Send a request and hold the answer to what every answer must be."""
        before = self.state()
        given: Mapping[str, str] = {"Content-Type": "application/json", **self.bearer, **headers}
        answer = self.client.request(method, path, content=body, headers=given)
        assert answer.status_code not in DEFECTS, (method, path, body, answer.text)
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            assert self.state() == before, (method, path, body, answer.text)
        return answer


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("fuzz") / "data"
    limits: dict[str, Any] = {"max_body_bytes": 200_000, "max_text_bytes": 5_000, "max_payload_bytes": 5_000}
    with running(data, **limits) as server:
        made = House(server, data)
        with server.vectron() as client:
            client.create_collection("docs", 3, "cosine")
            client.upsert("docs", [Point(id="p", vector=[1.0, 0.0, 0.0], payload={"a": "b"})])
        with server.neurograph() as client:
            client.tokens.create(text="kept", metadata={"a": 1})
        with made.wire:
            yield made
        made.client.close()


WRITES = ("POST", "PUT")


@fuzzing
@given(data=st.data(), body=nasty.bodies)
def test_any_body_of_any_route(house: House, data: st.DataObject, body: bytes) -> None:
    method, path = data.draw(st.sampled_from([one for one in house.operations if one[0] in WRITES]))
    for name, value in (("{collection}", "docs"), ("{token_id}", "1"), ("{name}", "docs")):
        path = path.replace(name, value)
    for name in ("{key_id}", "{key_prefix}", "{id}", "{user_id}"):
        path = path.replace(name, "none-such")
    house.send(method, path, body)


@fuzzing
@given(condition=nasty.filters)
def test_any_filter(house: House, condition: Any) -> None:
    text = nasty.written(condition)
    body = b'{"text": "kept", "filter": %s}' % text.encode("utf-8", "surrogatepass")
    house.send("POST", "/api/v1/tokens/query", body)
    house.send("GET", f"/api/v1/tokens?filter={quote(text.encode('utf-8', 'surrogatepass'))[:20_000]}")
    escaped = nasty.written({"vector": [1, 0, 0], "filterJson": text}).encode("utf-8", "surrogatepass")
    house.send("POST", "/v1/collections/docs/points/search", escaped)


@fuzzing
@given(data=st.data(), part=nasty.segments)
@example(data=None, part="..")
@example(data=None, part="\x00")
def test_any_part_of_any_path(house: House, data: st.DataObject | None, part: str) -> None:
    varying = [one for one in house.operations if "{" in one[1]]
    method, path = varying[0] if data is None else data.draw(st.sampled_from(varying))
    encoded = quote(part.encode("utf-8", "surrogatepass"), safe="")[:8_000]
    head, _, rest = path.partition("{")
    tail = rest.partition("}")[2].replace("{id}", encoded)
    house.send(method, f"{head}{encoded}{tail}", b"{}" if method in WRITES else None)


@fuzzing
@given(name=nasty.texts, id=nasty.texts)
@example(name="..", id=".")
@example(name=".", id="..")
def test_any_name_of_a_collection_and_any_id_stay_in_the_data_directory(house: House, name: str, id: str) -> None:
    """Names that are accepted are ordinary names: found again as they were given, and nothing but data by any path."""
    body = nasty.written({"name": name, "dimension": 2, "distance": "dot"}).encode("utf-8", "surrogatepass")
    made = house.send("POST", "/v1/collections", body)
    if made.status_code != 200:
        return
    path = f"/v1/collections/{part_of_path(name)}"
    point = nasty.written({"points": [{"id": id, "vector": [1, 2]}]}).encode("utf-8", "surrogatepass")
    stored = house.send("POST", f"{path}/points", point)
    if stored.status_code == 200:
        found = house.send("GET", f"{path}/points/{part_of_path(id)}")
        assert found.status_code == 200
        assert found.json()["point"]["id"] == id
    told = house.send("GET", f"{path}/status")
    assert told.status_code == 200, (name, told.text)
    assert told.json()["name"] == name
    assert house.send("DELETE", path).status_code == 200


def part_of_path(text: str) -> str:
    """Return the text as one part of a path; clients take a dot or two for another place unless they are
    encoded too.
    """
    return quote(text, safe="").replace(".", "%2E")


@fuzzing
@given(credential=nasty.tokens)
def test_any_credential_is_refused_with_401(house: House, credential: str) -> None:
    value = credential.encode("latin-1", "replace").decode("latin-1")
    for headers in ({"Authorization": f"Bearer {value or 0}"}, {"Authorization": value}, {"X-API-Key": value}):
        answer = house.client.get("/api/v1/auth/me", headers=headers)
        # More than 64 KiB of headers are refused before anybody looks for a credential.
        allowed = (401,) if len(value) < 60_000 else (401, 431)
        assert answer.status_code in allowed, (headers, answer.text)
    refreshed = house.client.post("/api/v1/auth/refresh", json={"refresh_token": credential})
    assert refreshed.status_code in (401, 413, 422), refreshed.text
    # More metadata than gRPC takes is RESOURCE_EXHAUSTED.
    status = house.wire.refusal("ListCollections", metadata=[("x-api-key", value)])[0]
    assert status in ("UNAUTHENTICATED", "RESOURCE_EXHAUSTED")


@fuzzing
@given(key=st.binary(min_size=1, max_size=300).filter(lambda raw: not set(raw) & set(b"\r\n\0")))
def test_any_idempotency_key_and_any_header(house: House, key: bytes) -> None:
    body = b'{"text": ""}'
    raw = [(b"authorization", f"Bearer {house.credential}".encode()), (b"content-type", b"application/json")]
    for name in (b"idempotency-key", b"x-request-id", b"x-request-timeout-ms", b"accept", b"content-encoding"):
        before = house.state()
        request = b"\r\n".join(b"%s: %s" % pair for pair in [*raw, (name, key)])
        status = bare(house, b"POST /api/v1/tokens HTTP/1.1", request, body)
        assert 400 <= status < 500, (name, key, status)
        assert house.state() == before


@fuzzing
@given(line=st.binary(max_size=200), head=st.binary(max_size=200))
def test_any_bytes_at_the_http_port(house: House, line: bytes, head: bytes) -> None:
    assert bare(house, line, head, b"", half=True) not in DEFECTS
    assert house.client.get("/livez").status_code == 200


def bare(house: House, line: bytes, head: bytes, body: bytes, *, half: bool = False) -> int:
    """Return the status of a request of any bytes; 0 when the connection was closed instead. `half` ends our side at
    once.
    """
    port = house.server.server.addresses.http_port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        head += b"\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(line + b"\r\n" + head + body)
        if half:
            connection.shutdown(socket.SHUT_WR)
        try:
            status = connection.recv(64).split(b" ", 2)[1:2]
        except ConnectionResetError:
            return 0
    return int(status[0]) if status and status[0].isdigit() else 0


GRPC_DEFECTS = {grpc.StatusCode.INTERNAL.name, grpc.StatusCode.UNKNOWN.name, grpc.StatusCode.DEADLINE_EXCEEDED.name}


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


_varints = st.integers(0, 2**64 - 1).map(_varint)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


messages = st.recursive(
    st.binary(max_size=20) | nasty.texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | _varints,
    lambda inner: st.lists(
        st.builds(_field, st.integers(1, 12) | st.just(100), inner)
        | st.builds(lambda number, value: _varint(number << 3) + value, st.integers(1, 12), _varints),
        max_size=5,
    ).map(b"".join),
    max_leaves=8,
)


@fuzzing
@given(name=st.sampled_from(sorted(METHODS)), body=messages)
@example(name="Upsert", body=b"\x0a\x04docs" + b"\x12" * 1000)
@example(name="Search", body=_field(1, b"docs") + _field(103, b'{"not":' * 20_000))
def test_any_message_of_any_method(house: House, name: str, body: bytes) -> None:
    before = house.state()
    status, details = house.wire.refusal(name, body, house.credential)
    assert status not in GRPC_DEFECTS, (name, body, details)
    if status != "OK":
        assert house.state() == before, (name, body, status)
