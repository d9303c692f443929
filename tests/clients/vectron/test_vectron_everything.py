"""A delete by filter that has no condition, over gRPC and the gateway of one real server; and what upsert counts."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from vectrograph import RunningServer, running
from vectron_client import InvalidArgumentError, Point, VectronClient, everything
from vectron_client._execution.call import Call
from vectron_client._pb import vectrograph_pb as extensions
from vectron_client._pb.methods import VECTROGRAPH_SERVICE_METHODS

EMPTY: list[dict[str, Any]] = [
    {"and": []},
    {"not": {"or": []}},
    {"or": [{"and": []}]},
    {"not": {"path": "a", "in": []}},
]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        with server.vectron() as client:
            client.create_collection("docs", 1, "euclidean")
            client.upsert("docs", [Point("a", [1.0], {"n": 1}), Point("b", [2.0])])
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[VectronClient]:
    with server.vectron() as client:
        yield client


# FINDINGS D11
@pytest.mark.parametrize("filter", EMPTY)
def test_client_and_server_refuse_it(server: RunningServer, client: VectronClient, filter: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"everything\(\)") as local:
        client.delete_where("docs", filter)
    assert local.value.details == {"field": "filter"}
    request = extensions.DeleteWhereRequest(collection="docs", filter_json=json.dumps(filter))
    with pytest.raises(InvalidArgumentError, match="no condition"):
        client._run(
            Call(VECTROGRAPH_SERVICE_METHODS["DeleteWhere"], request.SerializeToString(), bytes, writes=True), None
        )
    post = urllib.request.Request(  # noqa: S310 - a server of the test
        f"{server.http_url}/v1/collections/docs/points/delete",
        json.dumps({"filterJson": json.dumps(filter)}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {server.api_key}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(post, timeout=30)  # noqa: S310
    assert refused.value.code == 400
    assert b"no condition" in refused.value.read()
    assert client.count("docs") == 2


# FINDINGS D11
def test_everything_deletes_all_there_is(client: VectronClient) -> None:
    client.create_collection("gone", 1, "euclidean")
    sent = client.upsert("gone", [Point("a", [1.0]), Point("b", [2.0]), Point("a", [3.0])])
    assert sent == 3, "repeated ids are counted each"
    assert client.count("gone", everything()) == 2
    assert list(client.get("gone", "a").vector) == [3.0], "the last of an id is stored"
    assert client.delete_where("gone", everything()) == 2
    assert client.count("gone") == 0
