"""Credentials in metadata."""

import pytest

from vectrograph.domain.errors import Unauthenticated
from vectrograph.rpc.exchange import credential_of


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "Bearer secret")],
        [("authorization", "bearer secret")],
        [("authorization", "BEARER   secret ")],
        [("authorization", "secret")],
        [("x-api-key", "secret")],
        [("user-agent", "x"), ("authorization", "Bearer secret"), ("x-api-key", "other")],
    ],
)
def test_accepted(metadata: list[tuple[str, str]]) -> None:
    assert credential_of(dict(metadata)) == "secret"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([], "missing Authorization header"),
        ([("user-agent", "x")], "missing Authorization header"),
        ([("authorization", "")], "invalid Authorization format"),
        ([("authorization", "Bearer")], "invalid Authorization format"),
        ([("authorization", "Basic c2VjcmV0")], "invalid Authorization format"),
        ([("authorization", "Bearer two words")], "invalid Authorization format"),
        ([("authorization", b"secret")], "invalid Authorization format"),
        ([("authorization", ""), ("x-api-key", "secret")], "invalid Authorization format"),
        ([("x-api-key", " ")], "invalid x-api-key format"),
    ],
)
def test_refused_without_repeating_what_was_sent(metadata: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(Unauthenticated, match=message) as caught:
        credential_of(dict(metadata))
    assert "c2VjcmV0" not in caught.value.message
    assert "two words" not in caught.value.message
