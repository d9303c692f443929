"""Connection strings: understood, completed, and refused when others on the network could read what is sent."""

import ipaddress
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vectrograph.domain.errors import StartupError

# The only mode that checks certificate and host name; all others trust whoever answers.
_VERIFIED: Final = "verify-full"


def checked_conninfo(url: str) -> str:
    """Return a connection string as it is used: of several hosts, the one that takes writes.

    Raises:
        StartupError: it cannot be understood, or leads over a network without verified TLS; one sentence says what to
            do, without a password.
    """
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.Error as error:
        raise StartupError(
            "Setting engine_url: is not a connection string; write postgresql://USER@HOST:PORT/DATABASE."
        ) from error
    if "service" in given:
        raise StartupError("Setting engine_url: names a service file; write the hosts themselves.")
    # The environment of libpq (PGHOST, PGSSLMODE …) counts where the string says nothing.
    usual = {each.keyword.decode(): each.val.decode() for each in pq.Conninfo.get_defaults() if each.val is not None}
    known = {**usual, **given}
    hosts = (known.get("hostaddr") or known.get("host") or "").split(",")
    if known.get("sslmode") != _VERIFIED:
        for host in hosts:
            if not _is_this_machine(host):
                raise StartupError(
                    f"Refusing to connect to PostgreSQL on {host} without verified TLS: add "
                    "sslmode=verify-full&sslrootcert=FILE to engine_url, with the certificate authority of the server."
                )
    return make_conninfo(url, **{"target_session_attrs": "read-write", **given})


def _is_this_machine(host: str) -> bool:
    """Return whether a host is loopback or the directory of a socket; an empty one is libpq's own socket."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
