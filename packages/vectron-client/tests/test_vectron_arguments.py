"""Bad arguments and options are refused before anything is sent, with the name of what is wrong."""

import array
import math
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vectron_client import AsyncVectronClient, ClientOptions, FeedbackItem, Point, VectronClient
from vectron_client.exceptions import InvalidArgumentError, MessageTooLargeError, VectronError

#: Nothing listens there; a call that were sent would be an UnavailableError.
CLIENT = VectronClient("127.0.0.1:1", options=ClientOptions(retry_max_attempts=1))
DIMENSIONED = VectronClient("127.0.0.1:1", options=ClientOptions(expected_vector_dim=3))
NAN, INF = math.nan, math.inf
any_: Any = object()
text: Any = "12"
key: Any = 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.create_collection("", 4), "name must not be empty"),
        (lambda c: c.create_collection(None, 4), "name must be a string, not NoneType"),
        (lambda c: c.create_collection("\ud800", 4), "name is not Unicode text"),
        (lambda c: c.create_collection("docs", 0), "dimension must be 1 or more, not 0"),
        (lambda c: c.create_collection("docs", -1), "dimension must be 1 or more, not -1"),
        (lambda c: c.create_collection("docs", 2**31), "dimension must be at most 2147483647"),
        (lambda c: c.create_collection("docs", 4.0), "dimension must be an integer, not float"),
        (lambda c: c.create_collection("docs", 4, None), "distance must be a string, not NoneType"),
        (lambda c: c.create_collection("docs", 4, quantization=8), "quantization must be a string, not int"),
        (lambda c: c.delete_collection(""), "name must not be empty"),
        (lambda c: c.get_collection_status(""), "name must not be empty"),
        (lambda c: c.get("", "a"), "collection must not be empty"),
        (lambda c: c.get("docs", ""), "point_id must not be empty"),
        (lambda c: c.get("docs", 7), "point_id must be a string, not int"),
        (lambda c: c.delete("docs", ""), "point_id must not be empty"),
        (lambda c: c.upsert("", []), "collection must not be empty"),
        (lambda c: c.upsert("docs", None), "points is NoneType; pass a list or another iterable of Point"),
        (lambda c: c.upsert("docs", Point("a", [1.0])), "points is Point; pass a list"),
        (lambda c: c.upsert("docs", [Point("a", [1.0]), {}]), "points[1]: is dict; pass a vectron_client.Point"),
        (lambda c: c.upsert("docs", [Point("", [1.0])]), "point '' (position 0): id must not be empty"),
        (lambda c: c.upsert("docs", [Point(any_, [1.0])]), "id must be a string, not object"),
        (lambda c: c.upsert("docs", [Point("\ud800", [1.0])]), "position 0"),
        (lambda c: c.upsert("docs", [Point("a", [1.0]), Point("b", [])]), "point 'b' (position 1): vector is empty"),
        (
            lambda c: c.upsert("docs", [Point("a", [1.0, 2.0]), Point("b", [1.0])]),
            "point 'b' (position 1): vector has 1 components; the points before it have 2",
        ),
        (lambda c: c.upsert("docs", [Point("a", [1.0, NAN])]), "point 'a' (position 0): vector[1] is nan"),
        (lambda c: c.upsert("docs", [Point("a", np.array([INF]))]), "vector[0] is inf"),
        (lambda c: c.upsert("docs", [Point("a", array.array("d", [1e300]))]), "vector[0] is inf"),
        (lambda c: c.upsert("docs", [Point("a", any_)]), "point 'a' (position 0): vector"),
        (lambda c: c.upsert("docs", [Point("a", text)]), "vector is str"),
        (lambda c: c.upsert("docs", [Point("a", np.zeros((2, 2)))]), "vector has 2 dimensions"),
        (lambda c: c.upsert("docs", [Point("a", [1.0], {key: "x"})]), "payload has the key 1; keys must be text"),
        (
            lambda c: c.upsert("docs", [Point("a", [1.0], {"k": any_})]),
            "payload.k is object; pass text, a number, a list or a dictionary",
        ),
        (lambda c: c.upsert("docs", [Point("a", [1.0], {"k": NAN})]), "payload.k is nan"),
        (lambda c: c.upsert("docs", [Point("a", [1.0], {"k": "\ud800"})]), "point 'a' (position 0)"),
        (lambda c: c.upsert("docs", [Point("a", [1.0], {"k": ["\ud800"]})]), "not Unicode"),
        (lambda c: c.upsert("docs", [Point("a", [1.0], any_)]), "payload is object; pass a dictionary"),
        (lambda c: c.upsert_batch("", []), "collection must not be empty"),
        (lambda c: c.upsert_batch("docs", [], 0), "batch_size must be 1 or more, not 0"),
        (lambda c: c.upsert_batch("docs", [], 1, 0), "concurrency must be 1 or more, not 0"),
        (lambda c: c.upsert_batch("docs", [], "2"), "batch_size must be an integer, not str"),
        (lambda c: c.search("", [1.0]), "collection must not be empty"),
        (lambda c: c.search("docs", []), "vector is empty"),
        (lambda c: c.search("docs", [1.0, -INF]), "vector[1] is -inf"),
        (lambda c: c.search("docs", None), "vector "),
        (lambda c: c.search("docs", ["x"]), "vector[0] is str"),
        (lambda c: c.search("docs", [1.0], -1), "top_k must be 0 or more, not -1"),
        (lambda c: c.search("docs", [1.0], 2**32), "top_k must be at most 4294967295"),
        (lambda c: c.search("docs", [1.0], 1.5), "top_k must be an integer, not float"),
        (lambda c: c.search("docs", [1.0], query=None), "query must be a string, not NoneType"),
        (lambda c: c.search("docs", [1.0], timeout=0), "timeout must be a number of seconds above 0"),
        (lambda c: c.search("docs", [1.0], timeout=-1), "timeout must be a number of seconds above 0"),
        (lambda c: c.search("docs", [1.0], timeout=NAN), "timeout must be a number of seconds above 0"),
        (lambda c: c.search("docs", [1.0], timeout="3"), "timeout must be a number of seconds above 0"),
        (lambda c: c.search_stream("docs", []), "vector is empty"),
        (lambda c: c.search_stream("docs", [1.0], timeout=0), "timeout must be a number of seconds above 0"),
        (lambda c: c.submit_feedback("", [FeedbackItem("a", 1)]), "collection must not be empty"),
        (lambda c: c.submit_feedback("docs", []), "items must not be empty"),
        (lambda c: c.submit_feedback("docs", None), "items must be a list or another iterable, not NoneType"),
        (lambda c: c.submit_feedback("docs", [{}]), "items[0] must be a vectron_client.FeedbackItem, not dict"),
        (
            lambda c: c.submit_feedback("docs", [FeedbackItem("a", 1), FeedbackItem("b", 0)]),
            "items[1].relevance_score must be 1 or more, not 0",
        ),
        (lambda c: c.submit_feedback("docs", [FeedbackItem("a", 6)]), "relevance_score must be at most 5"),
        (lambda c: c.submit_feedback("docs", [FeedbackItem("a", 1, position=-1)]), "items[0].position must be 0 or"),
        (
            lambda c: c.submit_feedback("docs", [FeedbackItem(any_, 1)]),
            "items[0].result_id must be a string, not object",
        ),
        (lambda c: c.submit_feedback("docs", [FeedbackItem("a", 1)], result_ids="ab"), "result_ids must be a list"),
        (lambda c: c.submit_feedback("docs", [FeedbackItem("a", 1)], context="x"), "context must be a mapping"),
        (
            lambda c: c.submit_feedback("docs", [FeedbackItem("a", 1)], context={"k": 1}),
            "context['k'] must be a string",
        ),
        (lambda c: c.update_user_profile("GOLD"), "plan must be one of FREE, PAID, not 'GOLD'"),
        (lambda c: c.update_user_profile(""), "plan must be one of FREE, PAID, not ''"),
        (lambda c: c.update_user_profile(2), "plan must be a string, not int"),
        (lambda c: c.upsert_batch("docs", [], timeout=0), "timeout must be a number of seconds above 0"),
    ],
)
def test_bad_arguments(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(message)) as caught:
        call(CLIENT)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert not caught.value.retryable


