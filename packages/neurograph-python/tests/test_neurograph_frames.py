"""Vector frames as the client reads them: cut anywhere in a stream, and never a foreign error."""

import struct
import threading
from functools import partial

import pytest
from concurrently import gather
from hypothesis import given
from hypothesis import strategies as st

from neurograph import Token
from neurograph._protocol import decoding
from neurograph._protocol.frames import VECTORS, FrameSplitter, read_frame, write_frame
from neurograph.exceptions import InvalidResponseError
from neurograph.wire import Request, Response

ROWS = [struct.pack("<2f", 0.5, -1.0), struct.pack("<2f", 2.0, 3.0)]
TOKENS = b'{"tokens":[{"id":1,"embedding":1},{"id":2,"embedding":[]}],"total":2}'


def answer(body: bytes) -> Response:
    """Return a success that says it is a frame."""
    return Response(Request("GET", "/api/v1/tokens"), 200, {"content-type": VECTORS}, body)


def test_rows_come_where_they_are_named() -> None:
    page = decoding.token_page(10, 0)(decoding.unframed(answer(write_frame(TOKENS, ROWS))))
    assert [token.embedding for token in page] == [[2.0, 3.0], []]
    assert page.total == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"NGV1",
        write_frame(TOKENS, ROWS) + b"x",
        write_frame(TOKENS, ROWS)[:-1],
        struct.pack("<4s3I", b"NGV1", 2**32 - 1, 2**32 - 1, 2**32 - 1),
        write_frame(b'{"tokens":[{"id":1,"embedding":2}]}', ROWS),
        write_frame(b'{"tokens":[{"id":1,"embedding":-1}]}', ROWS),
        write_frame(b"\xff", ROWS),
        write_frame(b"[]x", ROWS),
    ],
)
def test_what_is_no_frame_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        decoding.tokens(decoding.unframed(answer(body)))


@given(st.data())
def test_a_bent_frame_leaks_no_foreign_error(data: st.DataObject) -> None:
    body = bytearray(write_frame(TOKENS, ROWS))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoding.tokens(decoding.unframed(answer(bytes(body))))
    except InvalidResponseError as error:
        assert error.status_code == 200


@given(
    st.lists(st.tuples(st.binary(max_size=9), st.integers(0, 3), st.integers(1, 3)), max_size=5),
    st.lists(st.integers(1, 20), min_size=1, max_size=30),
)
def test_a_stream_may_be_cut_anywhere(shapes: list[tuple[bytes, int, int]], cuts: list[int]) -> None:
    frames = [write_frame(document, [b"abcd" * dimension] * count) for document, count, dimension in shapes]
    stream, splitter = b"".join(frames), FrameSplitter()
    seen: list[bytes] = []
    while stream:
        cut = cuts[len(seen) % len(cuts)]
        seen += splitter.feed(stream[:cut])
        stream = stream[cut:]
    assert seen == frames
    assert list(splitter.flush()) == []
    for frame, (document, count, _) in zip(seen, shapes, strict=True):
        read, rows = read_frame(frame)
        assert read.rstrip(b" ") == document.rstrip(b" ")
        assert all(rows[number] for number in range(count))


def test_a_stream_that_ends_inside_of_a_frame_says_so() -> None:
    pieces = decoding.Pieces(answer(b""), 1_000)
    assert list(pieces.feed(write_frame(b"[]", ROWS)[:-1])) == []
    with pytest.raises(InvalidResponseError, match="inside a vector frame"):
        list(pieces.flush())
    with pytest.raises(InvalidResponseError, match="NGV1"):
        list(decoding.Pieces(answer(b""), 1_000).feed(b"{}\n"))


def test_an_error_in_the_place_of_a_frame_is_raised() -> None:
    body = write_frame(b'{"success":false,"error":{"code":"SERVICE_UNAVAILABLE","message":"gone"}}', [])
    [piece] = decoding.Pieces(answer(b""), 1_000).feed(body)
    with pytest.raises(Exception, match="SERVICE_UNAVAILABLE"):
        decoding.token_piece(piece)


def test_many_threads_may_look_at_one_token() -> None:
    def look(token: Token, together: threading.Barrier) -> list[float]:
        together.wait(5)
        return token.embedding

    for _ in range(30):
        [token] = decoding.tokens(decoding.unframed(answer(write_frame(b'[{"id":1,"embedding":0}]', ROWS[:1]))))
        together = threading.Barrier(8)
        assert gather([partial(look, token, together)] * 8) == [[0.5, -1.0]] * 8
