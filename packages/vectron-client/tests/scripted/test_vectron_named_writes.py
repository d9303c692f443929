"""Writes under a name: sent again only to servers that recognise a repeat, and always under the same name."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from vectron_client import Point, VectronClient
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb import vectron_pb as wire
from vectron_client.exceptions import NotFoundError, UnavailableError, VectronError

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

POINT = Point("a", [1.0])
WRITES: dict[str, tuple[Callable[[VectronClient], Any], bytes]] = {
    "Upsert": (lambda c: c.upsert("docs", [POINT]), wire.UpsertResponse(upserted=1).SerializeToString()),
    "Delete": (lambda c: c.delete("docs", "a"), b""),
    "DeleteWhere": (
        lambda c: c.delete_where("docs", {"path": "n", "eq": 1}),
        extensions.DeleteWhereResponse(deleted=3).SerializeToString(),
    ),
    "UpsertIf": (
        lambda c: c.upsert_if("docs", [POINT], if_absent=True),
        extensions.UpsertIfResponse(
            outcomes=[extensions.PointOutcome(id="a", status="created", version=1)]
        ).SerializeToString(),
    ),
}
NAMELESS: dict[str, Callable[[VectronClient], Any]] = {
    "CreateCollection": lambda c: c.create_collection("docs", 4),
    "DeleteCollection": lambda c: c.delete_collection("docs"),
}


def names(server: "ScriptedServer", method: str) -> list[str | bytes]:
    return [seen.metadata["idempotency-key"] for seen in server.seen if seen.method == method]


@pytest.mark.parametrize("method", WRITES)
def test_a_write_has_a_name_of_its_own_and_is_sent_once_by_default(
    server: "ScriptedServer", connect: "Connect", method: str
) -> None:
    server.fails(method, "UNAVAILABLE")
    client = connect()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            WRITES[method][0](client)
    assert server.methods() == [method, method]
    one, other = names(server, method)
    assert one != other
    assert re.fullmatch("[0-9a-f]{32}", str(one))


@pytest.mark.parametrize("method", WRITES)
def test_a_repeat_keeps_name_and_bytes_and_follows_a_question(
    server: "ScriptedServer", connect: "Connect", method: str
) -> None:
    server.fails(method, "UNAVAILABLE", times=2)
    server.answers(method, WRITES[method][1])
    server.answers("GetLimits", b"")
    WRITES[method][0](connect(retry_on_writes=True))
    assert server.methods() == [method, "GetLimits", method, "GetLimits", method]
    assert len(set(names(server, method))) == 1
    assert len({seen.body for seen in server.seen if seen.method == method}) == 1
    assert {seen.metadata["authorization"] for seen in server.seen} == {"Bearer key-1"}


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("status", ["UNIMPLEMENTED", "PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_a_server_that_does_not_know_names_is_sent_no_repeat(
    server: "ScriptedServer", connect: "Connect", method: str, status: str
) -> None:
    server.fails(method, "UNAVAILABLE", "the first failure")
    server.fails("GetLimits", status)
    with pytest.raises(UnavailableError, match="the first failure"):
        WRITES[method][0](connect(retry_on_writes=True, retry_max_attempts=5))
    assert server.methods() == [method, "GetLimits"]


def test_a_server_that_does_not_answer_the_question_is_asked_again(
    server: "ScriptedServer", connect: "Connect"
) -> None:
    server.fails("Upsert", "UNAVAILABLE", "the first failure")
    server.answers("Upsert", WRITES["Upsert"][1])
    server.fails("GetLimits", "UNAVAILABLE")
    server.answers("GetLimits", b"")
    assert connect(retry_on_writes=True).upsert("docs", [POINT]) == 1
    assert server.methods() == ["Upsert", "GetLimits", "GetLimits", "Upsert"]


def test_attempts_end_with_what_the_write_itself_said(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Upsert", "UNAVAILABLE", "the first failure")
    server.fails("GetLimits", "UNAVAILABLE", "another failure")
    with pytest.raises(UnavailableError, match="the first failure"):
        connect(retry_on_writes=True).upsert("docs", [POINT])
    assert server.methods() == ["Upsert", "GetLimits", "GetLimits"]


def test_a_definite_error_ends_it_without_a_question(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("Upsert", "NOT_FOUND")
    with pytest.raises(NotFoundError):
        connect(retry_on_writes=True).upsert("docs", [POINT])
    assert server.methods() == ["Upsert"]


@pytest.mark.parametrize("method", NAMELESS)
def test_writes_that_no_server_recognises_are_sent_once(
    server: "ScriptedServer", connect: "Connect", method: str
) -> None:
    server.fails(method, "UNAVAILABLE")
    with pytest.raises(VectronError):
        NAMELESS[method](connect(retry_on_writes=True))
    assert server.methods() == [method]
    assert "idempotency-key" not in server.seen[0].metadata


def test_reads_have_no_name(server: "ScriptedServer", connect: "Connect") -> None:
    server.answers("Search", b"")
    connect().search("docs", [1.0])
    assert "idempotency-key" not in server.seen[0].metadata