def test_a_wrong_point_is_named_in_the_details() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        CLIENT.upsert("docs", [Point("a", [1.0, 2.0]), Point("b", [1.0, NAN])])
    assert caught.value.details == {"field": "points[1]", "position": 1, "point_id": "b", "component": 1}


def test_the_expected_dimension_holds_for_points_and_queries() -> None:
    for call in (
        lambda: DIMENSIONED.upsert("docs", [Point("a", [1.0, 2.0])]),
        lambda: DIMENSIONED.upsert_batch("docs", [Point("a", [1.0, 2.0])]),
        lambda: DIMENSIONED.search("docs", [1.0, 2.0]),
    ):
        with pytest.raises(InvalidArgumentError, match=r"vector has 2 components; expected_vector_dim is 3"):
            call()


def test_numbers_of_other_kinds_are_numbers() -> None:
    with pytest.raises(VectronError) as caught:
        CLIENT.upsert("docs", [Point("a", [1, True, Decimal("0.5"), np.float16(2)])])
    assert caught.value.code == "UNAVAILABLE", "the points must be accepted and sent"


def test_a_name_that_fits_no_message_is_refused() -> None:
    client = VectronClient("127.0.0.1:1", options=ClientOptions(max_send_message_length=5))
    for call in (client.upsert, client.upsert_batch):
        with pytest.raises(MessageTooLargeError):
            call("a long name", [Point("a", [1.0])])


