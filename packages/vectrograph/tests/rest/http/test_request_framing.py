"""Borders between requests: what is released, what is refused, however the bytes are cut. FINDINGS B2, B10."""

import pytest

from vectrograph.http import request_framing as framing
from vectrograph.http.errors import FramingRefused
from vectrograph.http.request_framing import RequestFraming

HOST = b"Host: localhost\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"


def pieces_of(parts: list[bytes], *, websockets: bool = False) -> bytes:
    """Return everything that is released for the parser."""
    found, released = RequestFraming(websockets=websockets), b""
    for part in parts:
        found.receive(part)
        while (piece := found.next_piece()) is not None:
            released += piece
    return released


def refusal_of(parts: list[bytes]) -> FramingRefused:
    with pytest.raises(FramingRefused) as caught:
        pieces_of(parts)
    return caught.value


def single_bytes(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def post(headers: bytes, body: bytes) -> bytes:
    return b"POST /api/v1/tokens HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


CHUNKED = post(b"Transfer-Encoding: chunked\r\n", b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
FITTING_TARGET = b"GET /" + b"a" * (framing.MAX_TARGET_BYTES - 1) + b" HTTP/1.1\r\n" + HOST + b"\r\n"
FULL_HEAD = GET[:-2] + b"x: " + b"y" * (framing.MAX_HEAD_BYTES - len(GET) - len(b"x: \r\n")) + b"\r\n\r\n"
MANY_FIELDS = GET[:-2] + b"a:\r\n" * (framing.MAX_FIELDS - 1) + b"\r\n"
LEGAL = {
    "plain": GET,
    "two at once": GET + GET,
    "an empty line before": b"\r\n" + GET,
    "old version": b"GET /livez HTTP/1.0\r\n" + HOST + b"\r\n",
    "a body": post(b"Content-Length: 3\r\n", b"abc") + GET,
    "an empty body": post(b"Content-Length: 0\r\n", b"") + GET,
    "chunks": CHUNKED + GET,
    "longest target": FITTING_TARGET,
    "largest head": FULL_HEAD,
    "most fields": MANY_FIELDS,
    "bytes beyond ASCII in a value": GET[:-2] + b"x: \xff\t\x80\r\n\r\n",
    "everyone": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "whole URL": b"GET http://LOCALHOST/livez HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal_requests_pass_unchanged_whole_and_byte_by_byte(name: str) -> None:
    request = LEGAL[name]
    expected = request.removeprefix(b"\r\n")
    assert pieces_of([request]) == expected
    assert pieces_of(single_bytes(request)) == expected


@pytest.mark.parametrize("name", ["plain", "a body", "chunks"])
def test_a_request_may_be_cut_in_two_anywhere(name: str) -> None:
    request = LEGAL[name]
    for place in range(len(request)):
        assert pieces_of([request[:place], request[place:]]) == request


def test_a_piece_never_reaches_into_the_next_request() -> None:
    found = RequestFraming()
    found.receive(post(b"Content-Length: 3\r\n", b"abc") + CHUNKED + GET)
    pieces = []
    while (piece := found.next_piece()) is not None:
        pieces.append(piece)
    assert [piece[:4] for piece in pieces] == [b"POST", b"abc", b"POST", b"3;x=", b"\r\n", b"GET "]


def test_trailers_are_dropped() -> None:
    """FINDINGS B10: a field in a trailer must never pass for a header."""
    request = CHUNKED[:-2] + b"X-Api-Key: stolen\r\nmore: x\r\n\r\n"
    assert pieces_of([request + GET]) == CHUNKED + GET
    assert pieces_of(single_bytes(request + GET)) == CHUNKED + GET


def test_an_upgrade_that_is_not_supported_is_ignored_and_its_body_stays_a_body() -> None:
    """FINDINGS B10: with the header the parser would take the body for the next request."""
    request = post(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n" % len(GET), GET)
    assert pieces_of([request]) == request.replace(b"Upgrade: h2c\r\n", b"")
    websocket = GET[:-2] + b"Connection: Upgrade\r\nupgrade:  WebSocket \r\n\r\n"
    assert pieces_of([websocket]) == GET[:-2] + b"Connection: Upgrade\r\n\r\n"
    assert pieces_of([websocket, b"\x81\x00"], websockets=True) == websocket + b"\x81\x00"
    with_body = request.replace(b"h2c", b"websocket")
    assert b"websocket" not in pieces_of([with_body], websockets=True)


TE = b"Transfer-Encoding: "
# What two servers could read in two ways, or HTTP forbids: (request, status).
REFUSED: dict[str, tuple[bytes, int]] = {
    "gzip, chunked": (post(TE + b"gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "gzip": (post(TE + b"gzip\r\n", b""), 501),
    "identity": (post(TE + b"identity\r\n", b""), 501),
    "no coding": (post(TE + b"\r\n", b""), 501),
    "chunked in quotes": (post(TE + b'"chunked"\r\n', b""), 501),
    "xchunked": (post(TE + b"xchunked\r\n", b""), 501),
    "chunked with a vertical tab": (post(TE + b"\x0bchunked\r\n", b""), 400),
    "chunked twice": (post(TE + b"chunked, chunked\r\n", b""), 400),
    "chunked in two fields": (post((TE + b"chunked\r\n") * 2, b""), 400),
    "chunked, then gzip in another field": (post(TE + b"chunked\r\n" + TE + b"gzip\r\n", b""), 501),
    "coding and length": (post(TE + b"chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n"), 400),
    "length and coding": (post(b"Content-Length: 3\r\n" + TE + b"chunked\r\n", b"0\r\n\r\n"), 400),
    "coding in HTTP/1.0": (post(TE + b"chunked\r\n", b"").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "two lengths": (post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"), 400),
    "a length twice": (post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400),
    "lengths in a list": (post(b"Content-Length: 3, 3\r\n", b"abc"), 400),
    "signed length": (post(b"Content-Length: +3\r\n", b"abc"), 400),
    "negative length": (post(b"Content-Length: -3\r\n", b"abc"), 400),
    "hexadecimal length": (post(b"Content-Length: 0x3\r\n", b"abc"), 400),
    "length with a blank": (post(b"Content-Length: 1 3\r\n", b"abc"), 400),
    "underscored length": (post(b"Content-Length: 1_0\r\n", b"abc"), 400),
    "length of other digits": (post(b"Content-Length: \xd9\xa3\r\n", b"abc"), 400),
    "length beyond 64 bits": (post(b"Content-Length: 99999999999999999999\r\n", b""), 400),
    "no length": (post(b"Content-Length:\r\n", b""), 400),
    "blank before the colon": (post(b"Content-Length : 3\r\n", b"abc"), 400),
    "tab before the colon": (post(b"Transfer-Encoding\t: chunked\r\n", b""), 400),
    "no colon": (GET[:-2] + b"nonsense\r\n\r\n", 400),
    "no name": (GET[:-2] + b": x\r\n\r\n", 400),
    "folded line": (GET[:-2] + b"x: a\r\n b\r\n\r\n", 400),
    "folded first line": (b"GET / HTTP/1.1\r\n x: a\r\n\r\n", 400),
    "folded coding": (post(b"Transfer-Encoding:\r\n chunked\r\n", b""), 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "one bare line feed": (GET[:-2] + b"x: a\nContent-Length: 3\r\n\r\n", 400),
    "bare carriage return": (GET[:-2] + b"x: a\rb\r\n\r\n", 400),
    "carriage return twice": (GET[:-2] + b"x: a\r\r\n\r\n", 400),
    "NUL in a value": (GET[:-2] + b"x: a\x00b\r\n\r\n", 400),
    "NUL in a name": (GET[:-2] + b"x\x00: a\r\n\r\n", 400),
    "escape in a value": (GET[:-2] + b"x: \x1b[2J\r\n\r\n", 400),
    "delete in a value": (GET[:-2] + b"x: \x7f\r\n\r\n", 400),
    "bracket in a name": (GET[:-2] + b"x[]: a\r\n\r\n", 400),
    "byte beyond ASCII in a name": (GET[:-2] + b"\xe4: a\r\n\r\n", 400),
    "control byte in the target": (b"GET /\x01 HTTP/1.1\r\n\r\n", 400),
    "byte beyond ASCII in the target": (b"GET /\xe4 HTTP/1.1\r\n\r\n", 400),
    "fragment in the target": (b"GET /#a HTTP/1.1\r\n\r\n", 400),
    "blank in the target": (b"GET /a b HTTP/1.1\r\n\r\n", 400),
    "no target": (b"GET  HTTP/1.1\r\n\r\n", 400),
    "target of a proxy": (b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "URL of another host": (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "URL and two hosts": (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n", 400),
    "star for GET": (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "tab for a blank": (b"GET\t/\tHTTP/1.1\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n\r\n", 505),
    "http/1.1": (b"GET / http/1.1\r\n\r\n", 400),
    "lower-case method": (b"get / HTTP/1.1\r\n\r\n", 501),
    "unknown method": (b"BREW / HTTP/1.1\r\n\r\n", 501),
    "CONNECT": (b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
    "method with a bracket": (b"G[T / HTTP/1.1\r\n\r\n", 400),
    "method of NUL": (b"\x00 / HTTP/1.1\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "many empty lines": (b"\r\n" * 6 + GET, 400),
    "line feed before": (b"\n" + GET, 400),
    "chunk size with a sign": (post(TE + b"chunked\r\n", b"+3\r\nabc\r\n"), 400),
    "chunk size with 0x": (post(TE + b"chunked\r\n", b"0x3\r\nabc\r\n"), 400),
    "chunk size with a blank before": (post(TE + b"chunked\r\n", b" 3\r\nabc\r\n"), 400),
    "chunk size with a blank behind": (post(TE + b"chunked\r\n", b"3 \r\nabc\r\n"), 400),
    "chunk size beyond 64 bits": (post(TE + b"chunked\r\n", b"11111111111111111\r\n"), 400),
    "empty chunk size": (post(TE + b"chunked\r\n", b"\r\nabc\r\n"), 400),
    "chunk line with a bare line feed": (post(TE + b"chunked\r\n", b"3\nabc\r\n"), 400),
    "chunk extension with a control byte": (post(TE + b"chunked\r\n", b"3;\x00\r\nabc\r\n"), 400),
    "chunk extension with a bare line feed": (post(TE + b"chunked\r\n", b"3;a\nb\r\nabc\r\n"), 400),
    "trailer that is no field": (post(TE + b"chunked\r\n", b"0\r\nnonsense\r\n\r\n"), 400),
    "trailer with a bare line feed": (post(TE + b"chunked\r\n", b"0\r\nx: a\n\r\n\r\n"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_however_it_is_cut(name: str) -> None:
    request, status = REFUSED[name]
    for parts in ([request], single_bytes(request)):
        error = refusal_of(parts)
        assert error.status == status
        assert error.headers == {"Connection": "close"}


OVER: dict[str, tuple[bytes, bytes, int]] = {
    "target": (b"GET /", b"a" * 1000, 414),
    "target with a query": (b"GET /api/v1/tokens?filter=", b"%20" * 1000, 414),
    "method": (b"", b"A" * 1000, 431),
    "header name": (GET[:-2], b"a" * 1000, 431),
    "header value": (GET[:-2] + b"x: ", b"a" * 1000, 431),
    "tiny headers": (GET[:-2], b"a:\r\n" * 100, 431),
    "chunk extension": (CHUNKED[: CHUNKED.index(b"3;")] + b"3;", b"a" * 1000, 431),
    "chunk extensions": (CHUNKED[: CHUNKED.index(b"3;")], b"1;" + b"a" * 1000 + b"\r\nx\r\n", 431),
    "trailer": (CHUNKED[:-2] + b"x: ", b"a" * 1000, 431),
    "tiny trailers": (CHUNKED[:-2], b"a:\r\n" * 100, 431),
}


def send_on(begin: bytes, more: bytes) -> None:
    """Send much more than any limit; never may more than the largest limit be held."""
    found = RequestFraming()
    found.receive(begin)
    for _ in range(10 * framing.MAX_HEAD_BYTES // len(more)):
        while found.next_piece() is not None:
            continue
        assert len(found.waiting) <= framing.MAX_HEAD_BYTES
        found.receive(more)


@pytest.mark.parametrize("name", OVER)
def test_what_never_ends_is_refused_within_the_limit_and_a_read(name: str) -> None:
    begin, more, status = OVER[name]
    with pytest.raises(FramingRefused) as caught:
        send_on(begin, more)
    assert caught.value.status == status
    assert str(caught.value.details["limit"]) in caught.value.message


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (FITTING_TARGET.replace(b" HTTP", b"a HTTP"), 414),
        (FULL_HEAD.replace(b"x: ", b"x: y"), 431),
        (MANY_FIELDS.replace(b"a:", b"a:\r\na:", 1), 431),
        (CHUNKED[:-2] + b"a:\r\n" * (framing.MAX_FIELDS + 1) + b"\r\n", 431),
    ],
)
def test_one_more_than_the_limit_is_refused(request_bytes: bytes, status: int) -> None:
    assert refusal_of([request_bytes]).status == status
    assert refusal_of(single_bytes(request_bytes)).status == status


def test_a_body_in_chunks_of_one_byte_passes() -> None:
    request = post(b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
    assert pieces_of([request]) == request


@pytest.mark.parametrize("trailers", [b"", b"a:\r\n" * framing.MAX_FIELDS])
def test_as_many_trailers_as_allowed_pass(trailers: bytes) -> None:
    assert pieces_of([CHUNKED[:-2] + trailers + b"\r\n"]) == CHUNKED
