"""Exceptions, models and options as values: their tree, their pickles, their reprs, their sources."""

import ast
import builtins
import copy
import inspect
import json
import pickle
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import pytest

import neurograph
from neurograph import UNSET, APIKeyCreated, ConfigurationError, NeuroGraphError, Token, TokenPage, exceptions
from neurograph._options import ApiKey, Options, Password, resolve
from neurograph._protocol.encoding import json_object

T = TypeVar("T")


def pickled(value: T) -> T:
    """Return the value after a journey through pickle."""
    twin: T = pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
    return twin


ERRORS = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, NeuroGraphError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_public_and_drawn_in_the_tree(kind: type[NeuroGraphError]) -> None:
    assert getattr(neurograph, kind.__name__) is kind
    assert kind.__name__ in (exceptions.__doc__ or "")


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, pickled])
def test_every_error_survives_pickling(kind: type[NeuroGraphError], clone: Any) -> None:
    error = kind(
        "what",
        status_code=418,
        error_code="C",
        details={"a": [1]},
        retry_after=2.5,
        request_id="r",
        retryable=True,
        request_sent=False,
    )
    error.details["created_ids"] = [1]
    twin = clone(error)
    assert type(twin) is kind
    assert twin.__dict__ == error.__dict__
    assert (str(twin), repr(twin)) == (str(error), repr(error))
    assert twin.args == ("what",)


def test_a_subclass_of_the_users_own_survives_pickling() -> None:
    class Odd(neurograph.NotFoundError):
        def __init__(self) -> None:
            super().__init__("odd", status_code=404)

    globals()["Odd"], Odd.__qualname__ = Odd, "Odd"
    assert pickled(Odd()).status_code == 404


def test_errors_also_are_the_built_in_ones() -> None:
    assert issubclass(neurograph.ConnectionError, builtins.ConnectionError)
    assert issubclass(neurograph.TimeoutError, builtins.TimeoutError)
    assert issubclass(neurograph.ConfigurationError, ValueError)
    assert issubclass(neurograph.ClientClosedError, RuntimeError)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (neurograph.RateLimitError("x"), True),
        (neurograph.ServerError("x", status_code=503), True),
        (neurograph.ServerError("x", status_code=500), False),
        (neurograph.ConnectionError("x"), True),
        (neurograph.ConnectionError("x", retryable=False), False),
        (neurograph.NotFoundError("x", status_code=404), False),
    ],
)
def test_retryable(error: NeuroGraphError, retryable: bool) -> None:
    assert error.retryable is retryable


def test_everything_public_exists_and_is_listed() -> None:
    """Compare the names that type checkers see, those imported at first use, and those of `*`."""
    tree = ast.parse(inspect.getsource(neurograph))
    [guarded] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == neurograph._MODULES
    assert set(neurograph.__all__) == {*seen, "__version__"} <= set(dir(neurograph))
    for name, home in seen.items():
        assert getattr(neurograph, name) is getattr(import_module(str(home)), name)
    with pytest.raises(AttributeError, match="no_such_name"):
        neurograph.no_such_name  # noqa: B018 - reading it is the test


def test_the_version_is_that_of_the_distribution() -> None:
    assert neurograph.__version__ == version("neurograph-python")


def test_reprs_are_short_and_show_no_secret() -> None:
    token = Token(id=1, text="hello", embedding=[0.5] * 256)
    assert "[0.5, 0.5, 0.5, … 256 in all]" in repr(token)
    assert len(repr(token)) < 200
    assert "embedding=[0.5]" in repr(Token(id=1, embedding=[0.5]))
    created = APIKeyCreated(key_id="k", name="n", api_key="ng_secret", key_prefix="ng_s", created_at="2025-12-28")  # type: ignore[arg-type]
    assert "ng_secret" not in repr(created) + str(created)
    assert created.api_key == "ng_secret"
    options = resolve("http://a", "me", "pass-word", None, 1, True, 0, {})
    assert "pass-word" not in repr(options)
    assert "ng_secret" not in repr(resolve("http://a", None, None, "ng_secret", 1, True, 0, {}))
    assert repr(UNSET) == "UNSET"


def test_a_page_is_a_list_and_survives_pickling() -> None:
    page = TokenPage([Token(id=1, embedding=[])], total=9, limit=1, offset=4)
    assert isinstance(page, list)
    twin = pickled(page)
    assert (twin, twin.total, twin.limit, twin.offset) == (page, 9, 1, 4)


