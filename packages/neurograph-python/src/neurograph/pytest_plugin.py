"""Fixtures for pytest; write `pytest_plugins = ["neurograph.pytest_plugin"]` into your conftest.py."""

from collections.abc import Iterator

import pytest

from neurograph.testing import AsyncMockNeuroGraphClient, MockNeuroGraphClient


@pytest.fixture
def mock_neurograph() -> Iterator[MockNeuroGraphClient]:
    """Provide a client over an empty memory, for one test."""
    client = MockNeuroGraphClient()
    yield client
    client.close()


@pytest.fixture
def async_mock_neurograph() -> AsyncMockNeuroGraphClient:
    """Provide an asynchronous client over an empty memory, for one test; it opens no connections that need closing."""
    return AsyncMockNeuroGraphClient()
