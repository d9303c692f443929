"""Network addresses of callers, read through trusted proxies and no others."""

import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
# Addresses of `X-Forwarded-For` that are read, from the right. Generous: nobody has 32 proxies in a row.
_MAX_HOPS: Final = 32


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """Return the address of the caller behind a connection from `peer`.

    Args:
        peer: address at the other end of the connection.
        forwarded_for: value of `X-Forwarded-For`, nearest hop last.
        trusted: proxies. Only what they say is believed: the header is read from the right up to the first address
            that is not one of them, so that a caller who sends the header itself gains nothing.

    >>> proxies = [ipaddress.ip_network("10.0.0.1/32")]
    >>> client_address("10.0.0.1", "6.6.6.6, 203.0.113.9", proxies)
    '203.0.113.9'
    >>> client_address("198.51.100.7", "6.6.6.6", proxies)
    '198.51.100.7'
    """
    if forwarded_for is None or not is_one_of(peer, trusted):
        return peer
    for hop in reversed(forwarded_for.split(",")[-_MAX_HOPS:]):
        address = _plain(hop)
        if address is None:
            return peer
        peer = address
        if not is_one_of(peer, trusted):
            return peer
    return peer


def address_group(address: str) -> str:
    """Return the group of addresses that limits count as one caller: an IPv4 address, or the /64 network that one IPv6
    customer has.

    >>> address_group("2001:db8::1:2"), address_group("203.0.113.9")
    ('2001:db8::/64', '203.0.113.9')
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))


def _plain(hop: str) -> str | None:
    text = hop.strip().strip("[]")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def is_one_of(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address lies in one of the networks."""
    if not networks:
        return False
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