class TestOptions:
    def resolve(self, environ: dict[str, str] | None = None, **arguments: Any) -> Options:
        settings = {
            "base_url": None,
            "username": None,
            "password": None,
            "api_key": None,
            "timeout": 30.0,
            "verify_ssl": True,
            "max_retries": 2,
        }
        return resolve(**{**settings, **arguments}, environ=environ or {})

    def test_the_base_url(self) -> None:
        environ = {"NEUROGRAPH_BASE_URL": "https://env.example/api/"}
        assert self.resolve().base_url == "http://localhost:8000"
        assert self.resolve(environ).base_url == "https://env.example/api"
        assert self.resolve(environ, base_url="http://a:1").base_url == "http://a:1"
        assert self.resolve({"NEUROGRAPH_BASE_URL": ""}).base_url == "http://localhost:8000"

    def test_the_environment_is_read_at_construction(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEUROGRAPH_BASE_URL", "http://env.example")
        monkeypatch.setenv("NEUROGRAPH_USERNAME", "me")
        monkeypatch.setenv("NEUROGRAPH_PASSWORD", "secret")
        for client in (neurograph.NeuroGraphClient(), neurograph.AsyncNeuroGraphClient()):
            assert repr(client) == f"{type(client).__name__}('http://env.example', username='me')"

    @pytest.mark.parametrize(
        ("arguments", "environ", "expected"),
        [
            ({}, {}, None),
            ({}, {"NEUROGRAPH_API_KEY": ""}, None),
            ({"username": "a", "password": "b"}, {}, Password("a", "b")),
            ({}, {"NEUROGRAPH_USERNAME": "a", "NEUROGRAPH_PASSWORD": "b"}, Password("a", "b")),
            ({"username": "a"}, {"NEUROGRAPH_USERNAME": "z", "NEUROGRAPH_PASSWORD": "b"}, Password("a", "b")),
            ({"username": "a", "password": "b"}, {"NEUROGRAPH_API_KEY": "k"}, Password("a", "b")),
            ({"username": "a", "password": "b", "api_key": "k"}, {}, ApiKey("k")),
            ({"api_key": "k"}, {"NEUROGRAPH_USERNAME": "a", "NEUROGRAPH_PASSWORD": "b"}, ApiKey("k")),
            (
                {},
                {"NEUROGRAPH_API_KEY": "k", "NEUROGRAPH_USERNAME": "a", "NEUROGRAPH_PASSWORD": "b"},
                ApiKey("k"),
            ),
        ],
    )
    def test_which_credentials_win(self, arguments: Any, environ: dict[str, str], expected: Any) -> None:
        assert self.resolve(environ, **arguments).credentials == expected

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"username": "a"}, "NEUROGRAPH_PASSWORD"),
            ({"password": "b-secret"}, "NEUROGRAPH_USERNAME"),
            ({"username": ""}, "username is empty"),
            ({"username": "a", "password": ""}, "password is empty"),
            ({"api_key": ""}, "api_key is empty"),
            ({"api_key": "k\nX-Evil: 1"}, "api_key contains"),
            ({"api_key": "ключ"}, "api_key contains"),
            ({"base_url": ""}, "base_url"),
            ({"base_url": "localhost:8000"}, "must look like"),
            ({"base_url": "ftp://a"}, "must look like"),
            ({"base_url": "http://"}, "must look like"),
            ({"base_url": "http://a:99999"}, "is no URL"),
            ({"base_url": "http://a/?x=1"}, "without"),
            ({"base_url": "http://me:b-secret@a"}, "contains credentials"),
            ({"timeout": 0}, "timeout"),
            ({"timeout": -1}, "timeout"),
            ({"max_retries": -1}, "max_retries"),
        ],
    )
    def test_what_cannot_work_is_refused_at_once(self, arguments: Any, says: str) -> None:
        with pytest.raises(ConfigurationError, match=says) as caught:
            self.resolve(**arguments)
        assert "b-secret" not in str(caught.value)

    def test_half_credentials_in_the_environment_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="password"):
            self.resolve({"NEUROGRAPH_USERNAME": "a"})


class TestMetadata:
    @pytest.mark.parametrize("value", [None, {}, {"a": [1, 2.5, "x", None, True, {"b": (1,)}]}])
    def test_json_passes(self, value: Any) -> None:
        assert json_object(value, "metadata") == json.loads(json.dumps(value))

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            ([1], "metadata is list"),
            ("x", "metadata is str"),
            ({1: 2}, "metadata has the key 1"),
            ({"a": {"b": float("nan")}}, r"metadata\.a\.b is nan"),
            ({"a": [0, object()]}, r"metadata\.a\.1 is object"),
            ({"a": np.float32("inf")}, r"metadata\.a is inf"),
            ({"a": b"x"}, r"metadata\.a is bytes"),
            ({"a": {1, 2}}, r"metadata\.a is set"),
        ],
    )
    def test_what_json_cannot_carry_is_named(self, value: Any, says: str) -> None:
        with pytest.raises(neurograph.ValidationError, match=says):
            json_object(value, "metadata")

    def test_a_circle_is_refused(self) -> None:
        circle: dict[str, Any] = {}
        circle["self"] = circle
        with pytest.raises(neurograph.ValidationError, match="contains itself"):
            json_object(circle, "metadata")
