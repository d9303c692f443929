"""Points and hits as JSON, built by hand: a walk through the fields of each would take several times as long."""

import math
import struct
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from vectrograph.domain.points import Payload, Point
from vectrograph.domain.queries import Hit, ScrollPage
from vectrograph.domain.queries import SearchResult as FoundHits
from vectrograph.vectron._messages.vectrograph import (
    ScrollRequest,
    ScrollResponse,
    SearchBatchRequest,
    SearchBatchResponse,
)
from vectrograph.vectron._messages.vectron import (
    GetRequest,
    GetResponse,
    PointResponse,
    SearchPlan,
    SearchResponse,
    SearchResult,
)
from vectrograph.vectron.vectors import SentQuery

_SINGLE: Final = struct.Struct("<f")


def search_answer(found: FoundHits, query: SentQuery) -> SearchResponse:
    """Return the answer to a search as it was asked for."""
    return search_response(found, explain=query.message.explain, bare=query.message.json_payload)


def batch_answer(results: Sequence[FoundHits], request: SearchBatchRequest) -> SearchBatchResponse:
    """Return the answers to many searches."""
    responses = [search_response(found, explain=False, bare=request.json_payload) for found in results]
    return SearchBatchResponse(responses=responses)


def get_answer(point: Point, request: GetRequest) -> GetResponse:
    """Return the answer that holds one point."""
    return GetResponse(point=_point(point, request.json_payload))


def scroll_answer(page: ScrollPage, request: ScrollRequest) -> ScrollResponse:
    """Return the answer that holds a page of points."""
    points = [_point(point, request.json_payload) for point in page.points]
    return ScrollResponse(points=points, cursor=page.cursor or "")


def search_response(found: FoundHits, *, explain: bool, bare: bool = False) -> SearchResponse:
    """Return what a search found, with the plan behind it when asked to explain; `bare` leaves out the strings."""
    results = [_hit(hit, bare) for hit in found.hits]
    if not explain or found.plan is None:
        return SearchResponse(results=results)
    plan = SearchPlan(
        strategy=found.plan.strategy,
        index=found.plan.index or "",
        rows_scanned=found.plan.rows_scanned,
        matches=found.plan.matches or 0,
        milliseconds=found.plan.milliseconds,
    )
    return SearchResponse(results=results, complete=found.complete, plan=plan)


def _hit(hit: Hit, bare: bool) -> SearchResult:
    payload, payload_json = split_payload(hit.point.payload or {}, bare=bare)
    return SearchResult(
        id=hit.point.id,
        score=json_float(hit.score),
        payload=payload,
        vector=[] if hit.point.vector is None else hit.point.vector.tolist(),
        payload_json=payload_json,
        distance=UNSET if hit.distance is None else json_float(hit.distance),
    )


def _point(point: Point, bare: bool) -> PointResponse:
    payload, payload_json = split_payload(point.payload or {}, bare=bare)
    vector = [] if point.vector is None else point.vector.tolist()
    return PointResponse(id=point.id, vector=vector, payload=payload, payload_json=payload_json)


def json_float(value: float) -> float | str:
    """Return a 32-bit float as JSON has it: a number, or the name of what is none.

    >>> json_float(0.5), json_float(float("inf")), json_float(-1e39)
    (0.5, 'Infinity', '-Infinity')
    """
    try:
        (single,) = _SINGLE.unpack(_SINGLE.pack(value))
    except OverflowError:
        single = math.copysign(math.inf, value)
    if math.isfinite(single):
        return float(single)
    return "NaN" if math.isnan(single) else "Infinity" if single > 0 else "-Infinity"


def split_payload(payload: Payload, *, bare: bool = False) -> tuple[dict[str, str], bytes | UnsetType]:
    """Return a payload as strings, values of other types as their JSON text; and whole as JSON if there are any.

    >>> split_payload({"a": "x", "n": 1})
    ({'a': 'x', 'n': '1'}, b'{"a":"x","n":1}')
    >>> split_payload({"a": "x", "n": 1}, bare=True)
    ({}, b'{"a":"x","n":1}')
    """
    if bare and payload:
        return {}, msgspec.json.encode(payload)
    if all(isinstance(value, str) for value in payload.values()):
        return dict(payload), UNSET
    strings = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in payload.items()
    }
    return strings, msgspec.json.encode(payload)
