"""The tables of docs/values.md, row by row, as each client takes or refuses a value."""

import json
import re
from array import array
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

import neurograph
import vectron_client
from neurograph._protocol import token_operations
from neurograph._protocol.encoding import encode, json_object, packed
from vectron_client import ClientOptions
from vectron_client._pb import bytesview_pb as view
from vectron_client._protocol import payloads, searches
from vectron_client._protocol.points import encode_points, encode_vector
from vectron_client.filters import encode_filter
from vectron_client.models import PackedVector

PAGE = Path(__file__).parents[2] / "docs" / "values.md"
ROW = re.compile(r"^\| `(.+?)` \| (yes|no) \| (.+) \|$")


def nested(levels: int) -> list[Any]:
    """Return a list of lists, with the payload around it so many levels deep."""
    value: list[Any] = []
    for _ in range(levels - 2):
        value = [value]
    return value


NAMES = {
    "np": np,
    "nan": float("nan"),
    "array": array,
    "datetime": datetime,
    "date": date,
    "Decimal": Decimal,
    "UUID": UUID,
    "nested": nested,
}


def rows(title: str) -> list[tuple[str, bool, str]]:
    section = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    found = [match.groups() for line in section.splitlines() if (match := ROW.match(line))]
    assert len(found) == section.count("\n| `"), "every row has the form of the table"
    return [(value, answer == "yes", told.strip("`")) for value, answer, told in found]


def read(text: str) -> Any:
    return eval(text, dict(NAMES))  # noqa: S307 - the page is ours


def vectron_payload(value: Any) -> Any:
    [share] = encode_points([vectron_client.Point("a", [1.0], {"k": value})], dimension=1, max_bytes=10**9)
    [point] = view.UpsertRequest.FromString(share).points
    encode_filter({"path": "k", "eq": value})
    return payloads.decode(point.payload, point.payload_json)["k"]


def vectron_vector(value: Any) -> Any:
    return vectron_client.SearchResult("a", 0.0, {}, PackedVector(encode_vector(value, 0))).vector


def vectron_count(value: Any) -> Any:
    return view.SearchRequest.FromString(searches.search("docs", [1.0], value, ClientOptions()).body).top_k


def neurograph_metadata(value: Any) -> Any:
    token_operations.delete_matching({"path": "k", "eq": value})
    metadata = json_object({"k": value}, "metadata")
    return json.loads(encode(metadata))["k"]


def neurograph_vector(value: Any) -> Any:
    return array("f", packed(value, "query_vector")).tolist()


def neurograph_count(value: Any) -> Any:
    asked = token_operations._asked(top_k=value, threshold=None, filter=None, offset=0, include=None)
    return asked["top_k"]


NUMBERS = "As numbers of results"


@pytest.mark.parametrize(
    ("title", "take", "refusal"),
    [
        ("In payloads, metadata and filters", vectron_payload, vectron_client.InvalidArgumentError),
        ("As vectors", vectron_vector, vectron_client.InvalidArgumentError),
        (NUMBERS, vectron_count, vectron_client.InvalidArgumentError),
        ("In payloads, metadata and filters", neurograph_metadata, neurograph.ValidationError),
        ("As vectors", neurograph_vector, neurograph.ValidationError),
        (NUMBERS, neurograph_count, neurograph.ValidationError),
    ],
)
def test_both_clients_keep_the_table(
    title: str, take: Callable[[Any], Any], refusal: type[Exception]
) -> None:  # FINDINGS D4, D8
    table = rows(title)
    assert {taken for _, taken, _ in table} == {True, False}
    for text, taken, told in table:
        if taken:
            assert (text, take(read(text))) == (text, read(told))
            assert type(take(read(text))) is type(read(told)), text
        else:
            with pytest.raises(refusal):
                pytest.fail(f"{text} was taken: {take(read(text))!r}")
