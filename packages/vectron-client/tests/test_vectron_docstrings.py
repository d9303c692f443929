"""Every `>>>` example of the package runs. Examples that need a server run against one in `tests/e2e`."""

import doctest
import importlib
import pkgutil

import pytest

import vectron_client
from vectron_client import VectronError, exceptions

MODULES = ["vectron_client"] + [
    name
    for _, name, _ in pkgutil.walk_packages(vectron_client.__path__, "vectron_client.")
    if not name.startswith(("vectron_client._pb", "vectron_client._wirekit"))
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 30


def test_every_error_shows_an_example() -> None:
    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, VectronError)]
    assert len(kinds) == 13
    assert [kind.__name__ for kind in kinds if ">>> " not in (kind.__doc__ or "")] == []
