"""How many requests a caller may make: of each key or person, and of each address.

What a caller has left goes to the context of his request, and from there into the headers of whatever is answered.
"""

from ipaddress import IPv6Address, ip_network
from typing import Final, Protocol

from gateway import addresses
from gateway.http.context import current
from gateway.http.principal import Principal
from gateway.payments.errors import MyPayError
from gateway.rates import Bucket
from gateway.settings import Settings
from gateway.store.limiter import Limiter

_SITE_BITS: Final = 64  # of IPv6 a whole network is one caller: each subscriber has at least one


class Limits(Protocol):
    """What authentication asks before it lets a request pass. Both raise `rate_limited`."""

    async def check(self, principal: Principal) -> None:
        """For a caller who is known."""
        ...

    async def check_stranger(self) -> None:
        """For one who is not: has no credential, or one that does not work, or wants one."""
        ...


class SharedLimits:
    """The limits of the settings, kept by a `Limiter`."""

    def __init__(self, settings: Settings, limiter: Limiter) -> None:
        self._per_key, self._per_address = settings.rate_limit_per_key, settings.rate_limit_per_ip
        self._unlimited_tests = settings.mypay_env == "development"
        self._limiter = limiter

    async def check(self, principal: Principal) -> None:
        """Draw from the caller's bucket and from his address's. In development test keys are unlimited."""
        if self._unlimited_tests and principal.key_id is not None and not principal.livemode:
            return
        caller = [Bucket(str(principal.key_id or principal.user_id), self._per_key)] if self._per_key else []
        await self._take([*caller, *self._address()])

    async def check_stranger(self) -> None:
        """Draw from the address's bucket."""
        await self._take(self._address())

    def _address(self) -> list[Bucket]:
        where = current().ip
        return [Bucket(_site(where), self._per_address)] if where is not None and self._per_address else []

    async def _take(self, buckets: list[Bucket]) -> None:
        if not buckets:
            return
        taken = current().rate = await self._limiter.take(buckets)
        if not taken.allowed:
            raise MyPayError("rate_limited", retry_after_s=taken.retry_in)


def _site(ip: str) -> str:
    if ":" not in ip:
        return ip
    found = addresses.address(ip)
    return str(ip_network((found, _SITE_BITS), strict=False)) if isinstance(found, IPv6Address) else str(found)
