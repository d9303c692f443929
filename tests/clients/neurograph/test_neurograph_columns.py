"""Plain items with arrays go through one matrix: what arrives is what was given, whatever else happens to the load."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neurograph import NeuroGraphClient, ValidationError
from neurograph._bulk.batches import Batch, halves, recut
from neurograph._bulk.columns import Columns, Cutter
from neurograph._bulk.items import Encoded, encoded
from neurograph._protocol.frames import read_frame
from neurograph._protocol.vector_bodies import Dialect
from neurograph.models import ServerLimits
from vectrograph import RunningServer

_ROWS = np.random.default_rng(3).standard_normal((50, 6)).astype(np.float32)


def plain(n: int, row: Any = None) -> dict[str, Any]:
    return {"text": f"t{n}", "embedding": _ROWS[n] if row is None else row}


def cut(items: list[Any], dialect: Dialect | None = None) -> list[Any]:
    cutter = Cutter(dialect or Dialect())
    found = [cutter.take(item, n) for n, item in enumerate(items)]
    return [batch for batch in (*found, cutter.flush()) if batch is not None]


def one_by_one(items: list[Any]) -> list[Encoded]:
    return [encoded(item, n, pack_lists=False) for n, item in enumerate(items)]


KINDS: list[Any] = [
    plain(0),
    plain(1),
    plain(2, _ROWS[2][:3].copy()),
    plain(3, _ROWS[3].astype(np.float64)),
    plain(4, _ROWS[::2, 4][:6]),
    {**plain(5), "metadata": {"n": 5}},
    "a text",
    {"text": 'quotes " and ünïcode \n'},
    {"text": 'quotes " and ünïcode \n', "embedding": _ROWS[7]},
    {"text": "a list", "embedding": [1.0] * 6},
]


@given(st.lists(st.sampled_from(KINDS), max_size=30), st.integers(1, 7))
def test_items_of_all_kinds_are_cut_in_order_and_encoded_as_each_alone(items: list[Any], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", most)
        batches = cut(items)
    assert [each for batch in batches for each in batch] == one_by_one(items)
    assert all(1 <= len(batch) <= most for batch in batches)


@given(st.integers(1, 40), st.integers(30, 300))
def test_the_bytes_of_columns_are_bounded_as_those_of_lists(count: int, most: int) -> None:
    items = [plain(n) for n in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurograph._protocol.operations.MAX_BATCH_BYTES", most)
        batches = cut(items)
    sizes = [sum(each.size(True) for each in batch) for batch in batches]
    for (batch, following), size in zip(pairwise(batches), sizes, strict=False):
        assert size <= most or len(batch) == 1
        assert size + following[0].size(True) > most


@pytest.mark.parametrize("bare", [False, True])
def test_the_frame_is_that_of_the_items_one_by_one(bare: bool) -> None:
    items = [plain(n) for n in range(40)]
    [columns] = cut(items)
    assert isinstance(columns, Columns)
    assert Batch(columns, bare).framed() == Batch(one_by_one(items), bare).framed()
    assert Batch(columns, bare).in_json() == Batch(one_by_one(items), bare).in_json()
    document, rows = read_frame(Batch(columns, bare).framed() or b"")
    assert (b'"include":[]' in document) is bare
    assert rows.block(range(40)) == _ROWS[:40].tobytes()


def test_arrays_may_be_used_again_as_soon_as_they_were_read() -> None:
    array = np.empty(6, dtype=np.float32)
    cutter = Cutter(Dialect())
    for n in range(40):
        array[:] = _ROWS[n]
        assert cutter.take(plain(n, array), n) is None
    batch = cutter.flush()
    assert batch is not None
    assert b"".join(each.packed or b"" for each in batch) == _ROWS[:40].tobytes()


def test_columns_are_halved_and_cut_to_limits_like_any_batch() -> None:
    items = [plain(n) for n in range(10)]
    [columns] = cut(items)
    assert [list(half) for half in halves(columns)] == [one_by_one(items)[:5], one_by_one(items)[5:]]
    parts = recut(columns, ServerLimits(max_batch=4), True)
    assert [[each.index for each in part] for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert recut(columns, ServerLimits(max_batch=10), True) == [columns]


def test_a_server_that_reads_no_frames_gets_no_columns() -> None:
    dialect = Dialect()
    dialect.frames = False
    [batch] = cut([plain(n) for n in range(10)], dialect)
    assert not isinstance(batch, Columns)


def wrong_at(*places: int) -> NDArray[np.float32]:
    rows = _ROWS.copy()
    for place in places:
        rows[place, place % 6] = np.nan
    return rows


def test_components_that_are_no_numbers_are_named_and_the_rest_goes_on(vectrograph_server: RunningServer) -> None:
    rows = wrong_at(2, 17)
    rows = np.hstack([rows, np.zeros((50, 250), np.float32)])
    with vectrograph_server.neurograph() as client:
        result = client.tokens.create_many(({"text": "x", "embedding": row} for row in rows), on_error="collect")
    assert [failure.index for failure in result.failed] == [2, 17]
    assert result.failed_items[1]["embedding"] is not None  # type: ignore[index]
    fields = [failure.error.details["errors"][0]["field"] for failure in result.failed]
    assert fields == ["tokens.2.embedding.2", "tokens.17.embedding.5"]
    kept = [n for n in range(50) if n not in (2, 17)]
    np.testing.assert_allclose(np.stack([token.vector for token in result]), rows[kept], atol=1e-5)


def test_nothing_of_a_batch_with_a_wrong_component_is_sent() -> None:
    with NeuroGraphClient("http://127.0.0.1:1", api_key="k") as client:
        with pytest.raises(ValidationError, match=r"tokens\.3\.embedding\.3"):
            client.tokens.create_many({"text": "x", "embedding": row} for row in wrong_at(3, 4))


def test_memory_is_used_again_and_never_while_a_batch_is_on_its_way(
    vectrograph_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurograph._protocol.operations.MAX_BATCH_COUNT", 7)
    used: list[Any] = []
    begin = Columns.__init__

    def seen(self: Columns, *given: Any) -> None:
        begin(self, *given)
        used.append(self._matrix)

    monkeypatch.setattr(Columns, "__init__", seen)
    rows = np.random.default_rng(4).standard_normal((200, 256)).astype(np.float32)

    def items() -> Iterator[dict[str, Any]]:
        return ({"text": "x", "embedding": row} for row in rows)

    async def load() -> list[NDArray[np.float32]]:
        async with vectrograph_server.async_neurograph() as client:
            return [token.vector for token in await client.tokens.create_many(items(), max_in_flight=3)]

    np.testing.assert_allclose(np.stack(anyio.run(load)), rows, atol=1e-5)
    assert (len(used), len(set(map(id, used))) < 7) == (29, True)
    used.clear()
    with vectrograph_server.neurograph() as client:
        tokens = client.tokens.create_many(items())
    np.testing.assert_allclose(np.stack([token.vector for token in tokens]), rows, atol=1e-5)
    assert (len(used), len(set(map(id, used))) <= 2) == (29, True)
