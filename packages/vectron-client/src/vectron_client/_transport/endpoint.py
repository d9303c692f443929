"""Endpoint and credentials of a client: the checked arguments of its constructor.

Pure but for one thing: it reads the files of certificates and keys, once.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from vectron_client._options import ClientOptions, is_pem
from vectron_client._protocol.arguments import invalid
from vectron_client._wirekit.secrets import described, shown_url
from vectron_client.exceptions import InvalidArgumentError

USER_AGENT = "vectron-python"

#: A gRPC server with default settings accepts a keepalive check every five minutes (gRFC A8); a little more than that,
#: so that an early timer is not one too many.
_POLITE_KEEPALIVE_MS = 330_000

#: After a lost connection the next attempts come after 0.2 s, growing to 5 s; gRPC's own two minutes would keep
#: clients away long after a restart.
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


#: Characters of a host and of a path that a message shows; longer ones may be something else in the wrong place.
_SHOWN_HOST, _SHOWN_PATH = 300, 300


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server as the channels see it.

    Attributes:
        address: a gRPC target, such as `localhost:8081`.
        metadata: sent with every call; has the credential and stays out of `repr`.
        arguments: gRPC channel arguments.
        tls: whether to encrypt.
        root_certificates: PEM of the authorities to trust; None for gRPC's own.
        client_certificate: PEM of the client's own certificate; None for none.
        client_key: PEM of its private key.
    """

    address: str
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    arguments: tuple[tuple[str, int | str], ...]
    tls: bool
    root_certificates: bytes | None = field(repr=False)
    client_certificate: bytes | None = field(repr=False)
    client_key: bytes | None = field(repr=False)


def endpoint(host: Any, api_key: Any, options: ClientOptions) -> Endpoint:
    """Check what a client was given.

    Raises:
        InvalidArgumentError: the host is empty or a URL, the key cannot be a header, a certificate file cannot be read.

    >>> endpoint("localhost:8081", "vkey-1", ClientOptions()).metadata
    (('authorization', 'Bearer vkey-1'),)
    """
    return Endpoint(
        address=_address(host),
        metadata=credentials(api_key),
        arguments=_arguments(options),
        tls=options.use_tls,
        root_certificates=_pem("tls_root_certificates", options),
        client_certificate=_pem("tls_client_certificate", options),
        client_key=_pem("tls_client_key", options),
    )


def _address(host: Any) -> str:
    if not isinstance(host, str) or not host.strip():
        raise invalid("host", f"must be an address such as 'localhost:8081', not {described(host)}")
    is_socket = host.startswith(("unix:", "unix-abstract:"))
    if not is_socket and "@" in host:
        raise invalid("host", "must be an address such as 'localhost:8081', without credentials; pass api_key")
    # A text without a host's marks may be a key in the wrong place.
    telling = len(host) <= _SHOWN_HOST and any(mark in host for mark in ".:")
    place = repr(shown_url(host)) if telling else described(host)
    if host.lower().startswith(("http://", "https://", "grpc://", "grpcs://")):
        raise invalid(
            "host", f"{place} must be an address such as 'localhost:8081', without a scheme; encrypt with use_tls"
        )
    if len(host) > _SHOWN_HOST and "," not in host:
        raise invalid("host", f"must be an address such as 'localhost:8081', not {described(host)}")
    if not all(" " < character < "\x7f" for character in host):
        raise invalid(
            "host",
            f"{place} must be an address such as 'localhost:8081' in visible ASCII, without a scheme, blanks or "
            "line breaks; write other names in their form that begins with xn--",
        )
    return host


def credentials(api_key: Any) -> tuple[tuple[str, str], ...]:
    """Return the metadata that tells the server who calls: nothing for None.

    Raises:
        InvalidArgumentError: the key cannot be a header.

    >>> credentials("vkey-1")
    (('authorization', 'Bearer vkey-1'),)
    """
    if api_key is None or api_key == "":
        return ()
    if not isinstance(api_key, str):
        raise invalid("api_key", f"must be a string, not {type(api_key).__name__}")
    if not all(" " < character < "\x7f" for character in api_key):
        # The key itself stays out of the message.
        raise InvalidArgumentError(
            "api_key must be text of visible ASCII characters; is there a space or a line break at its end?",
            details={"field": "api_key"},
        )
    return (("authorization", f"Bearer {api_key}"),)


def _arguments(options: ClientOptions) -> tuple[tuple[str, int | str], ...]:
    official_default = options.keepalive_time_ms == ClientOptions.keepalive_time_ms
    arguments: tuple[tuple[str, int | str], ...] = (
        ("grpc.primary_user_agent", USER_AGENT),
        ("grpc.max_receive_message_length", options.max_recv_message_length),
        ("grpc.max_send_message_length", options.max_send_message_length),
        ("grpc.keepalive_time_ms", _POLITE_KEEPALIVE_MS if official_default else options.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", options.keepalive_timeout_ms),
        # Newer gRPC (seen in 1.85) waits for this one, a minute by default, and no longer looks at the one above.
        ("grpc.http2.ping_timeout_ms", options.keepalive_timeout_ms),
        ("grpc.keepalive_permit_without_calls", int(options.keepalive_permit_without_calls)),
        *_RECONNECT,
        # Clients of one address would otherwise share a connection, and a pool of them would be a pool of one.
        ("grpc.use_local_subchannel_pool", 1),
    )
    if options.tls_server_name:
        arguments += (("grpc.ssl_target_name_override", options.tls_server_name),)
    if options.authority:
        arguments += (("grpc.default_authority", options.authority),)
    return arguments


def _pem(name: str, options: ClientOptions) -> bytes | None:
    """Return an option that is PEM or the path of a file with it."""
    given: bytes | str | os.PathLike[str] | None = getattr(options, name)
    if given is None or isinstance(given, bytes):
        return given
    path = os.fspath(given)
    if isinstance(given, str) and is_pem(given):
        if not given.isascii():
            raise invalid(f"ClientOptions.{name}", "is PEM with characters that are not ASCII")
        return given.encode()
    problem: str | None = None
    content = b""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "it is no path"
    if problem is not None:
        # Outside of the handler, so that no error in the chain repeats what may be a key in the place of its path.
        place = repr(path) if _looks_like_path(str(path)) else described(path)
        raise InvalidArgumentError(
            f"ClientOptions.{name}: {place} cannot be read: {problem}; pass PEM, or the path of a PEM file",
            details={"field": name},
        )
    return content


def _looks_like_path(given: str) -> bool:
    """Return whether a text that cannot be read may be shown: it is in a directory that exists, or is named as such
    files are.

    Base64, of which keys are made, has no dots, and hardly ever begins with the name of a directory.

    >>> _looks_like_path("key.pem"), _looks_like_path("MIIEvQIBADANBgkqhkiG9w0B")
    (True, False)
    """
    if len(given) > _SHOWN_PATH or not given.isprintable():
        return False
    directory = os.path.dirname(given)
    return given.endswith((".pem", ".key", ".crt", ".cer")) or bool(directory and os.path.isdir(directory))
