"""Host names in Host headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.http.middleware.host_allow_list import host_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:8000", "localhost"),
        ("localhost.", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:8000", "::1"),
        (" localhost ", "localhost"),
    ],
)
def test_names_are_read_without_port_case_and_brackets(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    "header", ["", ":80", "a b", "localhost:", "localhost:x", "localhost:123456", "::1", "[::1", "u@localhost", "a/b"]
)
def test_malformed_headers_name_nothing(header: str) -> None:
    assert host_name(header) is None


@given(st.text(max_size=30))
def test_nothing_that_mentions_a_name_counts_as_it(text: str) -> None:
    name = host_name(text)
    if name == "localhost":
        assert text.strip().lower().split(":")[0].removesuffix(".") == "localhost"
