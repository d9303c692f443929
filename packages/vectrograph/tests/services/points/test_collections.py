import pytest
from services.house import LIMITS, UNHEARD, House, call_as

from vectrograph.domain.collections import Distance, IdKind, Quantisation
from vectrograph.domain.errors import (
    AlreadyExists,
    CollectionNotFound,
    InvalidArgument,
    PermissionDenied,
    ReservedCollection,
)
from vectrograph.services.call import Call
from vectrograph.services.points.collections import Catalog


@pytest.mark.parametrize(
    ("text", "distance"),
    [
        ("", Distance.EUCLIDEAN),
        ("euclidean", Distance.EUCLIDEAN),
        ("cosine", Distance.COSINE),
        ("dot", Distance.DOT),
    ],
)
def test_distance_is_one_of_three_and_euclidean_when_empty(
    house: House, call: Call, text: str, distance: Distance
) -> None:
    assert house.services.catalog.create(call, "docs", 4, text).spec.distance is distance
    described = house.services.catalog.describe(call, "docs")
    assert (described.spec.distance, described.spec.dimension, described.count) == (distance, 4, 0)
    assert described.spec.ids is IdKind.STRING


@pytest.mark.parametrize("text", ["Cosine", "l2", "manhattan" * 20, " "])
def test_any_other_distance_is_refused_naming_the_three(house: House, call: Call, text: str) -> None:
    with pytest.raises(InvalidArgument, match="cosine, euclidean, dot") as caught:
        house.services.catalog.create(call, "docs", 4, text)
    assert caught.value.details["errors"][0]["field"] == "distance"
    assert len(caught.value.message) < 200
    assert [info.spec.ref.name for info in house.services.catalog.list(call)] == ["tokens"]


@pytest.mark.parametrize("quantisation", Quantisation)
def test_whoever_makes_a_collection_chooses_how_its_index_stores_components(
    house: House, call: Call, quantisation: Quantisation
) -> None:
    made = house.services.catalog.create(call, "docs", 4, "cosine", quantisation.value)
    assert made.spec.quantisation is house.services.catalog.describe(call, "docs").spec.quantisation is quantisation


@pytest.mark.parametrize("default", Quantisation)
def test_the_server_chooses_for_those_who_do_not(house: House, call: Call, default: Quantisation) -> None:
    assert house.services.catalog.create(call, "usual", 4, "").spec.quantisation is Quantisation.INT8
    catalog = Catalog(house.engine, LIMITS, UNHEARD, house.store.owners, default)
    assert catalog.create(call, "docs", 4, "").spec.quantisation is default
    assert catalog.create(call, "other", 4, "", "float16").spec.quantisation is Quantisation.FLOAT16


@pytest.mark.parametrize("text", ["INT8", "int4", "none", " "])
def test_any_other_quantization_is_refused_naming_the_three(house: House, call: Call, text: str) -> None:
    with pytest.raises(InvalidArgument, match="int8, float16, float32") as caught:
        house.services.catalog.create(call, "docs", 4, "", text)
    assert caught.value.details["errors"][0]["field"] == "quantization"
    assert [info.spec.ref.name for info in house.services.catalog.list(call)] == ["tokens"]


@pytest.mark.parametrize("dimension", [0, -1, LIMITS.max_dimension + 1])
def test_dimension_is_positive_and_within_the_limit(house: House, call: Call, dimension: int) -> None:
    with pytest.raises(InvalidArgument, match="dimension"):
        house.services.catalog.create(call, "docs", dimension, "")
    house.services.catalog.create(call, "docs", LIMITS.max_dimension, "")


@pytest.mark.parametrize("name", ["", "a\nb", "\x7f", "x" * 17, "é" * 9, "\ud800"])
def test_names_are_short_printable_text(house: House, call: Call, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        house.services.catalog.create(call, name, 4, "")
    assert caught.value.details["errors"][0]["field"] == "name"


@pytest.mark.parametrize("name", ["x" * 16, "é" * 8, "a/b c", "Tokens"])
def test_any_other_name_will_do(house: House, call: Call, name: str) -> None:
    house.services.catalog.create(call, name, 4, "")
    house.services.catalog.drop(call, name)
    with pytest.raises(CollectionNotFound):
        house.services.catalog.describe(call, name)


def test_a_name_is_taken_once(house: House, call: Call) -> None:
    house.services.catalog.create(call, "docs", 4, "")
    with pytest.raises(AlreadyExists):
        house.services.catalog.create(call, "docs", 4, "")


def test_tokens_can_neither_be_made_nor_dropped_by_anyone(house: House) -> None:
    admin = call_as("tokens:write", "tokens:delete", "collections:write", "collections:delete")
    with pytest.raises(ReservedCollection, match="created"):
        house.services.catalog.create(admin, "tokens", 4, "")
    with pytest.raises(ReservedCollection, match="dropped"):
        house.services.catalog.drop(admin, "tokens")
    assert house.services.catalog.describe(call_as(), "tokens").spec.ids is IdKind.SERIAL


def test_a_list_shows_what_the_caller_may_read(house: House, call: Call) -> None:
    house.services.catalog.create(call, "docs", 4, "")

    def names(*scopes: str) -> list[str]:
        return [info.spec.ref.name for info in house.services.catalog.list(call_as(*scopes))]

    assert names("collections:read", "tokens:read") == ["docs", "tokens"]
    assert names("collections:read") == ["docs"]
    assert names("tokens:read") == ["tokens"]
    with pytest.raises(PermissionDenied):
        names("collections:write")


def test_dropping_what_is_not_there_is_not_found(house: House, call: Call) -> None:
    with pytest.raises(CollectionNotFound):
        house.services.catalog.drop(call, "docs")
