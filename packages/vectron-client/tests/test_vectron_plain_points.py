"""Points without payloads whose vectors are float32 arrays take a shorter way, to the same bytes and errors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectron_client import Point
from vectron_client._pb import vectron_pb as wire
from vectron_client._protocol import points
from vectron_client.exceptions import InvalidArgumentError, MessageTooLargeError

_ROWS = np.random.default_rng(5).standard_normal((20, 3)).astype(np.float32)


class _Child(Point):
    """A point of a program's own."""


KINDS: list[Point] = [
    Point("a", _ROWS[0]),
    Point("ä" * 100, _ROWS[1]),
    Point("n" * 300, _ROWS[2]),
    Point("strided", _ROWS[::7, 1]),
    Point("double", _ROWS[3].astype(np.float64)),
    Point("swapped", _ROWS[4].astype(">f4")),
    Point("list", [1.0, 2.0, 3.0]),
    Point("payload", _ROWS[5], {"a": "b", "n": 1}),
    Point("none", _ROWS[6], None),  # type: ignore[arg-type]
    _Child("child", _ROWS[7]),
]


def encoded(given_points: list[Any], most: int = 1 << 20) -> list[bytes]:
    return list(points.encode_points(given_points, dimension=0, max_bytes=most))


@given(st.lists(st.sampled_from(KINDS), max_size=20))
def test_every_share_is_that_of_the_point_alone(given_points: list[Point]) -> None:
    shares = encoded([KINDS[0], *given_points])
    assert shares[1:] == [encoded([point])[0] for point in given_points]
    read = wire.UpsertRequest.FromString(b"".join(shares)).points
    assert [point.id for point in read] == ["a", *(point.id for point in given_points)]


def test_plain_points_take_the_shorter_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    checked = points._checked_vector

    def seen(point: Any) -> bytes:
        taken.append(point.id)
        return checked(point)

    monkeypatch.setattr(points, "_checked_vector", seen)
    encoded([Point(str(n), row) for n, row in enumerate(_ROWS)])
    assert taken == ["0"]


@pytest.mark.parametrize(
    ("point", "about"),
    [
        (Point("bad", np.array([1, np.nan, 3], dtype=np.float32)), r"'bad' \(position 2\).*vector\[1\] is nan"),
        (Point("bad", np.array([1, np.inf, 3], dtype=np.float32)), r"vector\[1\] is inf"),
        (Point("bad", np.ones(4, dtype=np.float32)), "4 components; the points before it have 3"),
        (Point("bad", np.ones((3, 1), dtype=np.float32)), "2 dimensions"),
        (Point("", _ROWS[0]), "id must not be empty"),
        (Point(7, _ROWS[0]), "id must be a string, not int"),  # type: ignore[arg-type]
        (Point("\ud800", _ROWS[0]), "surrogate pair"),
        (Point("bad", _ROWS[0], []), "payload is list"),  # type: ignore[arg-type]
        ("no point", "pass a vectron_client.Point"),
    ],
)
def test_a_wrong_point_behind_plain_ones_is_named(point: Any, about: str) -> None:
    with pytest.raises(InvalidArgumentError, match=about) as caught:
        encoded([KINDS[0], KINDS[0], point])
    assert caught.value.details["position"] == 2


def test_a_point_too_large_for_a_message_is_named() -> None:
    with pytest.raises(MessageTooLargeError, match="'nnn") as caught:
        encoded([KINDS[0], KINDS[2]], most=100)
    assert caught.value.details["position"] == 1


def test_an_array_may_be_used_again_as_soon_as_its_point_was_read() -> None:
    array = np.empty(3, dtype=np.float32)

    def reusing() -> Iterator[Point]:
        for n, row in enumerate(_ROWS):
            array[:] = row
            yield Point(str(n), array)

    shares = list(points.encode_points(reusing(), dimension=3, max_bytes=1 << 20))
    read = wire.UpsertRequest.FromString(b"".join(shares)).points
    np.testing.assert_array_equal(np.array([point.vector for point in read], dtype=np.float32), _ROWS)
