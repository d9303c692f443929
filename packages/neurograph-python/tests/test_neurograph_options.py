"""Options of both clients: each is checked once and named, and no credential appears anywhere."""

import asyncio
import copy
import io
import logging
import pickle
import ssl
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_server import Reply, ScriptedServer, token_body

from neurograph import AsyncNeuroGraphClient, ConfigurationError, NeuroGraphClient, NeuroGraphError
from neurograph._options import Options

KINDS: list[Callable[..., Any]] = [NeuroGraphClient, AsyncNeuroGraphClient]
SECRET = "s3cr3t/p@ss:w0rd"


WRONG: list[tuple[str, Any]] = [
    *(("base_url", value) for value in ("http://h\n", "localhost:8000", "ftp://h", 5, b"http://h", "http://h/?a", "")),
    *(("timeout", value) for value in ("5", 0, -1, b"5", float("nan"), True, [1])),
    *(("verify_ssl", value) for value in ("/no/such/file.pem", 1, b"pem", "-----BEGIN CERTIFICATE-----", "")),
    *(("max_retries", value) for value in (-1, 1.5, "2", None, True)),
    *(("proxy", value) for value in ("proxy", 5, "ftp://p:1", "http://p:1/path", "http://", "")),
    *(("max_connections", value) for value in (0, "5", 1.5)),
    *(("max_idle_connections", value) for value in (-1, None)),
    *(("idle_seconds", value) for value in (-1, "4", None, float("nan"))),
    *(("http2", value) for value in ("yes", 1, None)),
    *(("circuit_threshold", value) for value in (-1, 1.5)),
    *(("circuit_recovery", value) for value in (-1, "10")),
    *(("on_retry", value) for value in ("print", 5)),
    *(("middleware", value) for value in ("print", 5, ["print"], print)),
    *(("max_response_bytes", value) for value in (0, "1", None, 1.5)),
    *(("api_key", value) for value in (b"key", 5, "", "a b", "key\n", "schlüssel")),
    *(("username", value) for value in (b"dev", 5, "", "dev\n")),
    *(("password", value) for value in (b"pw", 5, "", "\ud800")),
]


# FINDINGS D6
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_option_is_refused_by_name(kind: Callable[..., Any], name: str, value: Any) -> None:
    given = {"base_url": "http://localhost:1", name: value}
    if name in ("username", "password"):
        given = {"username": "developer", "password": "pw", **given}
    with pytest.raises(ConfigurationError, match=f"^.CONFIGURATION_ERROR. {name}") as caught:
        kind(**given)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# FINDINGS D6
def test_every_option_is_in_that_table() -> None:
    options = set(Options.__dataclass_fields__) - {"credentials"} | {"api_key", "username", "password"}
    assert options == {name for name, _ in WRONG}


# FINDINGS D6
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NEUROGRAPH_BASE_URL", "http://h\n"),
        ("NEUROGRAPH_API_KEY", "key\n"),
        ("NEUROGRAPH_USERNAME", "dev\n"),
        ("NEUROGRAPH_PASSWORD", "\udcff"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    kind: Callable[..., Any], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROGRAPH_USERNAME", "developer")
    monkeypatch.setenv("NEUROGRAPH_PASSWORD", "pw")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        kind()


# FINDINGS D6
def test_socks_advice_names_the_right_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurograph._options.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'proxy is a SOCKS proxy.*pip install "httpx2\[socks\]"'):
        NeuroGraphClient("http://localhost:1", proxy="socks5://localhost:9")


# FINDINGS D6
@pytest.mark.parametrize("value", ["socks5://u:s3cr3t@localhost:9", "http://u:s3cr3t@[::1", "ftp://u:s3cr3t@h"])
def test_a_proxy_of_the_environment_that_cannot_work(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with NeuroGraphClient("http://nowhere.invalid", api_key="k", max_retries=0) as client:
        try:
            client.tokens.get(7)
        except NeuroGraphError as error:
            assert "s3cr3t" not in "".join(traceback.format_exception(error))
        else:
            raise AssertionError("there is no server")


# FINDINGS D6
def test_a_file_without_certificates_is_named_when_the_client_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"verify_ssl names .*empty.pem"):
        NeuroGraphClient("https://localhost:1", api_key="k", verify_ssl=str(tmp_path / "empty.pem"))


def test_what_is_right_passes(tmp_path: Path) -> None:
    context, certificate = ssl.create_default_context(), str(Path(__file__).parent / "untrusted.pem")
    for options in ({"verify_ssl": context, "idle_seconds": 0}, {"verify_ssl": certificate, "timeout": None}):
        with NeuroGraphClient("http://localhost:1", api_key="k", **options) as client:
            assert {name: getattr(client._options, name) for name in options} == options


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "api_key": lambda secret: {"api_key": secret},
    "api_key in bytes": lambda secret: {"api_key": secret.encode()},
    "api_key with a line break": lambda secret: {"api_key": secret + "\n"},
    "password": lambda secret: {"username": "developer", "password": secret},
    "password in bytes": lambda secret: {"username": "developer", "password": secret.encode()},
    "password alone": lambda secret: {"password": secret},
    "base_url": lambda secret: {"base_url": f"http://dev:{secret}@localhost:1"},
    "base_url quoted": lambda secret: {"base_url": f"http://{secret}@localhost:1/a"},
    "base_url query": lambda secret: {"base_url": f"http://localhost:1/?api_key={secret}"},
    "base_url itself": lambda secret: {"base_url": secret},
    "proxy": lambda secret: {"api_key": "k", "proxy": f"http://u:{secret}@localhost:1"},
    "proxy of a wrong kind": lambda secret: {"api_key": "k", "proxy": f"ftp://u:{secret}@localhost:1\n"},
    "verify_ssl": lambda secret: {"api_key": "k", "verify_ssl": f"-----BEGIN PRIVATE KEY-----\n{secret}"},
    **{
        name: lambda secret, name=name: {"api_key": "k", name: secret}  # type: ignore[misc]
        for name in ("timeout", "max_retries", "http2", "idle_seconds", "max_connections", "on_retry", "middleware")
    },
}
# 20 characters and more, as keys and generated passwords are; `_` keeps it from being part of an English sentence.
SECRETS = st.text(st.sampled_from("abcXYZ019!#$%&'()*+,-./:;<=>?@[]^`{|}~_\\\""), min_size=20).map(lambda s: f"s_{s}_s")