def test_a_point_that_fits_no_message_is_named() -> None:
    client = VectronClient("127.0.0.1:1", options=ClientOptions(max_send_message_length=1000))
    for call in (client.upsert, client.upsert_batch):
        with pytest.raises(MessageTooLargeError, match=r"point 'big' \(position 1\) takes \d+ bytes") as caught:
            call("docs", [Point("small", [1.0]), Point("big", [1.0], {"text": "x" * 1000})])
        assert caught.value.details["point_id"] == "big"


@pytest.mark.parametrize("kind", [VectronClient, AsyncVectronClient])
@pytest.mark.parametrize(
    ("host", "api_key", "message"),
    [
        ("", None, "host must be an address"),
        ("  ", None, "host must be an address"),
        (None, None, "host must be an address"),
        ("http://localhost:8081", None, "without a scheme"),
        ("local host:8081", None, "without a scheme"),
        ("localhost:8081", 7, "api_key must be a string"),
        ("localhost:8081", "key\n", "api_key must be text of visible ASCII characters"),
        ("localhost:8081", "schlüssel", "api_key must be text of visible ASCII characters"),
    ],
)
def test_bad_constructor_arguments(kind: Any, host: Any, api_key: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        kind(host, api_key)


def test_options_must_be_options() -> None:
    options: Any = {"timeout_seconds": 3}
    with pytest.raises(InvalidArgumentError, match="options must be ClientOptions, not dict"):
        VectronClient("h:1", options=options)


def test_official_defaults() -> None:
    assert vars(ClientOptions()) == {
        "timeout_seconds": 10.0,
        "use_tls": False,
        "tls_root_certificates": None,
        "tls_server_name": None,
        "tls_client_certificate": None,
        "tls_client_key": None,
        "authority": None,
        "max_recv_message_length": 16 * 1024 * 1024,
        "max_send_message_length": 16 * 1024 * 1024,
        "keepalive_time_ms": 30_000,
        "keepalive_timeout_ms": 10_000,
        "keepalive_permit_without_calls": False,
        "expected_vector_dim": 0,
        "compression": None,
        "hedged_reads": False,
        "hedge_delay_ms": 75,
        "max_batch_bytes": 0,
        "retry_max_attempts": 3,
        "retry_initial_backoff_ms": 100,
        "retry_max_backoff_ms": 2_000,
        "retry_backoff_multiplier": 2.0,
        "retry_jitter": 0.2,
        "retry_on_writes": False,
        "retryable_statuses": None,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_seconds", NAN),
        ("timeout_seconds", None),
        ("use_tls", 1),
        ("max_recv_message_length", 0),
        ("max_send_message_length", -2),
        ("max_send_message_length", 2**31),
        ("keepalive_time_ms", 0),
        ("keepalive_timeout_ms", 1.5),
        ("expected_vector_dim", -1),
        ("compression", "zip"),
        ("hedged_reads", 1),
        ("hedge_delay_ms", -1),
        ("max_batch_bytes", True),
        ("retry_max_attempts", 0),
        ("retry_initial_backoff_ms", -1),
        ("retry_max_backoff_ms", INF),
        ("retry_backoff_multiplier", 0.5),
        ("retry_jitter", 1.1),
        ("retry_on_writes", "yes"),
        ("retryable_statuses", "UNAVAILABLE"),
        ("retryable_statuses", ["BUSY"]),
        ("tls_root_certificates", 7),
        ("tls_server_name", 7),
        ("tls_client_certificate", 7),
        ("tls_client_key", 7),
        ("authority", ""),
        ("authority", "a b"),
        ("authority", 7),
    ],
)
def test_bad_options_name_the_field(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"ClientOptions.{name} "):
        ClientOptions(**{name: value})
    changed = ClientOptions()
    setattr(changed, name, value)
    with pytest.raises(InvalidArgumentError, match=f"ClientOptions.{name} "):
        VectronClient("h:1", options=changed)


