"""The notifier: due deliveries become signed requests.

It claims what is due with SKIP LOCKED, and in the same statement moves each row's appointment to the end of a lease: a
notifier that dies costs one more attempt after it, with the same id and the same bytes. Every endpoint has a `Lane` of
its own, and rows are claimed by lane, only as many as it has room for: an endpoint that hangs keeps its rows in
Postgres, and nobody waits behind it.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from gateway import ids, telemetry
from gateway.clock import Clock
from gateway.crash_points import crash_point
from gateway.metrics import METRICS
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import webhook_endpoints
from gateway.store.batcher import Batcher, RawConnection
from gateway.store.database import DATABASE_FAILED, Connection, Pool, connect
from gateway.telemetry import NOWHERE, Origin
from gateway.usecases.disable_webhook_endpoint import disable_by_answer
from streams.delivery_rules import Lane, Reply, judge
from streams.due import CLAIM, LOOK, Claimed, Ended, record
from streams.pulse import Pulse
from streams.relay import PLAN
from streams.webhook_sender import TIMEOUT_S, Senders

UNDER_WAY_MAX: Final = 256  # requests of this process
LEASE_MARGIN_S: Final = 15.0  # beyond the time-out of a request: for writing down what came of it
LOOK_S: Final = 0.1  # how often it looks for lanes with something due, unless it is woken
IDLE_LANE_S: Final = 60.0  # a lane that was not used for so long is forgotten, with its connections

log = structlog.get_logger(__name__)


class Notifier:
    """Sends what is due until cancelled."""

    def __init__(
        self, *, settings: Settings, pool: Pool, clock: Clock, sealer: Sealer, senders: Senders | None = None
    ) -> None:
        self._settings, self._pool, self._clock, self._sealer = settings, pool, clock, sealer
        self._senders = senders or Senders(settings, clock, sealer)
        self._lease = timedelta(seconds=(TIMEOUT_S + LEASE_MARGIN_S) * settings.pace)
        self._lanes: dict[UUID, Lane] = {}
        self._used: dict[UUID, float] = {}
        self._ready: set[UUID] = set()  # endpoints that may have something due
        self._hinted: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self.pulse = Pulse("notifier")
        self._records: Batcher[Ended, None] = Batcher(record, self._connect, name="deliveries", lanes=1)

    def wake(self, endpoint_ids: Collection[UUID]) -> None:
        """Deliveries to these endpoints were committed: do not wait for the next look."""
        self._hinted.update(endpoint_ids)
        self._wake.set()

    async def run(self) -> None:
        """For ever; a database that is away is waited for."""
        while True:
            self.pulse.beat()
            try:
                async with self._pool.acquire() as connection:
                    await connection.execute(PLAN)
                    await self._work(connection)
            except DATABASE_FAILED as error:
                log.warning("notifier.database_away", error=type(error).__name__)
            await asyncio.sleep(1)

    async def stop(self, limit_s: float) -> None:
        """Let what is under way end within `limit_s`; the leases of the rest run out."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
        for task in self._tasks:
            task.cancel()
        await self._records.close()
        await self._senders.aclose()

    async def _connect(self) -> RawConnection:
        connection = await connect(self._settings)
        await connection.execute(PLAN)
        return connection

    # --- Taking -------------------------------------------------------------------------------------------------------

    async def _work(self, connection: Connection) -> None:
        next_look = 0.0
        while True:
            self._wake.clear()
            self.pulse.beat()
            if (now := time.monotonic()) >= next_look:
                await self._look(connection)
                await self._forget_idle(now)
                next_look = now + LOOK_S
            if not await self._take(connection):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(next_look - time.monotonic(), 0.001)):
                        await self._wake.wait()

    async def _look(self, connection: Connection) -> None:
        """Find the lanes with something due, and cancel what waits for endpoints that take nothing any more."""
        rows = await connection.fetch(LOOK)
        stopped = [row["endpoint_id"] for row in rows if not row["enabled"]]
        if stopped:
            await webhook_endpoints.cancel_waiting(connection, stopped)
        self._ready.update(row["endpoint_id"] for row in rows if row["enabled"])

    async def _take(self, connection: Connection) -> bool:
        """Claim and begin what there is room for; whether that was anything."""
        self._ready |= self._hinted
        self._hinted.clear()
        room = UNDER_WAY_MAX - len(self._tasks)
        asked: dict[UUID, int] = {}
        for endpoint_id in self._shuffled():
            free = min(self._lane(endpoint_id).free(time.monotonic()), room)
            if free > 0:
                asked[endpoint_id], room = free, room - free
        if not asked:
            return False
        rows = await connection.fetch(CLAIM, list(asked), list(asked.values()), self._lease)
        for row in rows:
            self._begin(Claimed(**row))
            asked[row["endpoint_id"]] -= 1
        self._ready.difference_update(endpoint_id for endpoint_id, left in asked.items() if left)
        return bool(rows)

    def _shuffled(self) -> list[UUID]:
        """The lanes in another order each time: where room is short, it is not always the same that get it."""
        return random.sample(list(self._ready), len(self._ready))

    def _lane(self, endpoint_id: UUID) -> Lane:
        if endpoint_id not in self._lanes:
            self._lanes[endpoint_id] = Lane(pace=self._settings.pace)
            self._used[endpoint_id] = time.monotonic()
        return self._lanes[endpoint_id]

    def _begin(self, claimed: Claimed) -> None:
        lane = self._lane(claimed.endpoint_id)
        lane.begun()
        self._used[claimed.endpoint_id] = time.monotonic()
        task = asyncio.create_task(self._deliver(claimed, lane))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("notifier.defect", exc_info=error)

    # --- Sending ------------------------------------------------------------------------------------------------------

    async def _deliver(self, claimed: Claimed, lane: Lane) -> None:
        """One attempt, from its signature to its record."""
        _say_for_what(claimed)
        started_at, started = self._clock.now(), time.monotonic()
        reply = Reply(status=None, error="It was not sent.")
        try:
            reply = await self._send(claimed, started_at)
            crash_point("webhook_after_answer")
            verdict = judge(reply, claimed.tries, pace=self._settings.pace, chance=random.random())  # noqa: S311
            next_attempt_at = None
            if verdict.delay_s is not None:
                next_attempt_at = self._clock.now() + timedelta(seconds=verdict.delay_s)
            ended = Ended(
                claimed=claimed,
                reply=reply,
                verdict=verdict,
                started_at=started_at,
                duration_ms=round((time.monotonic() - started) * 1e3),
                next_attempt_at=next_attempt_at,
            )
            await self._records.submit(ended)
        finally:
            lane.ended(reply, time.monotonic())
        METRICS.deliveries.labels(result=verdict.result).inc()
        METRICS.delivery_seconds.observe(ended.duration_ms / 1e3)
        if verdict.result in ("gone", "exhausted"):
            await self._stop_endpoint(claimed, exhausted=verdict.result == "exhausted")

    async def _send(self, claimed: Claimed, at: datetime) -> Reply:
        """One attempt, within the trace of its event."""
        attributes: telemetry.Attributes = {
            "mypay.attempt": claimed.attempt,
            "mypay.event": ids.show(ids.EVENT, claimed.event_id),
        }
        with telemetry.span(f"webhook {claimed.type}", "client", attributes=attributes) as span:
            reply = await self._senders.send(claimed, at)
            span.set({"http.response.status_code": reply.status})
            if not reply.is_success:
                span.fail("no answer" if reply.status is None else "not 2xx")
        return reply

    async def _stop_endpoint(self, claimed: Claimed, *, exhausted: bool) -> None:
        """Disable the endpoint where the rule says so; it is told by an event."""
        async with self._pool.acquire() as connection:
            reason = await disable_by_answer(
                connection,
                self._settings,
                self._sealer,
                merchant_id=claimed.merchant_id,
                livemode=claimed.livemode,
                endpoint_id=claimed.endpoint_id,
                exhausted=claimed.event_id if exhausted else None,
                now=self._clock.now(),
            )
        if reason is not None:
            log.warning(
                "webhook_endpoint.disabled",
                endpoint=ids.show(ids.WEBHOOK_ENDPOINT, claimed.endpoint_id),
                reason=reason,
            )

    async def _forget_idle(self, now: float) -> None:
        """Forget lanes that nothing was sent to for a while, and close their connections."""
        idle = [each for each, used in self._used.items() if used < now - IDLE_LANE_S and each not in self._ready]
        for endpoint_id in idle:
            if self._lanes[endpoint_id].under_way == 0:
                del self._lanes[endpoint_id], self._used[endpoint_id]
                await self._senders.forget(endpoint_id)


def _say_for_what(claimed: Claimed) -> None:
    """What this task does is about that event: in its log lines and its trace."""
    telemetry.set_origin(NOWHERE if claimed.traceparent is None else Origin(claimed.traceparent))
    structlog.contextvars.bind_contextvars(
        merchant=ids.show(ids.MERCHANT, claimed.merchant_id),
        event_id=ids.show(ids.EVENT, claimed.event_id),
        endpoint=ids.show(ids.WEBHOOK_ENDPOINT, claimed.endpoint_id),
        **_payment(claimed),
    )


def _payment(claimed: Claimed) -> dict[str, str]:
    """The payment or payout that the event is about, if it is about one."""
    family = claimed.type.partition(".")[0]
    prefix = {"payment": ids.PAYMENT, "refund": ids.PAYMENT, "payout": ids.PAYOUT}.get(family)
    return {} if prefix is None else {"payment": ids.show(prefix, claimed.root_id)}
