"""A delete by filter that has no condition, on every wire of one real server."""

from collections.abc import Iterator

import pytest

from neurograph import ValidationError, everything
from neurograph._protocol.token_operations import _deleting
from vectrograph import running
from vectrograph.inprocess import RunningServer


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as running_server:
        yield running_server


EMPTY = [{"and": []}, {"not": {"or": []}}, {"or": [{"and": []}]}, {"not": {"path": "a", "in": []}}]


# FINDINGS D11
@pytest.mark.parametrize("filter", EMPTY)
def test_the_server_refuses_it_over_rest(server: RunningServer, filter: dict[str, object]) -> None:
    with server.neurograph() as client:
        client.tokens.create("kept")
        with pytest.raises(ValidationError, match="no condition") as caught:
            client._executor.run(_deleting({"filter": filter}))
        assert caught.value.status_code == 422
        assert client.tokens.list(limit=1).total


# FINDINGS D11
def test_everything_deletes_all_there_is(server: RunningServer) -> None:
    with server.neurograph() as client:
        client.tokens.create_many(["one", "two"])
        assert client.tokens.delete_many(filter=everything()).deleted >= 2
        assert client.tokens.list(limit=1).total == 0
        client.tokens.create("three")
        assert client.tokens.list(filter=everything()).total == 1