# FINDINGS D1
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=SECRETS)
def test_no_credential_appears(kind: Callable[..., Any], place: str, secret: str) -> None:
    told: list[str] = []
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        arguments = {"base_url": "http://127.0.0.1:9", "max_retries": 0, **PLACES[place](secret)}
        try:
            client = kind(**arguments)
            told += [repr(client), str(client), repr(client._options), repr(vars(client))]
            for copier in (pickle.dumps, copy.copy, copy.deepcopy):
                told.append(repr(_failing(copier, client)))
            told.append(_used(client))
        except NeuroGraphError as error:
            told += ["".join(traceback.format_exception(error)), repr(vars(error)), repr(pickle.dumps(error))]
            told += [repr(error.__context__), repr(error.__cause__)]
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    whole = "\n".join([*told, lines.getvalue()])
    assert secret not in whole
    assert secret not in whole.encode().decode("unicode_escape", "replace")


def _failing(function: Callable[[Any], Any], client: Any) -> Exception:
    with pytest.raises(ConfigurationError, match="cannot be pickled or copied") as caught:
        function(client)
    return caught.value


def _used(client: Any) -> str:
    try:
        if isinstance(client, NeuroGraphClient):
            with client:
                client.tokens.get(7)
        else:
            asyncio.run(_asked(client))
    except NeuroGraphError as error:
        return "".join(traceback.format_exception(error)) + repr(pickle.dumps(error))
    raise AssertionError("there is no server")


async def _asked(client: AsyncNeuroGraphClient) -> None:
    async with client:
        await client.tokens.get(7)


# FINDINGS D1
@pytest.mark.parametrize("secret", ["ng_live_key_1234567890", 'a"b\\c/d+e=f&g%h1234'])
def test_what_a_server_echoes_is_hidden(secret: str) -> None:
    with ScriptedServer() as server:
        told = {"code": f"NO_{secret}", "message": f"key {secret}", "details": {"header": [f"Bearer {secret}"]}}
        server.on("GET", "/api/v1/tokens/7", Reply(400, {"error": {**told, "request_id": secret}}))
        with NeuroGraphClient(server.url, api_key=secret, max_retries=0) as client:
            with pytest.raises(NeuroGraphError) as caught:
                client.tokens.get(7)
    assert secret not in f"{caught.value} {caught.value.details} {caught.value.error_code} {caught.value.request_id}"


# FINDINGS D9
@pytest.mark.parametrize("kind", KINDS)
def test_clients_and_their_parts_have_no_copies(kind: Callable[..., Any]) -> None:
    client = kind("http://localhost:1", api_key="k")
    for thing in (client, client.tokens, client.api_keys):
        for copier in (pickle.dumps, copy.deepcopy):
            with pytest.raises(ConfigurationError, match=r"cannot be pickled or copied.*with_options\(\)"):
                copier(thing)
    assert client.with_options(timeout=1) is not client


# FINDINGS D9: trio drives coroutines without a loop of asyncio, as this test does.
@pytest.mark.parametrize("name", ["tokens.get", "health.check", "close"])
def test_without_asyncio_the_error_is_clear(name: str) -> None:
    client = AsyncNeuroGraphClient("http://127.0.0.1:9", username="a", password="b")
    calls: dict[str, Callable[[], Any]] = {
        "tokens.get": lambda: client.tokens.get(7),
        "health.check": client.health.check,
        "close": client.close,
    }
    with pytest.raises(ConfigurationError, match=r"needs a running asyncio event loop.*trio.to_thread.run_sync"):
        calls[name]().send(None)


# FINDINGS D9
def test_a_copy_of_a_page_knows_the_next_one() -> None:
    with ScriptedServer() as server:
        first = Reply(body={"tokens": [token_body(1)], "total": 2})
        server.on("GET", "/api/v1/tokens", first, Reply(body={"tokens": [token_body(2)], "total": 2}))
        with NeuroGraphClient(server.url, api_key="k") as client:
            page = client.tokens.list(limit=1)
            for twin in (copy.copy(page), copy.deepcopy(page)):
                assert (twin, twin.total, twin.limit, twin.offset) == (page, 2, 1, 0)
                assert [token.id for token in twin.next_page()] == [2]
            assert pickle.loads(pickle.dumps(page)) == page  # noqa: S301 - our own


# FINDINGS D10
def test_a_call_leaves_no_line_of_httpx2(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ScriptedServer() as server:
        server.on("GET", "/api/v1/tokens/7", Reply(body=token_body()))
        with NeuroGraphClient(server.url, api_key="k") as client:
            client.tokens.get(7)
    assert [record.name for record in caplog.records if record.name.startswith(("httpx", "httpcore"))] == []
