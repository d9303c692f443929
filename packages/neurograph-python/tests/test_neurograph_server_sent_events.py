"""The parser of server-sent events against the words of the HTML standard, however the stream is cut."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurograph._protocol.server_sent_events import (
    BareId,
    Comment,
    Item,
    Message,
    Parser,
    ReconnectionTime,
    TooLongError,
)

pieces_of_lines = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data:  two blanks",
        b"data",
        b"data:",
        b"dat: no",
        b"id: 7",
        b"id",
        b"id: n\0l",
        b"event: end",
        b"event",
        b"retry: 250",
        b"retry: 2x",
        b"retry:",
        b": comment",
        b":",
        b"",
        b"\xef\xbb\xbfdata: bom",
        "data: ä€😀".encode(),
        b"data: \xff\xfe",
        b"data: with: colon",
    ]
)
line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
streams = st.lists(st.tuples(pieces_of_lines, line_ends), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def by_the_book(stream: bytes) -> list[Item]:
    """Return what a whole stream says, by the steps of the standard, from its decoded text."""
    lines = re.split(r"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))[:-1]
    items: list[Item] = []
    data, event, given = "", "", None
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                items.append(Message(event, data[:-1], given))
            elif given is not None:
                items.append(BareId(given))
            data, event, given = "", "", None
        elif colon and not name:
            items.append(Comment(value))
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            given = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            items.append(ReconnectionTime(int(value)))
    return items


def parsed(stream: bytes, cuts: list[int]) -> list[Item]:
    parser = Parser(10_000)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    return [item for piece in pieces for item in parser.feed(piece)]


@given(streams, st.lists(st.integers(0, 2000), max_size=20))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 10])
@example(b"data: a\r\rid: 1\r\r", [8, 9])
@example(b"\xef\xbb\xbfdata: a\n\n", [1, 2])
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [4])
def test_any_cut_gives_the_same_as_the_standard(stream: bytes, cuts: list[int]) -> None:
    assert parsed(stream, cuts) == by_the_book(stream)


@given(streams)
def test_so_does_every_single_byte(stream: bytes) -> None:
    assert parsed(stream, list(range(len(stream)))) == by_the_book(stream)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_no_stream_breaks_it(stream: bytes, cuts: list[int]) -> None:
    assert parsed(stream, cuts) == parsed(stream, [])


def test_the_examples_of_the_standard() -> None:
    assert parsed(b"data: YHOO\ndata: +2\ndata: 10\n\n", []) == [Message("", "YHOO\n+2\n10", None)]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert parsed(stream, []) == [
        Comment("test stream"),
        Message("", "first event", "1"),
        Message("", "second event", ""),
        Message("", " third event", None),
    ]
    assert parsed(b"data\n\ndata\ndata\n\ndata:", []) == [Message("", "", None), Message("", "\n", None)]


def test_what_has_no_end_is_no_event() -> None:
    parser = Parser(100)
    assert parser.feed(b"id: 7\ndata: x\n") == []
    assert parser.feed(b"") == []
    assert parser.feed(b"\n") == [Message("", "x", "7")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 11, b"x" * 20, b":" * 11 + b"\n", b"data: 12345\ndata: 12345\n"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_lines_and_events_are_bounded(piece: bytes, step: int) -> None:
    parser = Parser(10)
    pieces = [piece[start : start + step] for start in range(0, len(piece), step)]
    with pytest.raises(TooLongError, match="10 bytes"):
        list(map(parser.feed, pieces))


def test_what_is_as_long_as_allowed_passes() -> None:
    parser = Parser(10)
    assert parser.feed(b"data: 1234\r\n\r\n") == [Message("", "1234", None)]
    assert parser.feed(b"data:12345\ndata:1234\n\n") == [Message("", "12345\n1234", None)]
    assert [parser.feed(b"data:1\n\n") for _ in range(100)] == [[Message("", "1", None)]] * 100


def test_a_long_reconnection_time_is_no_number() -> None:
    assert Parser(10_000).feed(b"retry: " + b"9" * 5000 + b"\nretry: 1\n") == [ReconnectionTime(1)]
    assert Parser(100).feed("retry: ²\n".encode()) == []
