"""Every route that takes a body against bodies that would become very much in memory. FINDINGS B6."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import httpx2
import msgspec
import pytest
from rest.serving import LIMITS, Served, starting

from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.json_budget import JsonBudget
from vectrograph.gateway.routes import GATEWAY_OPERATIONS
from vectrograph.http.operation import Operation, Workload
from vectrograph.rest.routes import OPERATIONS

WITH_BODY = [operation for operation in (*OPERATIONS, *GATEWAY_OPERATIONS) if operation.body is not None]
# Texts, lists and objects that a body may have with these limits: 200 for each point of a full batch.
LIMITED = replace(LIMITS, max_payload_bytes=2_048)
OBJECTS = 4_000
MANY = OBJECTS + 1
COUNTED = {
    "lists": b"[" + b",".join([b"[]"] * MANY) + b"]",
    "objects": b"[" + b",".join([b"{}"] * MANY) + b"]",
    "texts": b"[" + b",".join([b'"x"'] * MANY) + b"]",
    "lists of lists": b"[" + b",".join([b"[[]]"] * MANY) + b"]",
    "keys": b"{" + b",".join(b'"%d":0' % number for number in range(MANY)) + b"}",
    "a key again and again": b"{" + b",".join([b'"a":0'] * MANY) + b"}",
    "depth": b"[" * MANY + b"]" * MANY,
    "depth of objects": b'{"a":' * MANY + b"0" + b"}" * MANY,
    "lists without an end": b"[" + b"[]," * MANY,
}
# Within the limit of objects: other rules have to hold.
OTHERS = {
    "numbers": b"[" + b",".join([b"0"] * MANY) + b"]",
    "nulls": b"[" + b",".join([b"null"] * MANY) + b"]",
    "a whole number of many digits": b"1" * MANY,
    "a number of many digits": b"0." + b"1" * MANY,
    "an exponent of many digits": b"1e" + b"9" * MANY,
    "a long text": b'"' + b"x" * MANY + b'"',
    "a long text of marks": b'"' + b"[{,:" * MANY + b'"',
    "a long key": b'{"' + b"x" * MANY + b'":0}',
    "some depth": b"[" * 2_000 + b"]" * 2_000,
    "half a surrogate pair": b'["' + b"\\ud800" * 1_000 + b'"]',
    "many lists": b"[" + b",".join([b"[]"] * 100) + b"]",
    "many objects": b"[" + b",".join([b"{}"] * 100) + b"]",
}


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.fixture(scope="module")
def served(control_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with starting(control_template, tmp_path_factory.mktemp("hostile")) as start:
        yield start(limits=LIMITED)


@pytest.fixture(scope="module")
def admin(served: Served) -> Iterator[httpx2.Client]:
    with served.client(served.login("admin")) as client:
        yield client


def bodies_of(operation: Operation, value: bytes) -> Iterator[bytes]:
    """Yield the value in place of the body, of one plain field, of all that hold others, and of one that there
    is not.
    """
    yield value
    yield b'{"unknown":%b}' % value
    assert operation.body is not None
    fields = {field.encode_name: str(field.type) for field in msgspec.structs.fields(operation.body)}
    plain = [name for name, kind in fields.items() if "list" not in kind and "dict" not in kind]
    for name in [*plain[:1], *(fields.keys() - plain)]:
        yield b'{"%b":%b}' % (name.encode(), value)
    for name in fields.keys() - plain:
        yield b'{"%b":[{"%b":%b}]}' % (name.encode(), name.encode(), value)


def send(client: httpx2.Client, operation: Operation, body: bytes) -> httpx2.Response:
    path = operation.path.replace("{token_id}", "1")
    return client.request(operation.method, path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
def test_what_a_body_holds_is_counted_before_it_is_built(admin: httpx2.Client, operation: Operation) -> None:
    for name, value in COUNTED.items():
        for body in (value, b'{"unknown":%b}' % value):
            answer = send(admin, operation, body)
            assert answer.status_code == 413, (name, answer.text)
            assert str(OBJECTS) in answer.text
            assert len(answer.content) < 4_096


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
def test_what_is_within_the_count_is_refused_by_other_rules_in_few_words(
    served: Served, admin: httpx2.Client, operation: Operation
) -> None:
    # What is sent to these may end the session, in spite of all.
    own = "auth" in operation.path
    with served.client(served.login("admin")) if own else nullcontext(admin) as client:
        for name, value in OTHERS.items():
            for body in bodies_of(operation, value):
                answer = send(client, operation, body)
                assert answer.status_code < 500, (name, body[:50], answer.text)
                assert len(answer.content) < 16_384, (name, body[:50])
    if not own:
        assert send(admin, operation, b"[]").status_code in (400, 422)  # and not 401


def test_bodies_are_decoded_in_threads_of_their_own(admin: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    admit = JsonBudget.require

    def noted(self: JsonBudget, text: bytes | str, field: str) -> None:
        threads.append(threading.current_thread().name)
        admit(self, text, field)

    monkeypatch.setattr(JsonBudget, "require", noted)
    for operation in WITH_BODY:
        assert operation.workload is not Workload.INLINE
        before = len(threads)
        send(admin, operation, b"[]")
        assert len(threads) > before, name_of(operation)
    assert {name.partition("_")[0] for name in threads} <= {f"rest-{work}" for work in Workload}


def test_an_error_repeats_no_more_than_the_beginning_of_what_was_sent() -> None:
    error = InvalidArgument.of("x" * 1_000_000, "y" * 1_000_000)
    assert len(error.message) < 2_000
    assert len(str(error.details)) < 2_000
