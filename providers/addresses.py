"""Which addresses the outside may make us connect to: those of the public internet, and no other.

A URL that a merchant writes is checked twice. When it is written, its host is checked as far as text tells
(`is_public_host`). When it is connected to, the name is resolved once, every address that came is checked, and the
connection goes to one of exactly those (`PublicNetwork`): an answer of the DNS that changes after the check changes
nothing. TLS and the Host header keep the name.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import httpcore

NAME_LENGTH: Final = 253  # of a host name, RFC 1035 in text form
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"\d+|0[xX][0-9a-fA-F]*")  # a last label that resolvers read as part of an IPv4 address
_LOCAL: Final = (".localhost", ".local", ".internal", ".home.arpa")  # RFC 6761, 6762, 8375; ICANN's .internal

# The special-purpose registries of IANA, without the blocks that are ordinary destinations on the internet.
_REFUSED_4: Final = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network: 0.0.0.0 is this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, but the host's own agent on Azure
        "169.254.0.0/16",  # link-local, and where clouds keep their metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Of IPv6 only global unicast is taken, so that mapped, NAT64, local and multicast addresses need no line.
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_6: Final = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(httpcore.ConnectError):
    """The host resolves to an address that is not on the public internet. Nothing was sent."""


def is_public(address: str) -> bool:
    """Whether a literal address is one of the public internet. Raises `ValueError` for anything but an address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in block for block in _REFUSED_4)
    if parsed.scope_id is not None or parsed not in _GLOBAL_6:
        return False
    return not any(parsed in block for block in _REFUSED_6)


def is_public_host(host: str) -> bool:
    """Whether the host of a URL may be one of the public internet: a public address, or a name of more than one label.

    What a name resolves to is known when it is connected to.
    """
    try:
        return is_public(host)
    except ValueError:
        return _is_public_name(host.removesuffix(".").lower())


def _is_public_name(name: str) -> bool:
    labels = name.split(".")
    if len(name) > NAME_LENGTH or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
        return False
    return not _NUMBER.fullmatch(labels[-1]) and not f".{name}".endswith(_LOCAL)


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system finds them. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to hosts of the public internet alone. `resolve` and `network` are what it connects with."""

    def __init__(self, resolve: Resolve = resolve, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._resolve, self._network = resolve, network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers. Raises `AddressRefused` if one is not public."""
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in await self._checked(host, port, timeout):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int, limit_s: float | None) -> Sequence[str]:
        try:
            async with asyncio.timeout(limit_s):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that the resolver's IDNA does not take
            raise httpcore.ConnectError(type(error).__name__) from None
        if not all(map(is_public, addresses)):
            raise AddressRefused("the host is not on the public internet")
        return addresses
