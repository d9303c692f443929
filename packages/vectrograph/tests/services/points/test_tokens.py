import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from services.house import DIMENSION, LIMITS, UNHEARD, House, WordEmbedder

from vectrograph.domain.collections import CollectionRef
from vectrograph.domain.errors import (
    Conflict,
    InvalidArgument,
    PointNotFound,
    TooLarge,
)
from vectrograph.domain.points import KEEP, MAX_SERIAL_ID, Delete, Op, Patch, Payload, Put, Vector, WriteResult
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services.call import Call
from vectrograph.services.points.tokens import NewToken, Tokens
from vectrograph.services.points.tokens_collection import TOKENS

OWN = np.arange(1, DIMENSION + 1, dtype=np.float32)


@pytest.fixture
def tokens(house: House) -> Tokens:
    return house.services.tokens


def vector_of(house: House, text: str) -> list[float]:
    values: list[float] = house.embedder.embed([text])[0].tolist()
    return values


def listed(vector: Vector | None) -> list[float]:
    assert vector is not None
    values: list[float] = vector.tolist()
    return values


def fields(error: InvalidArgument) -> list[str]:
    return [entry["field"] for entry in error.details["errors"]]


# ---------------------------------------------------------------- creating


def test_a_token_is_embedded_numbered_and_read_back_as_it_was_answered(
    house: House, tokens: Tokens, call: Call
) -> None:
    created = tokens.create(call, "hello world", {"a": 1})
    assert created.id == "1"
    assert listed(created.vector) == vector_of(house, "hello world")
    read = tokens.get(call, 1)
    assert listed(read.vector) == listed(created.vector)
    assert read._replace(vector=None) == created._replace(vector=None)


def test_a_given_embedding_is_taken_as_it_is(house: House, tokens: Tokens, call: Call) -> None:
    house.embedder.embedded.clear()
    assert listed(tokens.create(call, "hello", None, OWN).vector) == OWN.tolist()
    assert listed(tokens.create(call, None, None, OWN).vector) == OWN.tolist()
    assert house.embedder.embedded == []
    assert tokens.get(call, 2).text is None


