"""Strategies for what an attacker sends: values, texts, JSON, paths, tokens and filters that programs stumble over."""

import base64
import json
from typing import Any

from hypothesis import strategies as st

SQL = (
    "'; DROP TABLE users; --",
    '" OR "1"="1',
    "%' OR 1=1 --",
    "\\'; ATTACH DATABASE 'x' AS y; --",
    "$$; SELECT 1",
    "%_%",
)
PATHS = (
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "//",
    "\\..\\..",
    "a/../../b",
    "%2e%2e%2f",
    "C:\\x",
    "CON",
    "a\x00b",
    "~root",
    "file:///etc/passwd",
    "tokens/../tokens",
)
UNICODE = (
    "\u202eabc",
    "a\u0301",
    "\ufeff",
    "\u0000",
    "\ud800",
    "\U0001f468\u200d\U0001f469",
    "ﷺ" * 50,
    "İ",
    "ß",
    "\x1b[31m",
    "\r\nX: y",
)
NUMBERS = (
    *("0", "-0", "1e999", "-1e999", "1e-999", "NaN", "Infinity", "-Infinity", "00", "1.", ".5", "0x10"),
    *(str(2**power + off) for power in (31, 32, 53, 63, 64, 128) for off in (-1, 0, 1)),
    "9" * 5000,
    "1" + "0" * 400 + ".5",
    "1e" + "9" * 50,
)
FIELDS = (
    *("text", "metadata", "embedding", "tokens", "ids", "filter", "query_vector", "query_vectors", "texts", "token_id"),
    *("top_k", "threshold", "offset", "limit", "include", "username", "password", "old_password", "new_password"),
    *("refresh_token", "name", "scopes", "expires_in_days", "collections", "rate_limit", "role", "tenant", "email"),
    *("dimension", "distance", "points", "vector", "id", "payload", "filterJson", "topK", "collection", "plan"),
    *("feedbackItems", "context", "fullKey", "apiKeyId", "overlap_hours", "overlap_seconds", "exact", "ef"),
)

# By position, because Hypothesis writes out what a strategy samples from.
numbers = st.integers(0, len(NUMBERS) - 1).map(NUMBERS.__getitem__)
texts = (
    st.sampled_from(SQL + PATHS + UNICODE) | st.text(st.characters(), max_size=30) | st.just(70_000).map("x".__mul__)
)


class Raw(str):
    """JSON text that goes into a document as it stands."""

    __slots__ = ()


def deep(opening: str, closing: str, depth: int) -> Raw:
    """Something nested `depth` levels."""
    return Raw(opening * depth + "1" + closing * depth)


nested = st.builds(
    lambda kind, depth: deep(kind[0], kind[1], depth),
    st.sampled_from([("[", "]"), ('{"a":', "}"), ('{"not":', "}"), ('{"and":[', "]}")]),
    st.sampled_from([33, 65, 1_100, 20_000]),
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | numbers.map(Raw)
    | nested
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)


def written(value: Any) -> str:
    """Return JSON text; `Raw` parts go in as they are."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item) for item in value) + "]"
    return json.dumps(value)


bodies = (
    objects.map(lambda value: written(value).encode("utf-8", "surrogatepass"))
    | values.map(lambda value: written(value).encode("utf-8", "surrogatepass"))
    | st.binary(max_size=200)
    | st.sampled_from([b"", b"{", b'{"a":1,"a":2}', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 100_000, b'"' + b"\\" * 9])
)

_OPERATORS = (
    *("eq", "ne", "lt", "lte", "gt", "gte", "in", "range", "date", "exists", "is_null", "prefix", "substring"),
    *("any", "all", "none", "and", "or", "not", "$where", "__class__"),
)
_paths = st.sampled_from(["a", "", "a.b", "$", "__proto__"]) | texts | st.lists(leaves, max_size=3)
filters = st.recursive(
    st.builds(lambda path, name, value: {"path": path, name: value}, _paths, st.sampled_from(_OPERATORS), values)
    | values,
    lambda inner: (
        st.builds(lambda name, value: {name: value}, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3))
        | inner.map(lambda value: {"not": value})
        | st.builds(
            lambda path, name, value: {"path": path, name: value},
            _paths,
            st.sampled_from(["any", "all", "none"]),
            inner,
        )
    ),
    max_leaves=6,
)

_headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["none", "None", "HS256", "HS384", "RS256", "ES256", "", "../x"]) | values,
        "kid": texts | values,
        "typ": values,
        "jku": st.just("http://127.0.0.1:9/keys"),
        "jwk": values,
        "x5u": st.just("file:///etc/passwd"),
        "crit": values,
        "b64": values,
        "zip": values,
    },
)
_claims = st.dictionaries(
    st.sampled_from(["sub", "jti", "sid", "iss", "aud", "iat", "exp", "nbf", "token_type", "api_key"]), values
)


def _segment(value: Any) -> str:
    return base64.urlsafe_b64encode(written(value).encode("utf-8", "surrogatepass")).decode().rstrip("=")


_words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
tokens = (
    st.builds(lambda head, body, sign: f"{_segment(head)}.{_segment(body)}.{sign}", _headers, _claims, _words)
    | st.builds(lambda head, body: f"{head}.{_segment(body)}.x", _words, _claims)
    | _words
    | _words.map(lambda word: f"ng_live_{word}")
    | st.just("ng_" + "x" * 5000)
)
segments = texts | numbers
