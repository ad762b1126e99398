"""The base of every simulator: routes, memory that survives a kill, timers, callbacks and the control endpoints.

A handler is a plain function from `Request` to `Reply`: it changes memory and ledger at once, and nothing leaves,
neither its answer nor a callback, before the ledger is on disk. Control endpoints of every simulator::

    GET  /_simulator/ledger?payment=pay_…  or  ?reference=…   what it did: charges, authorizations, refunds, payouts,
                                                              and every request it received for it
    POST /_simulator/latency  {"seconds": 0.05}               delay every later answer (not kept over a restart)
    POST /_simulator/secrets  {"api_key": …, "secret": …}     the secret shared with the holder of an API key; without
                                                              "secret" it is only shown
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Generic, NamedTuple, TypeVar

import httpx
import msgspec
from msgspec import Meta, Struct

from providers.simulation.ledger import Ledger
from providers.simulation.server import Reply, Request, Server, json

CALLBACK_TRIES_S: Final = (0, 1, 5, 30)  # seconds before each try, until one is answered 2xx
CALLBACK_TIMEOUT_S: Final = 10
CALLBACK_SLOTS: Final = 16  # at a time: httpx's pool becomes slow with many connections and many waiting

_log = logging.getLogger(__name__)
_State = TypeVar("_State", bound=Struct)


class Route(NamedTuple):
    """A method, a regular expression of the whole path, and who handles it: called with the request and the groups."""

    method: str
    path: str
    handler: Callable[..., Reply]


class Callback(NamedTuple):
    """One POST of a callback: body and headers."""

    content: bytes
    headers: Mapping[str, str]


class Simulator(Generic[_State]):
    """One provider's simulator. Subclasses set `name` and `state_type`, and define `routes` and perhaps `resume`."""

    name: ClassVar[str]
    state_type: type[_State]

    def __init__(self, directory: Path, *, pace: float = 1.0) -> None:
        """The ledger is `directory/<name>.jsonl`; delays are multiplied by `pace`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.state: dict[str, _State] = {}
        self._pace = pace
        self._latency_s = 0.0
        self._secrets: dict[str, str] = {}
        self._ledger = Ledger(directory / f"{self.name}.jsonl")
        self._routes = [(one.method, re.compile(one.path), one.handler) for one in (*self._control(), *self.routes())]
        self._server = Server(self._handle)
        self._tasks: set[asyncio.Task[None]] = set()
        self._callback_slots = asyncio.Semaphore(CALLBACK_SLOTS)
        self._client: httpx.AsyncClient | None = None

    # --- for subclasses -------------------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """The provider's protocol."""
        raise NotImplementedError

    def resume(self, key: str, state: _State) -> None:
        """Called at start for each state that was kept before: schedule again what is still to come."""

    def default_secret(self, api_key: str) -> str | None:
        """The secret of an API key for which none was set."""
        return None

    def secret(self, api_key: str) -> str | None:
        """The secret shared with the holder of an API key, or None when there is none."""
        return self._secrets.get(api_key) or self.default_secret(api_key)

    def note(self, kind: str, **fields: Any) -> None:
        """Write a fact into the ledger, with its time."""
        self._ledger.append(kind, {**fields, "at": datetime.now(UTC).isoformat(timespec="milliseconds")})

    def received(self, request: Request, *, reference: str | None, payment: str | None, operation: str | None) -> None:
        """Note a request; every handler of the protocol does so first, harmless or not."""
        what = {"method": request.method, "path": request.path}
        self.note("requests", **what, reference=reference, payment=payment, operation=operation)

    def keep(self, key: str, state: _State) -> None:
        """Remember a state under its key, over restarts too."""
        self.state[key] = state
        self._ledger.append("state", {"key": key, "value": state})

    def later(self, delay_s: float, action: Callable[[], None], *, since: float | None = None) -> None:
        """Do something `delay_s` (paced) after `since` (Unix seconds; default: now)."""
        passed_s = 0 if since is None else time.time() - since
        self._spawn(self._act(max(0, delay_s * self._pace - passed_s), action))

    def call_back(self, url: str, callbacks: Iterable[Callback], done: Callable[[], None] | None = None) -> None:
        """POST callbacks one after the other, each until it is answered 2xx or the tries are used up; then `done`."""
        self._spawn(self._deliver(url, list(callbacks), done))

    # --- running --------------------------------------------------------------------------------------------------

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Remember what was before, then listen; answers the port."""
        for kind, entry in self._ledger.replay():
            if kind == "state":
                self.state[entry["key"]] = msgspec.convert(entry["value"], self.state_type)
            elif kind == "secret":
                self._secrets[entry["api_key"]] = entry["secret"]
        self._client = httpx.AsyncClient(timeout=CALLBACK_TIMEOUT_S, trust_env=False)
        for key, state in self.state.items():
            self.resume(key, state)
        return await self._server.start(host, port)

    async def stop(self) -> None:
        """Stop listening; forget timers and callbacks under way: as after a kill, the next start resumes them."""
        await self._server.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
        await self._ledger.aclose()

    async def _handle(self, request: Request) -> Reply:
        handler, groups = self._find(request)
        if handler is None:
            return json({"error": "no_such_path"}, 404)
        try:
            reply = handler(request, *groups)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return json({"error": "invalid_request"}, 400)
        await self._ledger.synced()
        control = request.path.startswith("/_simulator/")
        pause_s = reply.delay_s * self._pace + (0 if control else self._latency_s)
        if pause_s:
            await asyncio.sleep(pause_s)
        return reply

    def _find(self, request: Request) -> tuple[Callable[..., Reply] | None, tuple[str, ...]]:
        for method, path, handler in self._routes:
            if method == request.method and (found := path.fullmatch(request.path)):
                return handler, found.groups()
        return None, ()

    async def _act(self, delay_s: float, action: Callable[[], None]) -> None:
        await asyncio.sleep(delay_s)
        action()
        await self._ledger.synced()

    async def _deliver(self, url: str, callbacks: list[Callback], done: Callable[[], None] | None) -> None:
        await self._ledger.synced()
        for callback in callbacks:
            for wait_s in CALLBACK_TRIES_S:
                await asyncio.sleep(wait_s * self._pace)
                if await self._delivered(url, callback):
                    break
        if done is not None:
            done()
            await self._ledger.synced()

    async def _delivered(self, url: str, callback: Callback) -> bool:
        assert self._client is not None
        try:
            async with self._callback_slots:
                response = await self._client.post(url, content=callback.content, headers=callback.headers)
        except httpx.TransportError as error:
            _log.info("%s: a callback was not delivered: %s", self.name, type(error).__name__)
            return False
        return response.is_success

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("%s: a timer or callback failed", self.name, exc_info=error)

    # --- control --------------------------------------------------------------------------------------------------

    def _control(self) -> list[Route]:
        return [
            Route("GET", "/_simulator/ledger", self._show_ledger),
            Route("POST", "/_simulator/latency", self._set_latency),
            Route("POST", "/_simulator/secrets", self._share_secret),
        ]

    def _show_ledger(self, request: Request) -> Reply:
        payment, reference = request.query.get("payment"), request.query.get("reference")
        if not payment and not reference:
            return json({"error": "name a payment or a reference"}, 400)
        return json(self._ledger.find(payment=payment, reference=reference))

    def _set_latency(self, request: Request) -> Reply:
        self._latency_s = request.read(_Latency).seconds
        return json({"seconds": self._latency_s})

    def _share_secret(self, request: Request) -> Reply:
        shared = request.read(_Shared)
        if shared.secret is not None:
            self._secrets[shared.api_key] = shared.secret
            self._ledger.append("secret", msgspec.to_builtins(shared))
        return json({"api_key": shared.api_key, "secret": self.secret(shared.api_key)})


class _Latency(Struct):
    seconds: Annotated[float, Meta(ge=0, le=60)]


class _Shared(Struct):
    api_key: str
    secret: str | None = None
