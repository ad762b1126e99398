"""A worker process, put together: the roles it plays, and its orderly end."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import structlog
import uvloop

from gateway import logs, telemetry
from gateway.clock import Clock
from gateway.health import Check
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import retention
from gateway.store.database import Connection, Pool, close_pool, create_pool, keep_clock, read_clock
from gateway.store.gauges import DatabaseGauges
from gateway.store.migrate import check_schema
from gateway.store.vault import Vault
from gateway.store.wakeups import RedisWakeups
from gateway.usecases.handle_callback import CallbackHandler
from gateway.usecases.record_outcome import Recorder
from providers.registry import PROVIDERS
from streams import broker as consumers
from streams import dead_letters, topics
from streams.announcements import Announcements
from streams.broker import Record, create_broker, subscribe
from streams.callbacks import CallbackConsumer
from streams.exchanges import ExchangeLog
from streams.executor import Executor
from streams.lag import Lag
from streams.monitor import Monitor
from streams.notifier import Notifier
from streams.publisher import Publisher
from streams.pulse import Moving, Pulse, beat_of_loop
from streams.relay import Relay
from streams.retention import Retention
from streams.sweeper import Sweeper
from streams.watchdog import Watchdog

ROLES: Final = ("executor", "callbacks", "relay", "notifier", "sweeper")
CONNECTIONS: Final = 8
DRAIN_S: Final = 20.0  # what is under way may end within so long after SIGTERM; leases take care of the rest

log = structlog.get_logger(__name__)


def run(settings: Settings, roles: Sequence[str], providers: Sequence[str], paused: bool) -> None:
    """Play the roles until SIGTERM or SIGINT. `paused`: start everything but the executor."""
    logs.configure(settings.log_file)
    wanted = [role for role in roles if not (paused and role == "executor")]
    uvloop.run(Worker(settings, wanted, providers or sorted(PROVIDERS)).run())


class Worker:
    """One worker process."""

    def __init__(self, settings: Settings, roles: Sequence[str], providers: Sequence[str]) -> None:
        self._settings, self._roles, self._providers = settings, roles, providers
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._stop = asyncio.Event()
        self._parts: list[Moving] = []

    async def run(self) -> None:
        """Open, play the roles, and end in order: consumers first, then what is under way, then the connections."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            tracing = telemetry.start(self._settings.otel_exporter_otlp_endpoint, self._settings.otel_service_name)
            if tracing is not None:
                stack.push_async_callback(asyncio.to_thread, tracing.stop)
            await self._open(stack)
            log.info("worker.ready", roles=self._roles, providers=self._providers)
            await self._stop.wait()
            log.info("worker.stops")

    async def _open(self, stack: AsyncExitStack) -> None:
        settings, clock = self._settings, Clock()
        pool = await create_pool(settings, size=CONNECTIONS)
        stack.push_async_callback(close_pool, pool)
        async with pool.acquire() as connection:
            await check_schema(connection)
        await read_clock(clock, pool)
        self._work(stack, "clock", keep_clock(clock, pool))
        publisher = Publisher(settings)
        await publisher.start()
        stack.push_async_callback(publisher.stop)
        hints = RedisWakeups(settings)
        stack.push_async_callback(hints.close)
        announcements = Announcements(publisher)
        recorder = Recorder(settings, clock, announcements, hints)
        stack.push_async_callback(recorder.sources.flush, pool, clock)
        stack.push_async_callback(recorder.close)
        self._work(stack, "sources", recorder.sources.keep(pool, clock))
        notifier = None
        if "notifier" in self._roles:
            notifier = Notifier(settings=settings, pool=pool, clock=clock, sealer=Sealer(*settings.keys("seal")))
            stack.push_async_callback(notifier.stop, DRAIN_S)
            self._parts.append(notifier.pulse)
            self._work(stack, "notifier", notifier.run())
        if "relay" in self._roles:
            notify = None if notifier is None else notifier.wake
            relay = Relay(pool, publisher, owner=self._name, notify=notify)
            self._parts.append(relay.pulse)
            self._work(stack, "relay", relay.run())
        if "sweeper" in self._roles:
            lag = Lag(settings)
            self._work(stack, "lag", lag.run())
            sweeper = Sweeper(
                settings=settings,
                pool=pool,
                clock=clock,
                recorder=recorder,
                announcements=announcements,
                behind=lambda: lag.behind,
                reachable=lambda: publisher.connected,
            )
            self._parts.append(sweeper.pulse)
            self._work(stack, "sweeper", sweeper.run())
            self._work(stack, "retention", Retention(settings, pool, clock).run())
        await self._consume(stack, pool, clock, recorder, publisher)
        if settings.worker_port:
            self._monitor(stack, pool, publisher, clock)

    def _monitor(self, stack: AsyncExitStack, pool: Pool, publisher: Publisher, clock: Clock) -> None:
        """Tell how this worker is. The database's numbers are told by those that sweep."""

        async def postgres() -> None:
            async with pool.acquire() as connection:
                await connection.execute("select 1")

        checks = {
            "postgres": Check(probe=postgres, required=True),
            "kafka": Check(probe=publisher.probe, required=True),
        }

        async def overdue(connection: Connection) -> float:
            return await retention.overdue_days(connection, self._settings, clock.now())

        refresh = DatabaseGauges(lambda: pool, overdue).refresh if "sweeper" in self._roles else None
        loop = Pulse("loop")
        self._work(stack, "loop", beat_of_loop(loop))
        monitor = Monitor(self._settings, loop=loop, parts=self._parts, checks=checks, refresh=refresh)
        monitor.start()
        stack.push_async_callback(asyncio.to_thread, monitor.stop)

    async def _consume(
        self, stack: AsyncExitStack, pool: Pool, clock: Clock, recorder: Recorder, publisher: Publisher
    ) -> None:
        settings, sealer = self._settings, Sealer(*self._settings.keys("seal"))
        vault = Vault(pool, sealer, settings)
        bury = partial(dead_letters.bury, pool, publisher)
        handlers: dict[str, tuple[Callable[[str], str], Callable[[list[Record]], Awaitable[None]]]] = {}
        if "executor" in self._roles:
            exchanges = ExchangeLog(pool, clock)
            stack.push_async_callback(exchanges.flush)
            self._work(stack, "exchanges", exchanges.run())
            executor = Executor(
                settings=settings,
                pool=pool,
                vault=vault,
                sealer=sealer,
                recorder=recorder,
                owner=self._name,
                exchanges=exchanges,
            )
            stack.push_async_callback(executor.stop, DRAIN_S)
            self._work(stack, "starved", executor.feed_starved())
            handlers["executor"] = (topics.commands, executor.handle)
        if "callbacks" in self._roles:
            handler = CallbackHandler(
                pool=pool, vault=vault, recorder=recorder, clock=clock, public_url=settings.public_url
            )
            consumer = CallbackConsumer(handler)
            handlers["callbacks"] = (topics.callbacks, consumer.handle)
        if not handlers:
            return
        broker = create_broker(settings)
        subscriptions = [
            subscribe(broker, settings, [topic(name) for name in self._providers], group, handle, bury=bury)
            for group, (topic, handle) in handlers.items()
        ]
        self._parts += subscriptions
        watchdog = Watchdog(subscriptions)
        stack.push_async_callback(broker.stop)
        self._work(stack, "consumers", consumers.start(broker, settings))
        watchdog.start()
        stack.callback(watchdog.stop)

    def _work(self, stack: AsyncExitStack, name: str, work: Awaitable[None]) -> None:
        """Run in the background; a role that fails ends the process, so that its supervisor starts a sound one."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(partial(self._ended, name))
        stack.callback(task.cancel)

    def _ended(self, name: str, task: "asyncio.Future[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or (task.cancelled() and not self._stop.is_set()):
            log.critical("worker.role_failed", role=name, exc_info=error)
            self._stop.set()
