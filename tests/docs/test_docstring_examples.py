"""Every example in a docstring of the server runs, and prints what stands beneath it."""

import doctest
import importlib
import pkgutil
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


def with_examples() -> dict[str, list[doctest.DocTest]]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = {name: finder.find(importlib.import_module(name), name) for name in modules()}
    return {name: some for name, found in tests.items() if (some := [test for test in found if test.examples])}


EXAMPLES: Final = with_examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    for test in EXAMPLES[name]:
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        written: list[str] = []
        runner.run(test, out=written.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(written)


def test_there_are_examples() -> None:
    assert sum(len(test.examples) for tests in EXAMPLES.values() for test in tests) > 100
