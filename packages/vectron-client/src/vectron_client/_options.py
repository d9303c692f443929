"""Options of a client: one dataclass, checked when it is made and again when a client is built with it."""

import math
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, cast

from vectron_client._wirekit.options import shown
from vectron_client._wirekit.secrets import described
from vectron_client.exceptions import InvalidArgumentError

# Bytes of a mebibyte.
MIB = 1024 * 1024

#: Statuses after which a call may be repeated, unless the options name others.
RETRYABLE_STATUSES = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})

#: Names of the gRPC statuses that stand for an error.
STATUSES = RETRYABLE_STATUSES | {
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "DATA_LOSS", "UNAUTHENTICATED",
}  # fmt: skip


#: Options that are PEM, as bytes or text, or the path of a file with it.
TLS_FILES = ("tls_root_certificates", "tls_client_certificate", "tls_client_key")


@dataclass
class ClientOptions:
    """Everything about a client that has a default.

    Attributes:
        timeout_seconds: time for each call, its repeats included; 0 or less means no limit. Every method takes its own
            `timeout` as well.
        use_tls: encrypt, and verify the server's certificate.
        tls_root_certificates: PEM as bytes or text, or the path of a PEM file, of the authorities to trust instead of
            gRPC's own.
        tls_server_name: the name the certificate must carry when it is not the host's.
        tls_client_certificate: the same of the certificate (chain) that proves who the client is, for servers that
            ask (mutual TLS).
        tls_client_key: the same of its private key.
        authority: the name of the server in each request, for proxies that route by it; None for the host.
        max_recv_message_length: longest answer to accept, in bytes; -1 means no limit.
        max_send_message_length: longest request to send, in bytes; -1 means no limit. `upsert_batch` keeps below it.
        keepalive_time_ms: silence after which a running call checks the connection. At the default of 30000 the
            check comes after 330 s all the same: servers with gRPC's own defaults close connections that check more
            often than every five minutes. Any other value acts as given.
        keepalive_timeout_ms: how long the answer to that check may take.
        keepalive_permit_without_calls: check idle connections too.
        expected_vector_dim: refuse vectors of another dimension before sending; 0 means any.
        compression: `gzip` or None, of requests.
        hedged_reads: send a read a second time when its answer is late; the first answer counts, the other call is
            cancelled. Streams are sent once.
        hedge_delay_ms: when an answer is late; 0 sends both at once.
        max_batch_bytes: bytes in one message of `upsert_batch`, below max_send_message_length; 0 means only the latter.
        retry_max_attempts: attempts in all, the first included.
        retry_initial_backoff_ms: pause before the first repeat.
        retry_max_backoff_ms: where pauses stop growing.
        retry_backoff_multiplier: growth of the pause from repeat to repeat, 1 to 10.
        retry_jitter: share by which a pause is randomly longer or shorter, 0 to 1.
        retry_on_writes: repeat `upsert`, `upsert_batch`, `upsert_if`, `delete` and `delete_where` as well, where the
            server recognises a repeat and carries it out once; a server that would not is sent no repeat. No other
            write is ever repeated.
        retryable_statuses: statuses after which to repeat, by name or as `grpc.StatusCode`; None means UNAVAILABLE,
            RESOURCE_EXHAUSTED and DEADLINE_EXCEEDED.

    Raises:
        InvalidArgumentError: a value makes no sense; the message names the field.
    """

    timeout_seconds: float = 10.0
    use_tls: bool = False
    tls_root_certificates: bytes | str | os.PathLike[str] | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    tls_client_certificate: bytes | str | os.PathLike[str] | None = field(default=None, repr=False)
    tls_client_key: bytes | str | os.PathLike[str] | None = field(default=None, repr=False)
    authority: str | None = None
    max_recv_message_length: int = 16 * MIB
    max_send_message_length: int = 16 * MIB
    keepalive_time_ms: int = 30_000
    keepalive_timeout_ms: int = 10_000
    keepalive_permit_without_calls: bool = False
    expected_vector_dim: int = 0
    compression: str | None = None
    hedged_reads: bool = False
    hedge_delay_ms: float = 75
    max_batch_bytes: int = 0
    retry_max_attempts: int = 3
    retry_initial_backoff_ms: float = 100
    retry_max_backoff_ms: float = 2_000
    retry_backoff_multiplier: float = 2.0
    retry_jitter: float = 0.2
    retry_on_writes: bool = False
    retryable_statuses: Collection[Any] | None = None

    def __post_init__(self) -> None:
        value: dict[str, Any] = vars(self)
        for name in _NUMBERS:
            value[name] = _plain(value[name])
        for name in ("use_tls", "keepalive_permit_without_calls", "hedged_reads", "retry_on_writes"):
            self._require(name, isinstance(value[name], bool), "must be True or False")
        for name in ("max_recv_message_length", "max_send_message_length"):
            holds = _is_whole(value[name], 1) or value[name] == -1
            self._require(name, holds, "must be a number of bytes from 1, or -1 for no limit")
        for name, least in _MINIMA.items():
            self._require(name, _is_whole(value[name], least), f"must be an integer from {least}")
        for name, (lowest, highest) in _RANGES.items():
            self._require(
                name, _is_real(value[name], lowest, highest), f"must be a number from {lowest:g} to {highest:g}"
            )
        self._require("compression", value["compression"] in (None, "gzip"), "must be None or 'gzip'")
        self._check_tls(value)
        authority = value["authority"]
        self._require(
            "authority",
            authority is None or _is_host(authority, with_port=True),
            "must be a host name, perhaps with a port, and no key",
        )
        self.statuses()

    def _check_tls(self, value: dict[str, Any]) -> None:
        for name in TLS_FILES:
            pem = value[name] is None or isinstance(value[name], (bytes, str, os.PathLike))
            self._require(name, pem, "must be PEM as bytes or text, or the path of a PEM file")
        name = value["tls_server_name"]
        self._require("tls_server_name", name is None or _is_host(name), "must be a host name in ASCII, and no key")
        # Certificates that are not used would leave the API key on the wire in clear text.
        used = self.use_tls or (name is None and all(value[file] is None for file in TLS_FILES))
        self._require("use_tls", used, "must be True when other tls_ options are set")
        for one, other in (TLS_FILES[1:], TLS_FILES[:0:-1]):
            self._require(one, value[one] is not None or value[other] is None, f"must come along with {other}")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            value = getattr(self, name)
            told = type(value).__name__ if name in TLS_FILES else shown(value)
            if name in _HOST_NAMES:  # what is no host name may be a key in the wrong place
                told = described(value)
            raise InvalidArgumentError(f"ClientOptions.{name} {rule}, not {told}", details={"field": name})

    def __getstate__(self) -> dict[str, Any]:
        key = self.tls_client_key
        if isinstance(key, bytes) or (isinstance(key, str) and is_pem(key)):
            raise InvalidArgumentError(
                "ClientOptions with a private key in tls_client_key cannot be pickled; pass the path of the key's file",
                details={"field": "tls_client_key"},
            )
        return dict(vars(self))

    def __copy__(self) -> "ClientOptions":
        return replace(self)

    def __deepcopy__(self, memo: Any) -> "ClientOptions":
        return replace(self)  # every value is immutable, but for a list of statuses, which is only read

    def statuses(self) -> frozenset[str]:
        """Return the names of the statuses after which to repeat.

        >>> sorted(ClientOptions(retryable_statuses=["unavailable"]).statuses())
        ['UNAVAILABLE']
        """
        if self.retryable_statuses is None:
            return RETRYABLE_STATUSES
        given: Any = self.retryable_statuses
        listed = isinstance(given, Collection) and not isinstance(given, (str, bytes))
        self._require("retryable_statuses", listed, "must be a list or set of statuses")
        given = cast("Collection[Any]", given)
        names = frozenset(str(getattr(status, "name", status)).upper() for status in given if status is not None)
        self._require("retryable_statuses", names <= STATUSES, f"must be among {', '.join(sorted(STATUSES))}")
        return names


