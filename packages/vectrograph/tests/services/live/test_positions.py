"""Positions: what they hold, and that nobody makes or changes one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.errors import InvalidArgument
from vectrograph.services.live.positions import Cursor, Positions

POSITIONS = Positions([b"k" * 64])
CURSORS = st.builds(
    Cursor,
    position=st.none() | st.text(st.sampled_from("abcXYZ019-_="), min_size=1, max_size=60),
    seq=st.integers(0, 2**63),
)
CHANNELS = st.text(min_size=1, max_size=300).map(lambda name: f"collection:{name}") | st.just("tokens")


@given(st.dictionaries(CHANNELS, CURSORS, min_size=1, max_size=64), st.text(max_size=20))
def test_a_position_holds_where_a_reader_was(cursors: dict[str, Cursor], tenant: str) -> None:
    sealed = POSITIONS.seal(tenant, cursors)
    assert POSITIONS.open(tenant, sealed, list(cursors)) == cursors
    assert len(sealed) < 64 * 110 + 30


@given(st.dictionaries(CHANNELS, CURSORS, min_size=1, max_size=5))
def test_a_sealer_makes_the_same_positions(cursors: dict[str, Cursor]) -> None:
    channel, cursor = next(iter(cursors.items()))
    others = {name: each for name, each in cursors.items() if name != channel}
    seal = POSITIONS.sealer("t", others, channel, cursor.position)
    for seq in (0, 1, 2**63):
        expected = {**others, channel: Cursor(cursor.position, seq)}
        assert POSITIONS.open("t", seal(seq), list(cursors)) == expected


def test_channels_that_were_not_asked_for_are_left_out() -> None:
    sealed = POSITIONS.seal("t", {"tokens": Cursor("a", 1), "collection:b": Cursor(None, 2)})
    assert POSITIONS.open("t", sealed, ["collection:b", "collection:c"]) == {"collection:b": Cursor(None, 2)}


def test_no_bit_can_be_changed() -> None:
    sealed = POSITIONS.seal("t", {"tokens": Cursor("abc", 7)})
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidArgument, match="since"):
            POSITIONS.open("t", base64.urlsafe_b64encode(bytes(changed)).decode(), ["tokens"])


@pytest.mark.parametrize(
    "text", ["", "7", "oldest!", "ünsinn", "AAAA", "A" * 100_000, "\ud800", " ", "AAAAAAAAAAAAAAAAAQ"]
)
def test_inventions_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="since"):
        POSITIONS.open("t", text, ["tokens"])


def test_a_position_is_of_one_tenant_and_one_server() -> None:
    sealed = POSITIONS.seal("t", {"tokens": Cursor("abc", 7)})
    for positions, tenant in ((POSITIONS, "u"), (Positions([b"other"]), "t")):
        with pytest.raises(InvalidArgument, match="since"):
            positions.open(tenant, sealed, ["tokens"])


def test_a_new_key_opens_what_the_old_one_sealed() -> None:
    sealed = POSITIONS.seal("t", {"tokens": Cursor("abc", 7)})
    rotated = Positions([b"new", b"k" * 64])
    assert rotated.open("t", sealed, ["tokens"]) == {"tokens": Cursor("abc", 7)}
    assert rotated.seal("t", {"tokens": Cursor("abc", 7)}) != sealed
