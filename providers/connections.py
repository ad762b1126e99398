"""Connections to one provider's address for one account: a pool, one request and its whole response at a time.

httpcore's connections are used without its pool and without httpx's client. The pool polls every idle connection for
every request, which at 64 connections costs several milliseconds of CPU each; and there are so no retries, redirects,
cookies or proxies that would have to be turned off.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import certifi
import httpcore

from providers.contract import ConfigurationMissing, HttpRequest, HttpResponse

BODY_LIMIT: Final = 1024 * 1024  # bytes of an answer
CONNECT_S: Final = 3.0
POOL_S: Final = 1.0  # wait for a free connection
KEEPALIVE_S: Final = 4.0  # below the 5 s after which common servers close an idle connection

_HEADERS: Final = {"user-agent": "MyPay", "accept": "application/json", "accept-encoding": "identity"}
_TIMEOUTS: Final = {"connect": CONNECT_S}  # the caller's deadline bounds the rest
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]


class NoFreeConnection(Exception):
    """All of the account's connections are busy, for longer than `POOL_S`."""


class AnswerUnusable(Exception):
    """An answer that is not read: longer than `BODY_LIMIT`, or compressed though we asked for no compression."""


class Connections:
    """At most `slots` connections to one address; the one used last is used next."""

    def __init__(
        self,
        base_url: str,
        *,
        slots: int,
        ca_bundle: str | None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """`base_url` is http(s) and may have a path; if it is not, or the CA bundle is none: `ConfigurationMissing`.

        `network` connects; None: to any address.
        """
        self._network = network
        self._origin, self._authority, self._path = _address(base_url)
        self._trust = _trust(ca_bundle) if self._origin.scheme == b"https" else None
        self._slots = asyncio.Semaphore(slots)
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    async def exchange(self, request: HttpRequest, login: Mapping[str, str], trace: Trace | None) -> HttpResponse:
        """Send a request and read its response. `trace` is told httpcore's events; what it raises stops the request."""
        async with self.answer(request, login, trace) as response:
            headers = headers_of(response)
            return HttpResponse(status=response.status, headers=headers, content=await _content(response, headers))

    @asynccontextmanager
    async def answer(
        self, request: HttpRequest, login: Mapping[str, str] = MappingProxyType({}), trace: Trace | None = None
    ) -> AsyncIterator[httpcore.Response]:
        """Send a request, and hand out the response with its body still to be read; what is not read is not kept."""
        async with self._connection() as connection:
            response = await connection.handle_async_request(self._request(request, login, trace))
            try:
                yield response
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop().aclose()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
        await self._wait_for_slot()
        try:
            connection = await self._take()
            try:
                yield connection
            finally:
                await self._give_back(connection)
        finally:
            self._slots.release()

    async def _wait_for_slot(self) -> None:
        try:
            async with asyncio.timeout(POOL_S):
                await self._slots.acquire()
        except TimeoutError:
            raise NoFreeConnection from None

    async def _take(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._origin, ssl_context=self._trust, keepalive_expiry=KEEPALIVE_S, network_backend=self._network
        )

    async def _give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_available():
            self._idle.append(connection)
        else:
            await connection.aclose()
        if self._idle[:-1] and self._idle[0].has_expired():  # after a burst: the oldest, one with each request
            await self._idle.pop(0).aclose()

    def _request(self, request: HttpRequest, login: Mapping[str, str], trace: Trace | None) -> httpcore.Request:
        target = self._path + request.path
        if request.query:
            target += "?" + urlencode(request.query, quote_via=quote)
        fields = {**_HEADERS, **request.headers, **login}
        if request.content or request.method != "GET":
            fields["content-length"] = str(len(request.content))
        origin = self._origin
        return httpcore.Request(
            request.method,
            httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target.encode("ascii")),
            headers=[
                (b"host", self._authority),
                *((k.encode("latin-1"), v.encode("latin-1")) for k, v in fields.items()),
            ],
            content=request.content,
            extensions={"timeout": _TIMEOUTS, "trace": trace} if trace else {"timeout": _TIMEOUTS},
        )


def _address(base_url: str) -> tuple[httpcore.Origin, bytes, str]:
    """Where to connect, the Host header, and the path before every request's own."""
    base = urlsplit(base_url)
    try:
        host, authority = (base.hostname or "").encode("idna"), base.netloc.rpartition("@")[2].encode("idna")
        port = base.port or _DEFAULT_PORTS[base.scheme]
    except (ValueError, KeyError):
        raise ConfigurationMissing("base_url is not an http(s) address") from None
    if not host:
        raise ConfigurationMissing("base_url names no host")
    return httpcore.Origin(base.scheme.encode(), host, port), authority, base.path.rstrip("/")


def headers_of(response: httpcore.Response) -> dict[str, str]:
    """The headers of a response, names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


async def _content(response: httpcore.Response, headers: Mapping[str, str]) -> bytes:
    """The whole body, or `AnswerUnusable` as soon as it is too long."""
    if headers.get("content-encoding", "identity") != "identity":
        raise AnswerUnusable
    content = bytearray()
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) > BODY_LIMIT:
            raise AnswerUnusable
    return bytes(content)


@functools.cache
def _public_trust() -> ssl.SSLContext:
    """The public authorities; one context for all accounts, since loading them takes long."""
    return ssl.create_default_context(cafile=certifi.where())


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Whom to trust: the account's own authorities alone where it names some."""
    if ca_bundle is None:
        return _public_trust()
    try:
        return ssl.create_default_context(cadata=ca_bundle)
    except ssl.SSLError:
        raise ConfigurationMissing("the account's ca_bundle holds no certificate in PEM") from None