def own_options(options: ClientOptions | None) -> ClientOptions:
    """Return a copy for a client to keep, checked again because its fields can be assigned to; the defaults for None.

    Raises:
        InvalidArgumentError: a value makes no sense, or these are no `ClientOptions`.
    """
    if options is not None and not isinstance(options, ClientOptions):
        raise InvalidArgumentError(f"options must be ClientOptions, not {type(options).__name__}")
    return ClientOptions() if options is None else replace(options)


#: Options that may differ from call to call over one connection.
PER_CALL = (
    "timeout_seconds", "expected_vector_dim", "max_batch_bytes", "compression", "hedged_reads", "hedge_delay_ms",
    "retry_max_attempts", "retry_initial_backoff_ms", "retry_max_backoff_ms", "retry_backoff_multiplier",
    "retry_jitter", "retry_on_writes", "retryable_statuses",
)  # fmt: skip


def changed_options(options: ClientOptions, changes: dict[str, Any]) -> ClientOptions:
    """Return a copy with other values.

    Raises:
        InvalidArgumentError: a value makes no sense, there is no such option, or it belongs to the connection.

    >>> changed_options(ClientOptions(), {"timeout_seconds": 2}).timeout_seconds
    2
    """
    for name in changes:
        if name not in PER_CALL:
            fixed = name in ClientOptions.__dataclass_fields__
            reason = "belongs to the connection; make another client" if fixed else "is no option"
            message = f"{name} {reason}. Calls may differ in {', '.join(PER_CALL)}"
            raise InvalidArgumentError(message, details={"field": name})
    return replace(options, **changes)


