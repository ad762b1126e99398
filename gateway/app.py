"""The API process, put together: what it works with, its routes, and the server that runs it."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final
from uuid import UUID

import structlog
from litestar import Litestar, Router
from litestar.types import ASGIApp

from gateway import crash_points, logs, telemetry
from gateway import settings as settings_module
from gateway.clock import Clock
from gateway.health import Check
from gateway.http import docs_page, former_paths, openapi
from gateway.http.auth import KeyCache, authentication, limited_by_address
from gateway.http.callbacks import receive_callback, return_page
from gateway.http.context import RequestContext
from gateway.http.controllers import CONTROLLERS, OPEN_CONTROLLERS
from gateway.http.limits import SharedLimits
from gateway.http.people import People
from gateway.http.wiring import base_kwargs, base_routes
from gateway.sealing import Sealer
from gateway.server import before_end, die_with_parent, settle_memory
from gateway.services import Accounts, Services
from gateway.settings import Settings
from gateway.store import directory, merchants, retention, sessions, wakeups
from gateway.store.accept import accept
from gateway.store.api_keys import keep_last_used
from gateway.store.batcher import Batcher
from gateway.store.database import Connection, close_pool, connect, create_pool, keep_clock, read_clock
from gateway.store.gauges import DatabaseGauges, relay_is_led
from gateway.store.limiter import Limiter
from gateway.store.migrate import check_schema
from gateway.store.sessions import LiveSession
from gateway.store.vault import Vault
from gateway.store.wakeups import RedisWakeups
from gateway.tokens import AccessTokens, Claims
from gateway.usecases.card_testing import CardTesting
from gateway.usecases.follow_events import Tail
from gateway.usecases.record_outcome import Recorder
from gateway.usecases.waiters import Waiters
from streams import dead_letters
from streams.announcements import Announcements
from streams.publisher import Publisher

READ_CONNECTIONS: Final = 4
ACCEPT_PATIENCE_S: Final = 8.0  # a client waits so long for its batch; then 503
SHUTDOWN_S: Final = 5.0

log = structlog.get_logger(__name__)


def asgi() -> ASGIApp:
    """The application of one server process: settings from the environment (what granian calls)."""
    settings = settings_module.load()
    crash_points.arm(settings.mypay_env)
    logs.configure(settings.log_file)
    return create_app(settings)


def create_app(settings: Settings) -> ASGIApp:
    """The application with these settings. Nothing is opened before it starts."""
    process = Process(settings)
    people = People(process.read_token, process.find_session, process.has_merchant)
    authenticated = authentication(KeyCache(process.find_key), people, process.limits, process.used_keys.add)
    known = Router(path="", route_handlers=CONTROLLERS, middleware=[authenticated])
    strangers = Router(path="", route_handlers=OPEN_CONTROLLERS, middleware=[limited_by_address(process.limits)])
    documents = [page.route(settings.public_url, version("mypay")) for page in (openapi, docs_page)]
    former = former_paths.routes(settings.public_url)
    base = base_routes(process.checks(), metrics_token=settings.metrics_token, refresh=process.gauges.refresh)
    app = Litestar(
        route_handlers=[known, strangers, receive_callback, return_page, *former, *documents, *base],
        lifespan=[process.lifespan],
        openapi_config=None,
        **base_kwargs(settings.public_url),
    )
    return RequestContext(app, settings.proxies)


class Process:
    """What one API process holds while it runs."""

    services: Services
    publisher: Publisher

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = wakeups.client(settings)
        self._limiter = Limiter(settings)
        self.limits = SharedLimits(settings, self._limiter)
        self.used_keys: set[UUID] = set()
        self.gauges = DatabaseGauges(lambda: self.services.pool, self._overdue_days)

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncIterator[None]:
        """Open everything, serve, then finish what was begun. Raises `SchemaError` on a database of another schema."""
        die_with_parent()
        async with AsyncExitStack() as stack:
            tracing = telemetry.start(self._settings.otel_exporter_otlp_endpoint, self._settings.otel_service_name)
            if tracing is not None:
                stack.push_async_callback(asyncio.to_thread, tracing.stop)
            self.services = await self._open(stack)
            app.state.services = self.services
            settle_memory()
            log.info("api.ready", process=self.services.process)
            yield
            log.info("api.stops")

    async def _open(self, stack: AsyncExitStack) -> Services:
        settings, clock = self._settings, Clock()
        pool = await create_pool(settings, size=READ_CONNECTIONS)
        stack.push_async_callback(close_pool, pool)
        async with pool.acquire() as connection:
            await check_schema(connection)
        await read_clock(clock, pool)
        self.publisher = Publisher(settings)
        await self.publisher.start()
        stack.push_async_callback(self.publisher.stop)
        hints = RedisWakeups(settings)
        stack.push_async_callback(hints.close)
        announcements = Announcements(self.publisher)
        recorder = Recorder(settings, clock, announcements, hints, lanes=1)
        stack.push_async_callback(recorder.sources.flush, pool, clock)
        stack.push_async_callback(recorder.close)
        flusher = Batcher(
            accept,
            lambda: connect(settings),
            name="accept",
            queue_max=settings.accept_queue,
            patience_s=ACCEPT_PATIENCE_S,
        )
        stack.push_async_callback(flusher.close)
        waiters = Waiters(pool)
        stack.push_async_callback(waiters.close)
        tail = Tail(pool, before_end)
        process = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        sealer = Sealer(*settings.keys("seal"))
        stack.push_async_callback(self._limiter.close)
        background = (
            keep_clock(clock, pool),
            wakeups.listen(settings, process, waiters.hint),
            keep_last_used(pool, clock, self.used_keys),
            recorder.sources.keep(pool, clock),
            tail.run(),
        )
        for work in background:
            task = asyncio.create_task(work)
            stack.callback(task.cancel)
        return Services(
            settings=settings,
            clock=clock,
            process=process,
            pool=pool,
            sealer=sealer,
            vault=Vault(pool, sealer, settings),
            accounts=Accounts(pool),
            accept=flusher,
            recorder=recorder,
            commands=announcements,
            tokens=AccessTokens(settings.jwt_key, settings.public_url),
            card_testing=CardTesting(pool, clock, settings),
            announce_callback=announcements.callback,
            resend=partial(dead_letters.resend, self.publisher),
            waiters=waiters,
            tail=tail,
        )

    async def find_key(self, digest: bytes) -> directory.ApiKeyRow | None:
        """The API key with this digest, from the database."""
        async with self.services.reading() as connection:
            return await directory.find_key(connection, digest)

    def read_token(self, text: str) -> Claims:
        """What an access token says. Raises `TokenRefused`."""
        return self.services.tokens.read(text, self.services.clock.now())

    async def find_session(self, session_id: UUID, user_id: UUID) -> LiveSession | None:
        """The session, unless it has ended."""
        async with self.services.reading() as connection:
            return await sessions.live(connection, session_id, user_id)

    async def has_merchant(self, merchant_id: UUID) -> bool:
        """Whether there is such a merchant."""
        async with self.services.reading() as connection:
            return await merchants.get(connection, merchant_id) is not None

    async def _overdue_days(self, connection: Connection) -> float:
        return await retention.overdue_days(connection, self._settings, self.services.clock.now())

    def checks(self) -> dict[str, Check]:
        """The parts that readiness looks at."""
        return {
            "postgres": Check(probe=self._probe_postgres, required=True),
            "kafka": Check(probe=self._probe_kafka),
            "redis": Check(probe=self._probe_redis),
            "workers": Check(probe=self._probe_workers),
        }

    async def _probe_postgres(self) -> None:
        async with self.services.reading() as connection:
            await connection.execute("select 1")

    async def _probe_kafka(self) -> None:
        if not self.publisher.connected:
            raise ConnectionError("the producer has no connection")

    async def _probe_redis(self) -> None:
        if self._redis is None:
            raise ConnectionError("REDIS_HOST is not set")
        await self._redis.ping()
        if not self._limiter.is_shared:
            raise ConnectionError("this process keeps its limits alone")

    async def _probe_workers(self) -> None:
        async with self.services.reading() as connection:
            if not await relay_is_led(connection):
                raise ConnectionError("no worker leads the relay")
