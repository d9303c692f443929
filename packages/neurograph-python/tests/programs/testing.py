"""Tests of a user's own, over the mocks; checked, never run."""

from typing import assert_type

from neurograph import Token
from neurograph.testing import AsyncMockNeuroGraphClient, FailureScript, MockNeuroGraphClient, mock_token


def test_with_a_mock() -> None:
    with MockNeuroGraphClient(seed=1, middleware=[FailureScript(503, None)]) as client:
        assert_type(client.tokens.create(text="hello"), Token)
    assert_type(mock_token(text="mine"), Token)


async def test_with_an_asynchronous_mock() -> None:
    async with AsyncMockNeuroGraphClient() as client:
        assert_type(await client.tokens.get(1), Token)
