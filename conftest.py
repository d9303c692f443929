"""Settings of every test in the repository."""

import pytest
from hypothesis import settings

# Speed is for benchmarks: no example fails for being slow on a busy machine. A failure prints how to repeat it.
settings.register_profile("vectrograph", deadline=None, print_blob=True)
settings.load_profile("vectrograph")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, so that no worker is left with a long one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