def test_a_batch_is_one_write_embedded_at_once_in_order(house: House, tokens: Tokens, call: Call) -> None:
    house.embedder.embedded.clear()
    made = tokens.create_many(call, [NewToken("one"), NewToken("two", {"n": 2}, OWN), NewToken("three")])
    assert [point.id for point in made] == ["1", "2", "3"]
    assert house.embedder.embedded == ["one", "three"]
    assert [listed(point.vector) for point in made] == [
        vector_of(house, "one"),
        OWN.tolist(),
        vector_of(house, "three"),
    ]
    assert house.engine.describe(TOKENS).seq == 3
    assert [point.payload for point in made] == [{}, {"n": 2}, {}]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (NewToken(""), "tokens[1].text"),
        (NewToken(" \n\t\u2003"), "tokens[1].text"),
        (NewToken("x" * 101), "tokens[1].text"),
        (NewToken("é" * 51), "tokens[1].text"),
        (NewToken("\ud800"), "tokens[1].text"),
        (NewToken(None), "tokens[1].text"),
        (NewToken("x", None, OWN[:3]), "tokens[1].embedding"),
        (NewToken("x", None, OWN * np.float32("nan")), "tokens[1].embedding[0]"),
        (NewToken("x", {"n": float("inf")}), "tokens[1].metadata"),
    ],
)
def test_a_bad_token_is_named_and_none_of_the_batch_is_written(
    house: House, tokens: Tokens, call: Call, bad: NewToken, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tokens.create_many(call, [NewToken("fine"), bad])
    assert fields(caught.value) == [field]
    assert house.engine.count(TOKENS) == 0
    with pytest.raises(InvalidArgument) as caught:
        tokens.create(call, bad.text, bad.metadata, bad.embedding)
    assert fields(caught.value) == [field.removeprefix("tokens[1].")]
    assert house.engine.count(TOKENS) == 0


def test_a_text_over_the_limit_is_told_the_limit(tokens: Tokens, call: Call) -> None:
    with pytest.raises(InvalidArgument, match=r"101 bytes.*max_text_bytes is 100"):
        tokens.create(call, "x" * 101)
    assert tokens.create(call, "x" * 100).text == "x" * 100


def test_empty_and_oversized_batches_and_metadata(tokens: Tokens, call: Call) -> None:
    with pytest.raises(InvalidArgument):
        tokens.create_many(call, [])
    with pytest.raises(TooLarge, match="max_batch"):
        tokens.create_many(call, [NewToken("x")] * 21)
    with pytest.raises(TooLarge) as caught:
        tokens.create(call, "x", {"note": "y" * 300})
    assert caught.value.details["field"] == "metadata"


def test_numbers_are_never_given_twice(tokens: Tokens, call: Call) -> None:
    tokens.create(call, "one")
    tokens.delete(call, 1)
    assert tokens.create(call, "two").id == "2"


def test_nothing_is_read_back_after_a_write(
    house: House, tokens: Tokens, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that is deleted before its creator has the answer was created; one that is changed, likewise."""
    tokens.create(call, "hello", {"a": 1})
    write = house.engine.write

    def overtaken(ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        result = write(ref, ops, **options)
        if isinstance(ops[0], Put | Patch):
            write(ref, [Delete(id=outcome.id) for outcome in result.outcomes])
        return result

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a second read")

    with monkeypatch.context() as patch:
        patch.setattr(house.engine, "write", overtaken)
        patch.setattr(house.engine, "get", refused)
        changed = tokens.update(call, 1, metadata={"b": 2})
        many = tokens.create_many(call, [NewToken("one"), NewToken("two")])
    assert (changed.text, changed.payload, listed(changed.vector)) == ("hello", {"b": 2}, vector_of(house, "hello"))
    assert [(token.id, token.text) for token in many] == [("2", "one"), ("3", "two")]
    assert all(token.created_at == token.updated_at > 0 for token in many)
    assert house.engine.count(TOKENS) == 0


# ---------------------------------------------------------------- reading


def test_pages_ascend_by_number_and_say_how_many_there_are(tokens: Tokens, call: Call) -> None:
    tokens.create_many(call, [NewToken(f"text {i}") for i in range(12)])
    page = tokens.list(call, 5, 8)
    assert [point.id for point in page.tokens] == ["9", "10", "11", "12"]
    assert (page.total, page.limit, page.offset) == (12, 5, 8)
    assert all(point.vector is not None for point in page.tokens)
    assert tokens.list(call, 5, 99).tokens == []


@pytest.mark.parametrize(("limit", "offset", "field"), [(0, 0, "limit"), (31, 0, "limit"), (1, -1, "offset")])
def test_pages_out_of_range_are_refused(tokens: Tokens, call: Call, limit: int, offset: int, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tokens.list(call, limit, offset)
    assert fields(caught.value) == [field]


@pytest.mark.parametrize("token_id", [0, -1, 7, MAX_SERIAL_ID, MAX_SERIAL_ID + 1, 10**40])
def test_tokens_that_are_not_there_are_not_found(tokens: Tokens, call: Call, token_id: int) -> None:
    with pytest.raises(PointNotFound, match=str(token_id)):
        tokens.get(call, token_id)
    with pytest.raises(PointNotFound):
        tokens.delete(call, token_id)
    for changes in ({}, {"text": "x"}, {"metadata": {"a": 1}}, {"embedding": OWN}):
        with pytest.raises(PointNotFound):
            tokens.update(call, token_id, **changes)
    assert tokens.list(call, 1, 0).total == 0


# ---------------------------------------------------------------- changing


@pytest.fixture
def one(tokens: Tokens, call: Call) -> int:
    tokens.create(call, "hello world", {"a": 1})
    return 1


def test_an_empty_update_changes_nothing(house: House, tokens: Tokens, call: Call, one: int) -> None:
    before = tokens.get(call, one)
    after = tokens.update(call, one)
    assert (after.version, after.text, after.payload) == (before.version, "hello world", {"a": 1})
    assert house.engine.describe(TOKENS).seq == 1


def test_new_text_is_embedded_again(house: House, tokens: Tokens, call: Call, one: int) -> None:
    after = tokens.update(call, one, text="something else")
    assert listed(after.vector) == vector_of(house, "something else")
    assert (after.text, after.payload) == ("something else", {"a": 1})


def test_new_text_with_an_embedding_takes_the_embedding(tokens: Tokens, call: Call, one: int) -> None:
    after = tokens.update(call, one, text="something else", embedding=OWN)
    assert (after.text, listed(after.vector)) == ("something else", OWN.tolist())


def test_text_null_clears_it_and_keeps_the_embedding(house: House, tokens: Tokens, call: Call, one: int) -> None:
    after = tokens.update(call, one, text=None)
    assert after.text is None
    assert listed(after.vector) == vector_of(house, "hello world")
    assert after.payload == {"a": 1}


@pytest.mark.parametrize(("metadata", "stored"), [({"b": 2}, {"b": 2}), ({}, {}), (None, {})])
def test_metadata_is_replaced_whole(
    tokens: Tokens, call: Call, one: int, metadata: Payload | None, stored: Payload
) -> None:
    after = tokens.update(call, one, metadata=metadata)
    assert (after.payload, after.text) == (stored, "hello world")


def test_an_embedding_alone_replaces_the_vector_only(tokens: Tokens, call: Call, one: int) -> None:
    after = tokens.update(call, one, embedding=OWN)
    assert (listed(after.vector), after.text, after.payload) == (OWN.tolist(), "hello world", {"a": 1})


def test_embedding_null_embeds_the_text_again(house: House, tokens: Tokens, call: Call, one: int) -> None:
    tokens.update(call, one, embedding=OWN)
    assert listed(tokens.update(call, one, embedding=None).vector) == vector_of(house, "hello world")
    after = tokens.update(call, one, text="new text", embedding=None)
    assert listed(after.vector) == vector_of(house, "new text")


def test_embedding_null_needs_a_text(tokens: Tokens, call: Call, one: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tokens.update(call, one, text=None, embedding=None)
    assert fields(caught.value) == ["embedding"]
    tokens.update(call, one, text=None)
    with pytest.raises(InvalidArgument):
        tokens.update(call, one, embedding=None)


def test_all_three_at_once_and_the_word_keep_is_a_text(tokens: Tokens, call: Call, one: int) -> None:
    after = tokens.update(call, one, text="keep", embedding=OWN, metadata={"c": [1, None]})
    assert (after.text, listed(after.vector), after.payload) == ("keep", OWN.tolist(), {"c": [1, None]})
    assert tokens.update(call, one, text=KEEP, metadata=KEEP, embedding=KEEP).text == "keep"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": "x" * 101}, "text"),
        ({"embedding": OWN[:2]}, "embedding"),
        ({"embedding": OWN * np.float32("inf")}, "embedding[0]"),
        ({"metadata": {"n": float("nan")}}, "metadata"),
    ],
)
def test_bad_changes_are_named_and_change_nothing(
    tokens: Tokens, call: Call, one: int, changes: dict[str, object], field: str
) -> None:
    before = tokens.get(call, one)
    with pytest.raises(InvalidArgument) as caught:
        tokens.update(call, one, **changes)  # type: ignore[arg-type]
    assert fields(caught.value) == [field]
    assert tokens.get(call, one).version == before.version


def test_creation_time_stays_and_version_rises(tokens: Tokens, call: Call, one: int) -> None:
    before = tokens.get(call, one)
    after = tokens.update(call, one, text="other words")
    assert (after.created_at, after.created_seq) == (before.created_at, before.created_seq)
    assert after.version > before.version


class Interfering(ReferenceEngine):
    """Lets others come between reading and writing."""

    def __init__(self) -> None:
        super().__init__()
        self.between: list[Put | Delete] = []

    def write(self, ref, ops, **options):  # type: ignore[no-untyped-def]
        if self.between and options.get("precondition") is not None:
            super().write(ref, [self.between.pop(0)])
        return super().write(ref, ops, **options)


@pytest.fixture
def interfering() -> tuple[Interfering, Tokens]:
    engine = Interfering()
    tokens = Tokens(engine, WordEmbedder(), LIMITS, UNHEARD)
    tokens.ensure()
    return engine, tokens


def test_a_change_that_met_another_is_tried_again_on_what_is_there(
    interfering: tuple[Interfering, Tokens], call: Call
) -> None:
    engine, tokens = interfering
    tokens.create(call, "old text")
    engine.between = [Put(id="1", vector=OWN, text="their text", payload={"theirs": True})]
    after = tokens.update(call, 1, embedding=None)
    assert after.text == "their text"
    assert listed(after.vector) == WordEmbedder().embed(["their text"])[0].tolist()
    assert after.payload == {"theirs": True}


def test_a_token_deleted_during_its_change_stays_deleted(interfering: tuple[Interfering, Tokens], call: Call) -> None:
    engine, tokens = interfering
    tokens.create(call, "old text")
    engine.between = [Delete(id="1")]
    with pytest.raises(PointNotFound):
        tokens.update(call, 1, text="new text")
    assert engine.count(TOKENS) == 0


def test_a_change_gives_up_when_others_never_stop(interfering: tuple[Interfering, Tokens], call: Call) -> None:
    engine, tokens = interfering
    tokens.create(call, "old text")
    engine.between = [Put(id="1", vector=OWN)] * 50
    with pytest.raises(Conflict, match="try again"):
        tokens.update(call, 1, text="new text")
    assert 40 <= len(engine.between) < 50


def test_changes_of_many_threads_all_arrive_whole(house: House, tokens: Tokens, call: Call, one: int) -> None:
    def change(word: str) -> None:
        for _ in range(5):
            try:
                tokens.update(call, one, text=word, metadata={"word": word})
            except Conflict:
                continue

    threads = [threading.Thread(target=change, args=(word,)) for word in ("alpha", "beta", "gamma", "delta")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = tokens.get(call, one)
    assert final.text is not None
    assert listed(final.vector) == vector_of(house, final.text)
    assert final.payload == {"word": final.text}
