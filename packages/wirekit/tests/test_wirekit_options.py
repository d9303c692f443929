"""Options of a client: what is accepted, what is refused, and that no message shows a secret."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirekit import options
from wirekit.options import OptionError
from wirekit.secrets import HIDDEN, hide, shown_url

SECRET = "s3cr3t/p@ss:w0rd"


def base_url(value: Any) -> str:
    return options.url("base_url", value, ("http", "https"), "http://localhost:8000", credentials=False)


ACCEPTED: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = [
    (options.flag, ("o", np.bool_(True)), True),
    (options.whole, ("o", np.int64(3), 0, 5), 3),
    (options.number, ("o", np.float32(0.5), 0), 0.5),
    (options.seconds, ("o", np.float64(2)), 2.0),
    (options.seconds, ("o", math.inf), None),
    (options.seconds, ("o", None), None),
    (options.text, ("o", "dév eloper"), "dév eloper"),
    (options.password, ("o", "any \n thing"), "any \n thing"),
    (options.header_secret, ("o", "ng_key"), "ng_key"),
    (options.callback, ("o", print), print),
]


@pytest.mark.parametrize(("check", "arguments", "result"), ACCEPTED)
def test_what_is_accepted(check: Callable[..., Any], arguments: tuple[Any, ...], result: Any) -> None:
    assert check(*arguments) == result


NO_FLAGS: list[Any] = [1, 0, "true", None]
NO_COUNTS: list[Any] = [-1, 6, 1.0, "1", True, None, math.nan, 10**400]
NO_NUMBERS: list[Any] = [-1, 5.1, "1", True, None, math.nan, 10**400, 1j]
NO_SECONDS: list[Any] = [0, -1, "5", b"5", True, math.nan, [5]]
NO_TEXTS: list[Any] = ["", b"x", 5, None, "a\nb", "a\x00", "\ud800"]
NO_PASSWORDS: list[Any] = ["", b"x", 5, None, "\ud800"]
NO_KEYS: list[Any] = ["", b"key", 5, None, "a b", "key\n", "schlüssel"]
NO_CHOICES: list[Any] = ["c", None, 1, []]

REFUSED: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    *((options.flag, ("o", value)) for value in NO_FLAGS),
    *((options.whole, ("o", value, 0, 5)) for value in NO_COUNTS),
    *((options.number, ("o", value, 0, 5)) for value in NO_NUMBERS),
    *((options.seconds, ("o", value)) for value in NO_SECONDS),
    *((options.text, ("o", value)) for value in NO_TEXTS),
    *((options.password, ("o", value)) for value in NO_PASSWORDS),
    *((options.header_secret, ("o", value)) for value in NO_KEYS),
    *((options.callback, ("o", value)) for value in ("print", 1)),
    *((options.choice, ("o", value, ("a", "b"))) for value in NO_CHOICES),
]


# FINDINGS D6
@pytest.mark.parametrize(("check", "arguments"), REFUSED)
def test_what_is_refused_names_the_option(check: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with pytest.raises(OptionError, match=r"^o (must|is|contains)"):
        check(*arguments)


# FINDINGS D6
@pytest.mark.parametrize(
    "value",
    ["http://host\n", "http://ho st", "http://host\x00", "\thttp://host", "ftp://host", "host:80", "http://", 5,
     b"http://h", "http://host:0", "http://host:99999", "http://host:x",
     "http://[::1", "http://host/?a=1", "http://host/#f", "",
     None, "http://" + "ä" * 70 + ".de"],
)  # fmt: skip
def test_what_is_no_url(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^base_url "):
        base_url(value)


# FINDINGS D1
@pytest.mark.parametrize(
    "value",
    [f"http://dev:{SECRET}@host", f"http://{SECRET}@host", f"dev:{SECRET}@host", f"http://host/?key={SECRET}",
     f"http://host/#{SECRET}", f"http://dev:{SECRET}@[::1", f"ftp://dev:{SECRET}@host\n", SECRET.encode(),
     "ng_live_" + "k" * 40],
)  # fmt: skip
def test_a_refused_url_does_not_show_its_secret(value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        base_url(value)
    assert "s3cr3t" not in str(caught.value)
    assert "kkkk" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


# FINDINGS D1
@settings(max_examples=50)
@given(st.text(min_size=4), st.text(), st.text())
def test_everything_before_the_last_at_sign_is_hidden(secret: str, name: str, path: str) -> None:
    shown = shown_url(f"http://{name}:{secret}@host.example/")
    assert shown == f"http://{HIDDEN}@host.example/"


# FINDINGS D1
@settings(max_examples=50)
@given(st.text(min_size=4, alphabet=st.characters(codec="utf-8")))
def test_a_secret_is_found_in_every_form_that_travels(secret: str) -> None:
    body = {"a": [f"x {secret}", json.dumps({"p": secret})], quote(secret, safe=""): f"dev:{secret}@host"}
    told = json.dumps(hide(body, [secret]))
    assert secret in HIDDEN or secret not in "".join([*hide(body, [secret])["a"]])
    assert HIDDEN in told


# FINDINGS D6
def test_files(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.write_bytes(b"")
    assert options.file("verify_ssl", there, "a PEM file") == str(there)
    with pytest.raises(OptionError, match=r"^verify_ssl names .*missing.pem.*No such file"):
        options.file("verify_ssl", tmp_path / "missing.pem", "a PEM file")
    with pytest.raises(OptionError, match=r"^verify_ssl names .*directory"):
        options.file("verify_ssl", tmp_path, "a PEM file")


# FINDINGS D1
@pytest.mark.parametrize("value", [f"-----BEGIN KEY-----\n{SECRET}", SECRET.encode(), SECRET * 400, f"a\n{SECRET}"])
def test_a_key_in_the_place_of_a_path_is_not_shown(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^o must be the path of a key") as caught:
        options.file("o", value, "a key")
    assert "s3cr3t" not in str(caught.value)