#: Options that are whole numbers, and their least value.
_MINIMA = {
    "keepalive_time_ms": 1,
    "keepalive_timeout_ms": 1,
    "expected_vector_dim": 0,
    "max_batch_bytes": 0,
    "retry_max_attempts": 1,
}

#: Options that are numbers, and their range.
_RANGES = {
    "timeout_seconds": (-math.inf, math.inf),
    "hedge_delay_ms": (0, 3_600_000),
    "retry_initial_backoff_ms": (0, 3_600_000),
    "retry_max_backoff_ms": (0, 3_600_000),
    "retry_backoff_multiplier": (1, 10),
    "retry_jitter": (0, 1),
}


#: Options that are the name of a host.
_HOST_NAMES = ("authority", "tls_server_name")

#: Longest name of a host, of RFC 1035; a part of it has 63 characters at most.
_MAX_HOST_CHARACTERS = 253

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\]|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{{2,45}})(?::(?P<port>[0-9]{{1,5}}))?"
)

#: What keys and tokens look like where they could be a host name: the beginnings of API keys and of JWTs, or one long
#: part with digits and no hyphen.
_KEY = re.compile(r"ng_|vkey-|eyJ|(?=[^.]*[0-9])[A-Za-z0-9_]{20,}\Z")


_NUMBERS = ("max_recv_message_length", "max_send_message_length", *_MINIMA, *_RANGES)


def is_pem(given: str) -> bool:
    """Return whether a text is PEM itself and no path.

    >>> is_pem("-----BEGIN CERTIFICATE-----"), is_pem("key.pem")
    (True, False)
    """
    return "-----BEGIN" in given


def _plain(value: Any) -> Any:
    """Return a number of numpy as a plain one; anything else as it is."""
    if type(value) in (int, float, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _is_host(value: Any, *, with_port: bool = False) -> bool:
    """Return whether this is the name or the address of a host, and does not look like a key.

    >>> _is_host("vectron.example"), _is_host("[::1]:443", with_port=True), _is_host("ng_live_0123")
    (True, True, False)
    """
    if not isinstance(value, str):
        return False
    match = _HOST.fullmatch(value)
    if match is None or (match["port"] and not (with_port and int(match["port"]) < 2**16)):
        return False
    return len(match["name"]) <= _MAX_HOST_CHARACTERS and not _KEY.match(match["name"])


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31


def _is_real(value: Any, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
