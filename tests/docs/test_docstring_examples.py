"""Every example in a docstring of the server runs, and prints what stands beneath it."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Final

import pytest

import vectrograph

# Tests and migrations that ship with the package; importing them is for pytest and Alembic.
_NOT_IMPORTED: Final = (
    "vectrograph.engines.contract",
    "vectrograph.control.database.migrations",
    "vectrograph.pytest_plugin",
)


def modules() -> list[str]:
    found = pkgutil.walk_packages(vectrograph.__path__, "vectrograph.")
    return [module.name for module in found if not module.name.startswith(_NOT_IMPORTED)]


@pytest.fixture(scope="module")
def ran() -> Iterator[list[int]]:
    """Count the examples of all modules; there must be some."""
    counts: list[int] = []
    yield counts
    assert len(counts) < len(MODULES) or sum(counts) > 100


MODULES: Final = modules()


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str, ran: list[int]) -> None:
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), name)
    ran.append(sum(len(test.examples) for test in tests))
    for test in tests:
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        written: list[str] = []
        runner.run(test, out=written.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(written)