@pytest.mark.parametrize("name", ["authority", "tls_server_name"])
@pytest.mark.parametrize(
    "value",
    [
        *("host\n", "ho\0st", "ho\x1bst", "ho\x7fst", "hóst", "host\r\nx: y", "dev:pass@host", "http://host", "host/x"),
        *("ng_live_abcdef", "vkey-1", "eyJhbGciOi.eyJzdWIi.c2ln", "AbCdEfGhIjKlMnOp012345", "ab+/cd==", "a" * 64),
        *("a." * 127 + "a", "-host", "host:99999", "host:", "a..b", b"host"),
    ],
)
def test_what_is_no_host_name_is_refused_unseen(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"ClientOptions.{name} must be a host name") as caught:
        ClientOptions(use_tls=True, **{name: value})
    shown = str(caught.value).removeprefix(f"ClientOptions.{name} must be a host name")
    assert repr(value)[1:-1] not in shown.replace("a text", "")
    assert caught.value.details == {"field": name}


def test_host_names_of_every_form_are_taken() -> None:
    for host in ("vectron.example", "localhost", "10.0.0.1", "my_service", "pod-0.svc.cluster.local.", "[::1]"):
        assert ClientOptions(use_tls=True, tls_server_name=host, authority=f"{host}:443").tls_server_name == host
    assert ClientOptions(use_tls=True, tls_server_name="::1").tls_server_name == "::1"
    for long in ("ip-10-0-0-12-of-a-long-name", "a" * 63, "3f2a9c0d1b7e"):
        assert ClientOptions(authority=long).authority == long


def test_certificates_without_tls_are_refused() -> None:
    pair = {"tls_client_certificate": b"pem", "tls_client_key": b"pem"}
    for options in ({"tls_root_certificates": b"pem"}, {"tls_server_name": "example.org"}, pair):
        with pytest.raises(InvalidArgumentError, match="use_tls must be True"):
            ClientOptions(**options)


def test_a_certificate_and_its_key_come_together() -> None:
    for given, missing in (("certificate", "key"), ("key", "certificate")):
        options: dict[str, Any] = {"use_tls": True, f"tls_client_{given}": b"pem"}
        message = f"ClientOptions.tls_client_{missing} must come along with tls_client_{given}"
        with pytest.raises(InvalidArgumentError, match=message):
            ClientOptions(**options)


def test_a_private_key_is_never_shown() -> None:
    options = ClientOptions(use_tls=True, tls_client_certificate=b"pem", tls_client_key=b"secret")
    assert "secret" not in repr(options)
    with pytest.raises(InvalidArgumentError) as caught:
        replace(options, tls_client_certificate=None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["tls_root_certificates", "tls_client_certificate", "tls_client_key"])
def test_a_certificate_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    files: dict[str, Any] = {"tls_client_certificate": b"pem", "tls_client_key": b"pem", name: tmp_path / "missing.pem"}
    options = ClientOptions(use_tls=True, **files)
    with pytest.raises(InvalidArgumentError, match=rf"{name}: .*missing\.pem' cannot be read"):
        VectronClient("h:1", options=options)
