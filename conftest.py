"""Settings and fixtures of every test in the repository."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings
from structlog.testing import capture_logs

# Speed is for benchmarks: no example fails for being slow on a busy machine. A failure prints how to repeat it.
settings.register_profile("vectrograph", deadline=None, print_blob=True)
settings.load_profile("vectrograph")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    """Collect log lines of all levels, whatever an in-process server of another test has configured."""
    structlog.contextvars.clear_contextvars()
    configured, before = structlog.is_configured(), structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured
    structlog.reset_defaults()
    if configured:  # otherwise the next in-process server would believe that its host program set up the log
        structlog.configure(**before)
