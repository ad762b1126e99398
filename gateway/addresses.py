"""Network addresses: ranges as people write them, and whose address a request came from.

A proxy adds the address that it saw at the right end of `X-Forwarded-For`; what stands further left is whatever the
client sent. So only trusted proxies are believed, from the right, and the first address that is none of theirs is the
client's. `Forwarded` and `X-Real-IP` are not looked at.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
# What a URL is written with: printable ASCII (RFC 3986), less the backslash, which browsers read as a slash.
URL_TEXT: Final = re.compile(r"[!-\[\]-~]+")


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """CIDR ranges; a single address is a range of one. Raises `ValueError`, also where bits are set beyond the mask."""
    return tuple(ip_network(text.strip()) for text in texts)


def address(text: str) -> Address | None:
    """The address, or None; one of IPv4 in IPv6's clothes (`::ffff:10.0.0.1`) is that of IPv4."""
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def within(where: Address | None, ranges: Sequence[Network]) -> bool:
    """Whether the address is in one of the ranges; one that is not known is in none."""
    return where is not None and any(where in network for network in ranges)


def contains(outer: Network, inner: Network) -> bool:
    """Whether every address of `inner` is in `outer`."""
    return outer.version == inner.version and inner.network_address in outer and inner.broadcast_address in outer


def client(peer: str | None, forwarded: Sequence[bytes], trusted: Sequence[Network]) -> str | None:
    """Whose request it is: the peer's, or, behind trusted proxies, the first address from the right that is not theirs.

    `forwarded` are the values of `X-Forwarded-For` in order. Where a trusted proxy passed on what is no address, the
    last one that was is taken.
    """
    if not trusted or peer is None or not within(address(peer), trusted):
        return peer
    found = peer
    for entry in reversed(b",".join(forwarded).decode("latin-1").split(",")):
        hop = address(entry)
        if hop is None:
            break
        found = str(hop)
        if not within(hop, trusted):
            break
    return found
