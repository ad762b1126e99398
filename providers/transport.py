"""The only I/O of the providers: a `Caller` performs flows for one account, and knows what was sent.

Whatever goes wrong, the outcome says one of two things, and one fact decides which::

    the first byte of the flow's first request
    ├─ was not sent   NotSent   pool and connect timeouts, DNS, refused, TLS, login trouble, too short a lease
    └─ was sent       Unknown   reset, read timeout, the deadline, too long an answer, one that cannot be read

The fact is httpcore's trace event `http11.send_request_headers.started`: after connecting, before the first byte, on
a new connection as on a reused one. Nothing is ever sent twice from here: no retries, no redirects. httpx's transport
is used without its client, so that there are no cookies and no proxies from the environment either.
"""

import asyncio
import functools
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import httpcore
import httpx
from msgspec import Struct

from providers.contract import (
    ConfigurationMissing,
    Credentials,
    Declined,
    Flow,
    HttpRequest,
    HttpResponse,
    LoginRefused,
    NotSent,
    Outcome,
    ProviderSpec,
    Unknown,
)
from providers.declines import DeclineCode
from providers.http import UNREADABLE

BODY_LIMIT: Final = 1024 * 1024  # bytes of an answer
CONNECT_S: Final = 3.0
POOL_S: Final = 1.0
KEEPALIVE_S: Final = 4.0  # below the 5 s after which common servers close an idle connection
LOGIN_MARGIN: Final = 0.1  # part of a login's life in which it is not used any more

_HEADERS: Final = {"user-agent": "MyPay", "accept": "application/json", "accept-encoding": "identity"}
_TIMEOUTS: Final = {"connect": CONNECT_S, "pool": POOL_S, "read": None, "write": None}  # the deadline bounds the rest

_log = logging.getLogger(__name__)
_R = TypeVar("_R")
_Steps = Generator[HttpRequest, HttpResponse, _R]
_Extensions = Mapping[str, Any]


class LeaseTooShort(Exception):
    """Raised by a `before_send` hook: there is no time left to send and hear the answer. The outcome is NotSent."""


class AnswerUnusable(Exception):
    """An answer that is not read: longer than `BODY_LIMIT`, or compressed though we asked for no compression."""


