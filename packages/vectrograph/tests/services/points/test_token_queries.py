import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.house import DIMENSION, LIMITS, UNHEARD, House, WordEmbedder, call_as

from vectrograph.domain.access import Role
from vectrograph.domain.collections import Distance
from vectrograph.domain.errors import (
    InvalidArgument,
    PermissionDenied,
    PointNotFound,
    StartupError,
)
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import MAX_SERIAL_ID, Put, Vector
from vectrograph.domain.queries import Hit, SearchResult
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services import Services
from vectrograph.services.call import Call
from vectrograph.services.points.tokens import NewToken, Tokens

OWN = np.arange(1, DIMENSION + 1, dtype=np.float32)


@pytest.fixture
def tokens(house: House) -> Tokens:
    return house.services.tokens


def fields(error: InvalidArgument) -> list[str]:
    return [entry["field"] for entry in error.details["errors"]]


# ---------------------------------------------------------------- querying


def test_a_token_finds_itself_first_and_equals_come_newest_first(tokens: Tokens, call: Call) -> None:
    made = tokens.create_many(call, [NewToken("same words"), NewToken("other things"), NewToken("same words")])
    assert made[0].vector is not None
    hits = tokens.query(call, made[0].vector, 3)
    assert [hit.token.id for hit in hits] == ["3", "1", "2"]
    assert hits[0].similarity == pytest.approx(1, abs=1e-6)
    for hit in hits:
        assert hit.similarity == 1 - hit.distance
        assert hit.token.vector is not None
    assert [hit.token.text for hit in tokens.query(call, made[0].vector)] == [
        "same words",
        "same words",
        "other things",
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-4, 4, width=32), min_size=DIMENSION, max_size=DIMENSION), min_size=1, max_size=12))
def test_a_hits_own_similarity_as_threshold_includes_it_and_nothing_below(rows: list[list[float]]) -> None:
    tokens = Tokens(ReferenceEngine(), WordEmbedder(), Limits(), UNHEARD)
    tokens.ensure()
    call = call_as()
    tokens.create_many(call, [NewToken(None, None, np.array(row, np.float32)) for row in rows])
    query = np.array(rows[0], np.float32)
    everything = tokens.query(call, query, 100)
    assert len(everything) == len(rows)
    for hit in everything:
        kept = [each.token.id for each in tokens.query(call, query, 100, hit.similarity)]
        assert kept == [each.token.id for each in everything if each.similarity >= hit.similarity]


class Scoring(ReferenceEngine):
    """Finds one token at a distance that the test chooses, unless that is beyond the bound it is given."""

    score = 0.0

    def search(self, ref, request, *, deadline=None):  # type: ignore[no-untyped-def]
        [point] = self.get(ref, ["1"], include=request.include)
        assert point is not None
        within = request.max_score is None or self.score <= request.max_score
        return [SearchResult(hits=(Hit(point, self.score),) if within else ())]


@given(st.floats(0, 2) | st.floats(0, 1e-9))
def test_no_rounding_on_the_way_back_and_forth_loses_a_hit_at_the_threshold(score: float) -> None:
    engine = Scoring()
    engine.score = score
    tokens = Tokens(engine, WordEmbedder(), LIMITS, UNHEARD)
    tokens.ensure()
    tokens.create(call_as(), "hello")
    [hit] = tokens.query(call_as(), OWN)
    [again] = tokens.query(call_as(), OWN, 5, hit.similarity)
    assert again.distance == hit.distance == score
    assert tokens.query(call_as(), OWN, 5, hit.similarity + 1e-9) == []


@pytest.mark.parametrize(
    ("vector", "top_k", "threshold", "field"),
    [
        (OWN[:3], 5, None, "query_vector"),
        (OWN * np.float32("nan"), 5, None, "query_vector[0]"),
        (OWN[:0], 5, None, "query_vector"),
        (OWN, -1, None, "top_k"),
        (OWN, 51, None, "top_k"),
        (OWN, 5, float("nan"), "threshold"),
        (OWN, 5, float("inf"), "threshold"),
    ],
)
def test_bad_questions_are_named(
    tokens: Tokens, call: Call, vector: Vector, top_k: int, threshold: float | None, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tokens.query(call, vector, top_k, threshold)
    assert fields(caught.value) == [field]
    assert caught.value.message.startswith(field)


def test_a_zero_query_is_at_distance_one_from_everything(tokens: Tokens, call: Call) -> None:
    tokens.create(call, "hello")
    [hit] = tokens.query(call, np.zeros(DIMENSION, np.float32), 5)
    assert (hit.distance, hit.similarity) == (1.0, 0.0)


# ---------------------------------------------------------------- one collection, two APIs


def test_tokens_and_points_are_the_same_data(house: House, tokens: Tokens, call: Call) -> None:
    points, search = house.services.points, house.services.search
    created = tokens.create(call, "hello world", {"lang": "en"})
    assert created.vector is not None
    [result] = search.search(call, "tokens", created.vector[None], 1)
    assert (result.hits[0].point.id, result.hits[0].point.payload) == ("1", {"lang": "en"})
    points.upsert(call, "tokens", [Put(id="40", vector=OWN, payload={"from": "vectron"})])
    assert tokens.get(call, 40).payload == {"from": "vectron"}
    assert tokens.create(call, "next").id == "41"
    points.delete(call, "tokens", "1")
    with pytest.raises(PointNotFound):
        tokens.get(call, 1)
    for bad in ("0", "01", "x", str(MAX_SERIAL_ID + 1)):
        with pytest.raises(InvalidArgument) as caught:
            points.upsert(call, "tokens", [Put(id=bad, vector=OWN)])
        assert fields(caught.value) == ["points[0].id"]


def test_a_viewer_reads_and_writes_nothing(house: House, tokens: Tokens, call: Call) -> None:
    one = int(tokens.create(call, "hello world").id)
    viewer = call_as(role=Role.VIEWER)
    assert tokens.get(viewer, one).text == "hello world"
    with pytest.raises(PermissionDenied):
        tokens.update(viewer, one, text="mine now")
    with pytest.raises(PermissionDenied):
        house.services.points.delete(viewer, "tokens", "1")


# ---------------------------------------------------------------- the model


def test_the_collection_remembers_its_model(house: House, tokens: Tokens) -> None:
    spec = tokens.ensure().spec
    assert (spec.model, spec.dimension, spec.distance) == ("test/words_8", DIMENSION, Distance.COSINE)


def test_another_model_is_refused_naming_both(house: House, services: Services) -> None:
    class Other(WordEmbedder):
        name = "test/other_8"

    with pytest.raises(StartupError, match=r"test/words_8.*test/other_8"):
        Tokens(house.engine, Other(), LIMITS, UNHEARD).ensure()

    class Wider(WordEmbedder):
        dimension = 9

    with pytest.raises(StartupError, match=r"8 components.*9 components"):
        Tokens(house.engine, Wider(), LIMITS, UNHEARD).ensure()
    services.tokens.ensure()
