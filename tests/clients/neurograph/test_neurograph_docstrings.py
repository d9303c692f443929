"""Docstrings cannot rot: every example runs, against a real server where it needs one; public ones are whole."""

import ast
import asyncio
import contextlib
import doctest
import importlib
import inspect
import io
import logging
import pkgutil
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import neurograph
from neurograph import AsyncNeuroGraphClient, CDNAConfig, NeuroGraphClient, NeuroGraphError, exceptions
from neurograph._resources.async_tokens import AsyncLinkedTokenPage
from neurograph._resources.tokens import LinkedTokenPage
from vectrograph import RunningServer

RESOURCES = "neurograph._resources."
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(neurograph.__path__, "neurograph.")
    if not found.name.endswith(("__main__", "pytest_plugin"))  # pytest wants to import its plugins itself
)


def finder() -> Iterator[doctest.DocTest]:
    for name in neurograph.__all__:  # what is imported at first use has to be there to be found
        getattr(neurograph, name)
    for name in ["neurograph", *MODULES]:
        module = importlib.import_module(name)
        for found in doctest.DocTestFinder(exclude_empty=True).find(module):
            if found.examples:
                yield found


EXAMPLES = list(finder())


def public_classes() -> Iterator[type]:
    """Classes whose methods a user calls: what the package exports, and what hangs on a client."""
    exported = [getattr(neurograph, name) for name in neurograph.__all__]
    yield from (thing for thing in exported if isinstance(thing, type) and not issubclass(thing, Exception))
    url = "http://localhost:8000"
    for client in (NeuroGraphClient(url, api_key="k"), AsyncNeuroGraphClient(url, api_key="k")):
        for part in vars(client).values():
            yield from (kind for kind in type(part).__mro__ if kind.__module__.startswith(RESOURCES))
    yield from (LinkedTokenPage, AsyncLinkedTokenPage)


def public_methods() -> dict[str, Callable[..., Any]]:
    """Return every public method and property, by module and name; those inherited from elsewhere are not ours to
    describe.
    """
    found: dict[str, Callable[..., Any]] = {}
    for kind in public_classes():
        for name, member in list(vars(kind).items()):
            function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            ours = isinstance(function, types.FunctionType) and function.__module__.startswith("neurograph")
            if ours and not name.startswith("_"):
                found[f"{kind.__module__}.{kind.__qualname__}.{name}"] = function
    return found


METHODS = public_methods()
ERRORS = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, NeuroGraphError)]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Take back what examples set up: their handlers write to files that pytest closes."""
    logger = logging.getLogger("neurograph")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture(scope="module")
def running_server() -> Iterator[RunningServer]:
    from vectrograph import running

    with running() as server:
        yield server


class Names(dict[str, Any]):
    """Names that an example may use without making them: a `client` of the kind it shows, made when asked for."""

    def __init__(self, found: doctest.DocTest, server: Callable[[], RunningServer]) -> None:
        # The module neurograph.client is no client.
        super().__init__({name: value for name, value in found.globs.items() if name != "client"})
        self._found = found
        self._server = server
        self.kept = contextlib.AsyncExitStack()

    def __missing__(self, name: str) -> Any:
        if name != "client":
            raise KeyError(name)
        asynchronous = ".async_" in self._found.name or ".Async" in self._found.name
        options: dict[str, Any] = {"username": "developer", "password": "developer123"}
        url = self._server().http_url
        client: Any
        if asynchronous:
            client = AsyncNeuroGraphClient(url, **options)
            self.kept.push_async_callback(client.close)
        else:
            client = NeuroGraphClient(url, **options)
            self.kept.callback(client.close)
        self[name] = client
        return client


def shown_by(example: doctest.Example, names: Names, loop: asyncio.AbstractEventLoop) -> str:
    """Return the output of an example, or the last line of its exception; it may await."""
    printed = io.StringIO()
    code = compile(example.source, "<example>", "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(printed):
        result = eval(code, names)  # noqa: S307 - our own docstrings
        if inspect.iscoroutine(result):
            loop.run_until_complete(result)
    return printed.getvalue()


@pytest.mark.parametrize("found", EXAMPLES, ids=lambda found: found.name)
def test_an_example_does_what_it_shows(
    found: doctest.DocTest, request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Whoever changes the password of an account needs a server that nobody else logs in to.
    fixture = "vectrograph_server" if found.name.endswith("change_password") else "running_server"
    names = Names(found, lambda: request.getfixturevalue(fixture))
    checker, options = doctest.OutputChecker(), doctest.ELLIPSIS
    with asyncio.Runner() as runner:
        try:
            for example in found.examples:
                problem = ""
                try:
                    shown = shown_by(example, names, runner.get_loop())
                except Exception as error:
                    if example.exc_msg is None:
                        raise
                    kind = type(error)
                    problem = f"{kind.__module__}.{kind.__qualname__}: {error}\n".removeprefix("builtins.")
                    shown = problem
                want = example.exc_msg if example.exc_msg is not None else example.want
                assert checker.check_output(want, shown, options), f"{example.source}gives {shown!r}, not {want!r}"
        finally:
            runner.run(names.kept.aclose())
            if "client" in names and fixture == "running_server":
                _empty(names._server())


def _empty(server: RunningServer) -> None:
    with server.neurograph() as client:
        for token in list(client.tokens.iterate(page_size=1000)):
            client.tokens.delete(token.id)
        for key in client.api_keys.list():
            client.api_keys.delete(key.key_id)
        client.cdna.configure(CDNAConfig())


@pytest.mark.parametrize("name", METHODS)
def test_a_public_method_is_described_whole(name: str) -> None:
    function = METHODS[name]
    text = inspect.getdoc(function) or ""
    assert ">>> " in text, "has no example"
    parameters = [each for each in inspect.signature(function).parameters if each != "self"]
    if name.startswith(RESOURCES):
        assert re.search(r"^Raises:$", text, re.MULTILINE), "does not say what it raises"
        described = set(re.findall(r"^    (\w+): ", text, re.MULTILINE))
        assert set(parameters) - described == set(), "has arguments that it does not describe"


@pytest.mark.parametrize("kind", [kind.__name__ for kind in public_classes()])
def test_a_public_class_has_a_docstring_with_an_example_somewhere(kind: str) -> None:
    [found] = {each for each in public_classes() if each.__name__ == kind}
    texts = [found.__doc__ or "", *(inspect.getdoc(m) or "" for m in vars(found).values() if callable(m))]
    assert any(">>> " in text for text in texts)


def test_public_functions_have_examples() -> None:
    functions = [getattr(neurograph, name) for name in neurograph.__all__]
    assert [f.__name__ for f in functions if inspect.isfunction(f) and ">>> " not in (f.__doc__ or "")] == []


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_says_when_it_comes_and_shows_it(kind: type[NeuroGraphError]) -> None:
    assert ">>> " in (kind.__doc__ or "")
