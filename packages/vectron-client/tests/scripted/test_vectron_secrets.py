"""No credential in anything that people or logs see: exceptions and what caused them, `repr`, log lines, pickles."""

import contextlib
import copy
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectron_client import (
    AsyncVectronAuthClient,
    AsyncVectronClient,
    AsyncVectronClientPool,
    ClientOptions,
    VectronAuthClient,
    VectronClient,
    VectronClientPool,
    VectronError,
)
from vectron_client._protocol import accounts

if TYPE_CHECKING:
    from scripted.conftest import Connect, ScriptedServer

CLIENTS: list[Any] = [
    VectronClient,
    AsyncVectronClient,
    VectronAuthClient,
    AsyncVectronAuthClient,
    VectronClientPool,
    AsyncVectronClientPool,
]
SECRET = "s3cret-0123456789"
PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"

#: Forms in which a credential is given by mistake: right, with a break, as bytes, as PEM, as a path, in a list.
FORMS: list[Any] = [
    SECRET,
    SECRET + "\n",
    SECRET.encode(),
    "ü" + SECRET,
    SECRET + "\ud800",
    PEM,
    PEM.encode(),
    PEM + "ü",
    SECRET * 1000,
    [SECRET],
    {SECRET: SECRET},
    f"http://dev:{SECRET}@host",
    f"dev:p/{SECRET}@host:8081",
    f"https://host/?key={SECRET}",
    f"host/{SECRET}@x",
]


def told(error: BaseException) -> str:
    """Return everything that a report of an error can show, its causes and contexts included."""
    seen: list[str] = []
    while error is not None:
        seen += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        seen.append("".join(traceback.format_exception_only(type(error), error)))
        for other in (error.__cause__, error.__context__):
            if other is not None and other is not error:
                seen.append(told(other))
        break
    return "\n".join(seen)


# FINDINGS D1
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_option_shows_a_credential(data: st.DataObject) -> None:
    options: dict[str, Any] = {}
    for name in data.draw(st.lists(st.sampled_from(sorted(ClientOptions.__dataclass_fields__)), max_size=3)):
        options[name] = data.draw(st.sampled_from(FORMS))
    if data.draw(st.booleans()):
        options["use_tls"] = True
    key, host = (data.draw(st.sampled_from([None, "localhost:1", *FORMS])) for _ in range(2))
    kind = data.draw(st.sampled_from(CLIENTS))
    try:
        made = ClientOptions(**options)
        client = kind(host, key, made)
    except VectronError as error:
        assert SECRET not in told(error)
        return
    # A name of a host is shown, whatever it is; so is what was given as one.
    assert SECRET not in repr(client) or host == SECRET
    assert SECRET not in repr(made) or {"authority", "tls_server_name"} & options.keys()
    with contextlib.suppress(VectronError):
        assert SECRET.encode() not in pickle.dumps(client)


# FINDINGS D1
@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("host", [form for form in FORMS if form != SECRET])
def test_a_host_with_a_credential_is_refused_without_it(kind: Any, host: Any) -> None:
    with pytest.raises(VectronError) as caught:
        kind(host)
    assert SECRET not in told(caught.value).replace(f"'host/{SECRET}'", "")
    assert caught.value.details == {"field": "host"}


# FINDINGS D1
@pytest.mark.parametrize("given_key", [PEM + "ü", SECRET, "/no/" + SECRET, Path(SECRET), "x\0" + SECRET])
def test_a_key_in_the_place_of_its_path_is_not_shown(given_key: Any) -> None:
    options = ClientOptions(use_tls=True, tls_client_certificate=b"x", tls_client_key=given_key)
    with pytest.raises(VectronError, match="tls_client_key") as caught:
        VectronClient("localhost:1", None, options)
    assert SECRET not in told(caught.value)
    assert SECRET not in repr(options)


def test_pem_may_be_text() -> None:
    options = ClientOptions(use_tls=True, tls_client_certificate=PEM, tls_client_key=PEM)
    with VectronClient("localhost:1", None, options) as client:
        assert SECRET not in repr(client)


# FINDINGS D1, D9
@pytest.mark.parametrize("kind", CLIENTS)
def test_clients_have_no_copies_and_say_so(kind: Any) -> None:
    client = kind("localhost:1", SECRET)
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(VectronError, match=r"cannot be pickled or copied; make a client in each process") as caught:
            act(client)
        assert SECRET not in told(caught.value)


# FINDINGS D1
def test_options_with_a_key_inside_have_no_pickle_and_others_have() -> None:
    for key in (PEM, PEM.encode()):
        options = ClientOptions(use_tls=True, tls_client_certificate=b"x", tls_client_key=key)
        with pytest.raises(VectronError, match="pass the path"):
            pickle.dumps(options)
        assert copy.copy(options) == copy.deepcopy(options) == options
    options = ClientOptions(use_tls=True, tls_client_certificate="c.pem", tls_client_key="k.pem")
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - its own


# FINDINGS D1
@pytest.mark.parametrize("field", ["message", "x_error_code", "x_request_id"])
def test_a_server_that_repeats_the_key_does_not_get_it_into_errors_or_logs(
    server: "ScriptedServer", connect: "Connect", field: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    words: dict[str, Any] = {"x_error_code": "UNAUTHENTICATED", field: f"no key {SECRET}"}
    server.fails("ListCollections", "UNAUTHENTICATED", times=2, **words)
    client = connect(SECRET)
    for options in ({}, {"hedged_reads": True}):
        with pytest.raises(VectronError) as caught:
            client.with_options(**options).list_collections()
        assert caught.value.code == "UNAUTHENTICATED"
        assert SECRET not in told(caught.value)
    assert SECRET not in caplog.text


def test_an_error_without_the_key_keeps_its_cause(server: "ScriptedServer", connect: "Connect") -> None:
    server.fails("ListCollections", "UNAUTHENTICATED", "who are you")
    with pytest.raises(VectronError, match="who are you") as caught:
        connect(SECRET).list_collections()
    assert isinstance(caught.value.__cause__, grpc.RpcError)


# FINDINGS D1
def test_requests_and_calls_do_not_show_bodies_or_metadata() -> None:
    call = accounts.login("a@example.org", SECRET)
    assert SECRET not in repr(call)


# FINDINGS D1
def test_a_password_that_a_server_repeats_is_hidden(server: "ScriptedServer") -> None:
    password = "Sesame-open-7"
    for method in ("Login", "RegisterUser", "DeleteUser"):
        server.fails(method, "INVALID_ARGUMENT", f"no such password: {password}")
    with VectronAuthClient(server.address) as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.login("a@example.com", password),
            lambda: client.register("a@example.com", password),
            lambda: client.delete_user(password),
        ]
        for call in calls:
            with pytest.raises(VectronError, match="no such password") as caught:
                call()
            assert password not in "".join(traceback.format_exception(caught.value))