async def drive(steps: _Steps[_R], send: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> _R:
    """Run a generator of requests to its end: each request is sent and its response handed back."""
    try:
        request = next(steps)
        while True:
            request = steps.send(await send(request))
    except StopIteration as end:
        result: _R = end.value
        return result
    finally:
        steps.close()


class _Progress:
    """How many requests of one call left this machine, and the hook that may stop the first just before it does."""

    def __init__(self, before_send: Callable[[], None] | None) -> None:
        self.sent = 0
        self._before_send = before_send

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            if self._before_send is not None and self.sent == 0:
                self._before_send()
            self.sent += 1
        elif event == "http11.send_request_headers.failed" and isinstance(
            info["exception"], httpcore.LocalProtocolError
        ):
            self.sent -= 1  # a header that cannot be written: refused before the first byte

    def failed(self, detail: str) -> Outcome:
        return Unknown(detail=detail) if self.sent else NotSent(detail=detail)


class Caller:
    """Performs flows for one account: one pool of connections, of its own, and its login."""

    def __init__(self, spec: ProviderSpec, settings: Struct, base_url: str) -> None:
        """`base_url` is absolute and may have a path. Raises `ConfigurationMissing` for a CA bundle that is none."""
        self._spec, self._settings = spec, settings
        self._base = httpx.URL(base_url)
        self._transport = httpx.AsyncHTTPTransport(
            verify=_trust(spec.ca_bundle(settings)),
            trust_env=False,
            limits=httpx.Limits(
                max_connections=spec.slots, max_keepalive_connections=spec.slots, keepalive_expiry=KEEPALIVE_S
            ),
        )
        self._login: Credentials | None = None
        self._login_until = 0.0
        self._logging_in = asyncio.Lock()

    async def call(self, flow: Flow, *, deadline_s: float, before_send: Callable[[], None] | None = None) -> Outcome:
        """Perform a flow within `deadline_s` seconds, logins included, and answer its outcome.

        `before_send` is called once, after connecting and before the first byte; it may raise `LeaseTooShort`.
        Nothing is raised but cancellation from outside: then the operation must be taken for Unknown.
        """
        progress = _Progress(before_send)
        try:
            async with asyncio.timeout(deadline_s):
                return await drive(flow, functools.partial(self._send_authenticated, progress))
        except TimeoutError:
            return progress.failed(f"no outcome within {deadline_s:g} s")
        except LoginRefused as refused:
            if progress.sent:
                return progress.failed("the login was refused between two requests")
            return Declined(code=DeclineCode.CONFIGURATION, provider_code=str(refused))
        except (httpx.TransportError, LeaseTooShort, AnswerUnusable, *UNREADABLE) as error:
            return progress.failed(type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a bug in an adapter must not lose sight of an operation
            _log_bug(self._spec.name, error)
            return progress.failed(type(error).__name__)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _send_authenticated(self, progress: _Progress, request: HttpRequest) -> HttpResponse:
        extensions = {"timeout": _TIMEOUTS, "trace": progress.trace}
        if not request.authenticated:
            return await self._exchange(request, {}, extensions)
        login = await self._logged_in()
        response = await self._exchange(request, login.headers, extensions)
        if self._spec.login_expired(response) and self._login is login:
            self._login = None
        return response

    async def _logged_in(self) -> Credentials:
        """The account's login: cached, and made by one task while the others wait."""
        login = self._login
        if login is not None and time.monotonic() < self._login_until:
            return login
        async with self._logging_in:
            if self._login is None or time.monotonic() >= self._login_until:
                self._login = await drive(self._spec.authenticate(self._settings), self._send_login)
                life_s = float("inf") if self._login.ttl_s is None else self._login.ttl_s * (1 - LOGIN_MARGIN)
                self._login_until = time.monotonic() + life_s
            return self._login

    async def _send_login(self, request: HttpRequest) -> HttpResponse:
        return await self._exchange(request, {}, {"timeout": _TIMEOUTS})

    async def _exchange(self, request: HttpRequest, login: Mapping[str, str], extensions: _Extensions) -> HttpResponse:
        response = await self._transport.handle_async_request(
            httpx.Request(
                request.method,
                self._url(request),
                headers={**_HEADERS, **request.headers, **login},
                content=request.content,
                extensions=dict(extensions),
            )
        )
        try:
            return HttpResponse(
                status=response.status_code, headers=dict(response.headers.items()), content=await _content(response)
            )
        finally:
            await response.aclose()

    def _url(self, request: HttpRequest) -> httpx.URL:
        target = self._base.path.rstrip("/") + request.path
        if request.query:
            target += "?" + urlencode(request.query, quote_via=quote)
        return self._base.copy_with(raw_path=target.encode("ascii"))


async def _content(response: httpx.Response) -> bytes:
    """The whole body, or `AnswerUnusable` as soon as it is too long."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise AnswerUnusable
    content = bytearray()
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        content += chunk
        if len(content) > BODY_LIMIT:
            raise AnswerUnusable
    return bytes(content)


@functools.cache
def _public_trust() -> ssl.SSLContext:
    """The public authorities; one context for all accounts, since loading them takes long."""
    return httpx.create_ssl_context(trust_env=False)


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Whom to trust: the account's own authorities alone where it names some."""
    if ca_bundle is None:
        return _public_trust()
    try:
        return ssl.create_default_context(cadata=ca_bundle)
    except ssl.SSLError:
        raise ConfigurationMissing("the account's ca_bundle holds no certificate in PEM") from None


def _log_bug(provider: str, error: Exception) -> None:
    """Where an adapter failed. Its message and the payload stay out of the log."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    _log.error("a flow of %s raised %s at %s", provider, type(error).__name__, where)
