"""Filters built and filters spelt out are one and the same to the server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from scripted_server import Reply, ScriptedServer

from neurograph import NeuroGraphClient, ValidationError, each, field
from neurograph.filters import Filter, document
from vectrograph.domain.filters.json_form import parse
from vectrograph.domain.filters.nodes import NODES
from vectrograph.domain.filters.nodes import Filter as Node

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
YEAR, TAGS = field("year"), field("tags")
PAIRS: list[tuple[Filter, dict[str, Any]]] = [
    (YEAR == 1990, {"path": "year", "eq": 1990}),
    (YEAR != 1990, {"path": "year", "ne": 1990}),
    (field("a", "b", 0) == None, {"path": ["a", "b", 0], "eq": None}),  # noqa: E711 - it makes a filter
    (YEAR < 5, {"path": "year", "range": {"lt": 5}}),
    (YEAR <= 5, {"path": "year", "range": {"lte": 5}}),
    (YEAR > 5, {"path": "year", "range": {"gt": 5}}),
    (YEAR >= 5, {"path": "year", "range": {"gte": 5}}),
    (YEAR.between(1, 2), {"path": "year", "range": {"gte": 1, "lte": 2}}),
    (YEAR.is_in((1, 2)), {"path": "year", "in": [1, 2]}),
    (field("at").since(NOON), {"path": "at", "date": {"gte": "2025-01-01T12:00:00+00:00"}}),
    (field("at").before(NOON), {"path": "at", "date": {"lt": "2025-01-01T12:00:00Z"}}),
    (YEAR.exists(), {"path": "year", "exists": True}),
    (~YEAR.is_null(), {"not": {"path": "year", "is_null": True}}),
    (field("t").starts_with("a", fold_case=True), {"path": "t", "prefix": "a", "fold_case": True}),
    (field("t").contains_text("b"), {"path": "t", "substring": "b"}),
    (TAGS.any(each() == "red"), {"path": "tags", "any": {"eq": "red"}}),
    (TAGS.all(each() > 1), {"path": "tags", "all": {"range": {"gt": 1}}}),
    (TAGS.none({"eq": "x"}), {"path": "tags", "none": {"eq": "x"}}),
    ((YEAR == 1) & (YEAR == 2), {"and": [{"path": "year", "eq": 1}, {"path": "year", "eq": 2}]}),
    ((YEAR == 1) | {"path": "b", "eq": 2}, {"or": [{"path": "year", "eq": 1}, {"path": "b", "eq": 2}]}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        server.on("GET", "/api/v1/tokens", Reply(body={"tokens": [], "total": 0}))
        server.on("POST", "/api/v1/tokens/query", Reply(body={"results": []}))
        server.on("POST", "/api/v1/tokens/delete", Reply(body={"deleted": 0}))
        yield server


@pytest.mark.parametrize(("built", "spelt"), PAIRS, ids=[json.dumps(spelt) for _, spelt in PAIRS])
def test_both_become_the_same_tree_on_the_server(server: ScriptedServer, built: Filter, spelt: dict[str, Any]) -> None:
    trees: list[Node] = []
    with NeuroGraphClient(server.url, api_key="k") as client:
        for condition in (built, spelt):
            client.tokens.query(text="a", filter=condition)
            trees.append(parse(server.arrived[-1].json["filter"]))
            client.tokens.delete_many(filter=condition)
            trees.append(parse(server.arrived[-1].json["filter"]))
            client.tokens.list(filter=condition)
            [text] = parse_qs(server.arrived[-1].target.partition("?")[2])["filter"]
            trees.append(parse(json.loads(text)))
    assert trees == trees[:1] * 6


def test_every_operator_of_the_server_can_be_built() -> None:
    def words(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from node
            node = list(node.values())
        if isinstance(node, list):
            for member in node:
                yield from words(member)

    assert {word for built, _ in PAIRS for word in words(document(built))} >= NODES


def test_what_is_no_filter_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValidationError, match="pass a dictionary or a Filter"):
        document([])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="neither true nor false"):
        bool((YEAR == 1) and (YEAR == 2))
