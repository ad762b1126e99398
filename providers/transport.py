"""The only I/O of the providers: a `Caller` performs flows for one account, and knows what was sent.

Whatever goes wrong, the outcome says one of two things, and one fact decides which::

    the first byte of the flow's first request
    ├─ was not sent   NotSent   no free connection, DNS, refused, TLS, login trouble, too short a lease
    └─ was sent       Unknown   reset, the deadline, too long an answer, one that cannot be read

The fact is httpcore's trace event `http11.send_request_headers.started`: after connecting, before the first byte, on
a new connection as on a kept one. Nothing is ever sent twice from here.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, Final, TypeVar

import httpcore
from msgspec import Struct

from providers.connections import AnswerUnusable, Connections, NoFreeConnection
from providers.contract import (
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

LOGIN_MARGIN: Final = 0.1  # part of a login's life in which it is not used any more

_BEGINS: Final = "http11.send_request_headers.started"
_NOT_BEGUN: Final = "http11.send_request_headers.failed"
_SENT: Final = "http11.send_request_body.complete"

_log = logging.getLogger(__name__)
_R = TypeVar("_R")
_Steps = Generator[HttpRequest, HttpResponse, _R]


class LeaseTooShort(Exception):
    """Raised by a `before_send` hook: there is no time left to send and hear the answer. The outcome is NotSent."""


# What is expected to go wrong with a call; everything else is a bug in an adapter.
FAILURES: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    NoFreeConnection,
    AnswerUnusable,
    LeaseTooShort,
    *UNREADABLE,
)


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


class Exchange(Struct, frozen=True, kw_only=True):
    """A request of a flow and its response, as they were: nothing is masked. Logins are none.

    Without a response, `failure` names what happened (canceled: by the deadline, or from outside). `began` and
    `seconds` are of the monotonic clock.
    """

    request: HttpRequest
    response: HttpResponse | None
    failure: str | None
    began: float
    seconds: float


class _Progress:
    """How many requests of one call left this machine, and the hooks before and after one does and is answered."""

    def __init__(
        self,
        before_send: Callable[[], None] | None,
        after_send: Callable[[], None] | None,
        exchanged: Callable[[Exchange], None] | None,
    ) -> None:
        self.sent = 0
        self._before_send, self._after_send, self._exchanged = before_send, after_send, exchanged

    def told(self, request: HttpRequest, response: HttpResponse | None, failure: str | None, began: float) -> None:
        """Tell of an exchange that is over."""
        if self._exchanged is not None:
            seconds = time.monotonic() - began
            self._exchanged(Exchange(request=request, response=response, failure=failure, began=began, seconds=seconds))

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == _BEGINS:
            if self._before_send is not None and self.sent == 0:
                self._before_send()
            self.sent += 1
        elif event == _SENT and self._after_send is not None:
            self._after_send()
        elif event == _NOT_BEGUN and isinstance(info["exception"], httpcore.LocalProtocolError):
            self.sent -= 1  # a header that cannot be written: h11 refuses it before the first byte

    def failed(self, detail: str) -> Outcome:
        return Unknown(detail=detail) if self.sent else NotSent(detail=detail)


class Caller:
    """Performs flows for one account: one pool of connections, of its own, and its login."""

    def __init__(
        self,
        spec: ProviderSpec,
        settings: Struct,
        base_url: str,
        *,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """`base_url` is http(s) and may have a path; if it is not, or the CA bundle is none: `ConfigurationMissing`.

        `network` connects; None: to any address.
        """
        self._spec, self._settings = spec, settings
        self._connections = Connections(base_url, slots=spec.slots, ca_bundle=spec.ca_bundle(settings), network=network)
        self._login: Credentials | None = None
        self._login_until = 0.0
        self._login_settled = 0.0
        self._logging_in = asyncio.Lock()

    async def call(
        self,
        flow: Flow,
        *,
        deadline_s: float,
        before_send: Callable[[], None] | None = None,
        after_send: Callable[[], None] | None = None,
        exchanged: Callable[[Exchange], None] | None = None,
    ) -> Outcome:
        """Perform a flow within `deadline_s` seconds, logins included, and answer its outcome.

        `before_send` is called once, after connecting and before the first byte; it may raise `LeaseTooShort`.
        `after_send` is called whenever a whole request has left, and `exchanged` whenever one was answered or failed:
        it must neither raise nor take long. Nothing is raised but cancellation from outside: then the operation must be
        taken for Unknown.
        """
        progress = _Progress(before_send, after_send, exchanged)
        try:
            async with asyncio.timeout(deadline_s):
                return await drive(flow, functools.partial(self._send, progress))
        except TimeoutError:
            return progress.failed(f"no outcome within {deadline_s:g} s")
        except LoginRefused as refused:
            if progress.sent:
                return progress.failed("the login was refused between two requests")
            return Declined(code=DeclineCode.CONFIGURATION, provider_code=str(refused))
        except FAILURES as error:
            return progress.failed(type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a bug in an adapter must not lose sight of an operation
            _log_bug(self._spec.name, error)
            return progress.failed(type(error).__name__)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def _send(self, progress: _Progress, request: HttpRequest) -> HttpResponse:
        if not request.authenticated:
            return await self._connections.exchange(request, {}, progress.trace)
        login = await self._logged_in()
        response = await self._exchange(progress, request, login.headers)
        settled = time.monotonic() >= self._login_settled
        if self._spec.login_expired(response) and settled and self._login is login:
            self._login = None
        return response

    async def _exchange(self, progress: _Progress, request: HttpRequest, headers: Mapping[str, str]) -> HttpResponse:
        began, response, failure = time.monotonic(), None, "canceled"
        try:
            response = await self._connections.exchange(request, headers, progress.trace)
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            progress.told(request, response, None if response else failure, began)
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
                self._login_settled = time.monotonic() + self._login.settles_s
            return self._login

    async def _send_login(self, request: HttpRequest) -> HttpResponse:
        return await self._connections.exchange(request, {}, None)


def _log_bug(provider: str, error: Exception) -> None:
    """Where an adapter failed. Its message and the payload stay out of the log."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"
    _log.error("a flow of %s raised %s at %s", provider, type(error).__name__, where)
