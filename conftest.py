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
    """Let every worker begin with modules that have slow tests, so that none is left alone with one at the end.

    `--dist worksteal` gives each worker a piece of the list at first: the slow modules are dealt out over the pieces.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    dealt = {path: position % workers for position, path in enumerate(sorted(slow))}
    pieces: list[list[pytest.Item]] = [[item for item in items if dealt.get(item.path) == n] for n in range(workers)]
    quick = [item for item in items if item.path not in slow]
    for piece in pieces:
        room = max(0, len(items) // workers - len(piece))
        piece += quick[:room]
        del quick[:room]
    items[:] = [*(item for piece in pieces for item in piece), *quick]


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
