"""Coordinates over the wire: sent only when asked for, in every answer that has tokens."""

import json
from typing import Any

import httpx2
import pytest
from rest.envelope import field_error

URL = "/api/v1/tokens"
FOUR = ("coordinates", "weight", "field_radius", "field_strength")
PLACE = [0.1, -2.5, 1e-300]
GIVEN = {"coordinates": {"L4Emotional": PLACE}, "weight": 0.75, "field_radius": 4.5, "field_strength": 0.5}


@pytest.fixture(scope="module")
def token(developer: httpx2.Client) -> dict[str, Any]:
    response = developer.post(URL, json={"text": "placed here", "metadata": {"mark": "placed"}, **GIVEN})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    assert not made.keys() & set(FOUR)
    return made


def shown(token: dict[str, Any]) -> None:
    """Check the coordinates of the token above as they were answered."""
    assert {name: token[name] for name in FOUR[1:]} == {name: GIVEN[name] for name in FOUR[1:]}
    assert len(token["coordinates"]) == 8
    assert token["coordinates"]["L4Emotional"] == {"position": PLACE, "derived": False}
    assert all(level["derived"] for name, level in token["coordinates"].items() if name != "L4Emotional")
    assert all(len(level["position"]) == 3 for level in token["coordinates"].values())


def test_each_answer_with_tokens_has_them_when_asked(developer: httpx2.Client, token: dict[str, Any]) -> None:
    alone, both = {"include": "coordinates"}, {"include": ["text", "coordinates"]}
    mark = {"path": ["mark"], "eq": "placed"}
    got = developer.get(f"{URL}/{token['id']}", params=alone).json()
    shown(got)
    assert (got["text"], got["metadata"], got["embedding"]) == (None, {}, [])
    listed = developer.get(URL, params={**alone, "filter": json.dumps(mark)}).json()
    shown(listed["tokens"][0])
    query = developer.post(f"{URL}/query", json={"text": "placed here", "filter": mark, **both}).json()
    shown(query["results"][0]["token"])
    assert query["results"][0]["token"]["text"] == "placed here"
    many = developer.post(f"{URL}/query/many", json={"texts": ["placed here"], "filter": mark, **both}).json()
    shown(many["results"][0][0]["token"])
    export = developer.get(f"{URL}/export", params={**alone, "filter": json.dumps(mark)})
    shown(json.loads(export.text))
    batch = developer.post(f"{URL}/batch", json={"tokens": [{"text": "other", **GIVEN}], **both}).json()
    shown(batch["tokens"][0])


def test_nobody_who_does_not_ask_sees_them(developer: httpx2.Client, token: dict[str, Any]) -> None:
    plain = developer.get(f"{URL}/{token['id']}").json()
    assert plain == token
    assert plain["metadata"] == {"mark": "placed"}


def test_an_update_merges_levels_and_null_takes_them_back(developer: httpx2.Client) -> None:
    made = developer.post(URL, json={"text": "moving", "embedding": [1, 2, 3, 4, 5, 6, 7, 8], **GIVEN}).json()
    url, asked = f"{URL}/{made['id']}", {"include": "coordinates"}
    body = {"coordinates": {"L1Physical": [1, 2, 3], "L4Emotional": None}, "weight": None}
    assert developer.put(url, json=body).status_code == 200
    moved = developer.get(url, params=asked).json()
    assert moved["coordinates"]["L1Physical"] == {"position": [1, 2, 3], "derived": False}
    assert moved["coordinates"]["L4Emotional"]["derived"] is True
    assert (moved["weight"], moved["field_radius"]) == (0.5, 4.5)
    assert developer.put(url, json={"coordinates": None}).status_code == 200
    levels = developer.get(url, params=asked).json()["coordinates"]
    assert all(level["derived"] for level in levels.values())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"coordinates": {"L4Emotional": [1, 2]}}, "coordinates.L4Emotional"),
        ({"coordinates": {"emotional": [1, 2, 3]}}, "coordinates.emotional"),
        ({"coordinates": {"L4Emotional": [1, 2, "3"]}}, "coordinates.2"),
        ({"weight": 2}, "weight"),
        ({"field_radius": -1}, "field_radius"),
        ({"field_strength": 1.5}, "field_strength"),
        ({"metadata": {"$grid": 1}}, "metadata"),
    ],
)
def test_what_is_not_acceptable_is_refused_by_name(developer: httpx2.Client, body: dict[str, Any], field: str) -> None:
    field_error(developer.post(URL, json={"text": "x", **body}), field)
    batch = developer.post(f"{URL}/batch", json={"tokens": [{"text": "x"}, {"text": "x", **body}]})
    assert batch.status_code == 422
    assert field.split(".")[0] in batch.text


def test_there_is_no_other_part(developer: httpx2.Client) -> None:
    assert "coordinates" in field_error(developer.get(URL, params={"include": "place"}), "include", "enum")
