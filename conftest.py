"""Settings and fixtures of every test in the repository."""

import functools
import os
import ssl
from collections.abc import Iterator
from typing import Any

import httpcore2
import pytest
import structlog
from hypothesis import settings
from structlog.testing import capture_logs

# Speed is for benchmarks: no example fails for being slow on a busy machine. A failure prints how to repeat it.
settings.register_profile("vectrograph", deadline=None, print_blob=True)
settings.load_profile("vectrograph")


_default_ssl_context = httpcore2.default_ssl_context


@functools.cache
def _ssl_context(trust_env: bool, *_environment: str | None) -> ssl.SSLContext:
    return _default_ssl_context(_trust_env=trust_env)


def _shared_ssl_context(_trust_env: bool = True) -> ssl.SSLContext:
    """Return one context for all: each new httpx2 client would read the system's certificates, for 30 ms."""
    return _ssl_context(_trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


httpcore2.default_ssl_context = _shared_ssl_context


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every worker begin with what takes longest, so that none is left alone with it at the end.

    `--dist worksteal` gives each worker a piece of the list at first. Tests that say how long they take
    (`slow(seconds=100)`) are dealt out over the pieces, then the modules that have slow tests, then all others.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    pieces: list[list[pytest.Item]] = [[] for _ in range(workers)]
    longest = sorted((item for item in items if _seconds(item)), key=_seconds, reverse=True)
    for position, item in enumerate(longest):
        pieces[position % workers].append(item)
    others = [item for item in items if item not in longest]
    slow = {item.path for item in others if item.get_closest_marker("slow")}
    dealt = {path: position % workers for position, path in enumerate(sorted(slow))}
    for number, piece in enumerate(pieces):
        piece += [item for item in others if dealt.get(item.path) == number]
    quick = [item for item in others if item.path not in slow]
    for piece in pieces:
        room = max(0, len(items) // workers - len(piece))
        piece += quick[:room]
        del quick[:room]
    items[:] = [*(item for piece in pieces for item in piece), *quick]


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("slow")
    return float(marker.kwargs.get("seconds", 0)) if marker else 0


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
