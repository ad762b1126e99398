"""The executor: a command is claimed, its provider called, and what came of it recorded.

The offset of a command is committed once the command is queued here (or dropped), not after the provider's answer: a
slow provider blocks nobody. A command that is lost with this process is a row in Postgres that the sweeper publishes
again; a claim that dies with it is found by its lease.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from gateway import ids, telemetry
from gateway.crash_points import crash_point
from gateway.payments.facts import Answer, Claim
from gateway.payments.model import Operation, Root, State
from gateway.sealing import SealBroken, Sealer
from gateway.settings import Settings
from gateway.store.database import Pool
from gateway.store.directory import AccountRow
from gateway.store.vault import AccountUnknown, Vault, network_for
from gateway.telemetry import NOWHERE, Origin
from gateway.usecases.brief import brief
from gateway.usecases.record_outcome import Recorder
from providers import contract
from providers.contract import Card, ConfigurationMissing, Declined, MobileMoney, Outcome, ProviderSpec
from providers.declines import DeclineCode
from providers.redaction import presentable, secrets_of
from providers.registry import PROVIDERS
from providers.transport import Caller, Exchange, LeaseTooShort
from streams import observed, topics
from streams.broker import Poison, Record
from streams.codec import Command, Malformed, decode
from streams.exchanges import ExchangeLog, Private

LANE_QUEUE_MAX: Final = 2_000  # commands waiting for a slot of one account; what is over it waits in Postgres
LEASE_MARGIN_S: Final = 30.0
STARVED_EVERY_S: Final = 1.0
STARVED: Final = """
select id, payment_id, provider from operations
 where account_id = $1 and state = 'prepared' and next_publish_at is not null order by id limit $2
"""

log = structlog.get_logger(__name__)


class Job(Struct, frozen=True):
    """One command: which operation of which payment, which API process waits for it, and where it came from."""

    operation_id: UUID
    payment_id: UUID
    provider: str
    waiter: str | None = None
    origin: Origin = NOWHERE


class Lane:
    """One account: its queue, its slots and its HTTP client. A slow provider fills only its own lanes."""

    def __init__(self, spec: ProviderSpec, start: Callable[[Job], None]) -> None:
        self.free, self._start = spec.slots, start
        self.queue: deque[Job] = deque()
        self._queued: set[UUID] = set()
        self.overflowed = False

    def offer(self, job: Job) -> None:
        """Queue the job once; over the bound it is dropped here and fetched from Postgres later."""
        if job.operation_id in self._queued:
            return
        if len(self.queue) >= LANE_QUEUE_MAX:
            self.overflowed = True
            return
        self._queued.add(job.operation_id)
        self.queue.append(job)
        self.pump()

    def pump(self) -> None:
        """Start what has a free slot."""
        while self.free and self.queue:
            job = self.queue.popleft()
            self._queued.discard(job.operation_id)
            self.free -= 1
            self._start(job)

    def done(self) -> None:
        """A slot is free again."""
        self.free += 1
        self.pump()


class Executor:
    """Claims and performs operations. `handle` takes records of the command topics."""

    def __init__(
        self,
        *,
        settings: Settings,
        pool: Pool,
        vault: Vault,
        sealer: Sealer,
        recorder: Recorder,
        owner: str,
        exchanges: ExchangeLog | None = None,
    ) -> None:
        self._settings, self._pool, self._vault, self._sealer = settings, pool, vault, sealer
        self._recorder, self._owner, self._exchanges = recorder, owner, exchanges
        self._lanes: dict[UUID, Lane] = {}
        self._callers: dict[tuple[UUID, int], Caller] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._claims = itertools.count(1)
        self._stopping = False

    async def handle(self, records: list[Record]) -> None:
        """Queue the commands of a batch. Raises `Poison` for those that cannot be read."""
        unreadable = [(record, reason) for record in records if (reason := self._accept(record)) is not None]
        if unreadable:
            raise Poison(unreadable)

    def _accept(self, record: Record) -> str | None:
        """Queue one command; the reason why it cannot be read, if so."""
        command = decode(Command, record.value)
        provider = record.topic.removeprefix(topics.commands(""))
        if isinstance(command, Malformed):
            return command.reason
        operation_id = ids.read(ids.OPERATION, command.operation)
        payment_id = ids.read(ids.PAYMENT, command.payment)
        account_id = ids.read(ids.ACCOUNT, command.account)
        if operation_id is None or payment_id is None or account_id is None or provider not in PROVIDERS:
            return "a command whose ids are none of ours"
        if not self._stopping:
            came_from = telemetry.from_headers(record.headers)
            job = Job(operation_id, payment_id, provider, command.waiter, came_from)
            self._lane(account_id, provider).offer(job)
        return None

    def _lane(self, account_id: UUID, provider: str) -> Lane:
        lane = self._lanes.get(account_id)
        if lane is None:
            lane = self._lanes[account_id] = Lane(PROVIDERS[provider], lambda job: self._begin(account_id, job))
        return lane

    def _begin(self, account_id: UUID, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(account_id, job, done))

    def _ended(self, account_id: UUID, job: Job, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._lanes[account_id].done()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("executor.failed", operation=ids.show(ids.OPERATION, job.operation_id), exc_info=error)

    async def _run(self, job: Job) -> None:
        """Claim, call, record. Whoever does not get the claim does nothing."""
        telemetry.set_origin(job.origin)
        started = time.monotonic()
        deadline_s = PROVIDERS[job.provider].deadline_s * self._settings.pace
        lease_s = deadline_s + LEASE_MARGIN_S * self._settings.pace
        owner = f"{self._owner}/{next(self._claims)}"
        claim = Claim(payment_id=job.payment_id, operation_id=job.operation_id, owner=owner, lease_s=lease_s)
        root = await self._recorder.record(claim, waiter=job.waiter)
        operation = None if root is None else root.operations[job.operation_id]
        if root is None or operation is None or operation.owner != owner or operation.state is not State.SENT:
            return
        observed.bind(root, operation, job.origin)
        with observed.span(root, operation, job.origin, began=started) as span:
            outcome = await self._claimed(job, root, operation, started=started, lease_s=lease_s, deadline_s=deadline_s)
            span.set({"mypay.outcome": observed.word(outcome)})

    async def _claimed(
        self, job: Job, root: Root, operation: Operation, *, started: float, lease_s: float, deadline_s: float
    ) -> Outcome:
        """Call the provider about a claimed operation, and record what came of it."""
        claimed = time.monotonic()
        outcome = await self._perform(root, operation, deadline_s, before=started + lease_s)
        answered = time.monotonic()
        crash_point("http_after_response")
        answer = Answer(
            payment_id=job.payment_id, operation_id=job.operation_id, fence=operation.fence, outcome=outcome
        )
        await self._recorder.record(answer, waiter=job.waiter)
        observed.count(operation, outcome, answered - claimed)
        log.info(
            "operation.performed",
            provider=job.provider,
            verb=operation.verb,
            outcome=observed.word(outcome),
            claim_ms=round((claimed - started) * 1e3, 1),
            provider_ms=round((answered - claimed) * 1e3, 1),
            record_ms=round((time.monotonic() - answered) * 1e3, 1),
        )
        return outcome

    async def _perform(self, root: Root, operation: Operation, deadline_s: float, *, before: float) -> Outcome:
        """Call the provider; `before` (monotonic) is the end of our lease, which must leave room for the whole call."""

        def check_lease() -> None:
            if time.monotonic() + deadline_s > before:
                raise LeaseTooShort
            crash_point("http_before_send")

        try:
            caller = await self._caller(operation)
            account = await self._vault.account(operation.account_id)
            settings = await self._vault.settings(operation.account_id, operation.settings_version)
            order = brief(root, operation, account, self._settings, self._sealer)
        except (SealBroken, AccountUnknown, ConfigurationMissing):
            log.exception("executor.no_credentials", operation=ids.show(ids.OPERATION, operation.id))
            return Declined(
                code=DeclineCode.CONFIGURATION, provider_message="The account's credentials cannot be used."
            )
        flow = root.spec.verbs[operation.verb].flow(order, settings)
        outcome = await caller.call(
            flow,
            deadline_s=deadline_s,
            before_send=check_lease,
            after_send=lambda: crash_point("http_after_send"),
            exchanged=self._noting(operation, _private(order, account, settings)),
        )
        return presentable(outcome, secrets_of(settings))

    def _noting(self, operation: Operation, private: Private) -> Callable[[Exchange], None]:
        log_of_exchanges = self._exchanges

        def note(exchange: Exchange) -> None:
            if log_of_exchanges is not None:
                log_of_exchanges.note(operation, exchange, private)
            if telemetry.is_on():
                observed.trace(operation, exchange)

        return note

    async def _caller(self, operation: Operation) -> Caller:
        """The HTTP client of this version of the account's settings."""
        key = (operation.account_id, operation.settings_version)
        settings = await self._vault.settings(*key)
        if key not in self._callers:
            spec = PROVIDERS[operation.provider]
            account = await self._vault.account(operation.account_id)
            base_url = spec.base_url(settings, account.livemode)
            self._callers[key] = Caller(
                spec, settings, base_url, network=network_for(self._settings, account, base_url)
            )
        return self._callers[key]

    async def feed_starved(self) -> None:
        """For ever: lanes that overflowed and are empty again take their oldest prepared rows from Postgres."""
        while True:
            await asyncio.sleep(STARVED_EVERY_S)
            for account_id, lane in list(self._lanes.items()):
                if lane.overflowed and not lane.queue:
                    lane.overflowed = False
                    await self._feed(account_id, lane)

    async def _feed(self, account_id: UUID, lane: Lane) -> None:
        async with self._pool.acquire() as connection:
            records = await connection.fetch(STARVED, account_id, LANE_QUEUE_MAX)
        for record in records:
            lane.offer(Job(record["id"], record["payment_id"], record["provider"]))
        lane.overflowed = len(records) == LANE_QUEUE_MAX

    async def stop(self, limit_s: float) -> None:
        """Take nothing new, let what is under way end within `limit_s`; the leases of the rest run out."""
        self._stopping = True
        for lane in self._lanes.values():
            lane.queue.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
        for caller in self._callers.values():
            await caller.aclose()


def _private(order: contract.Operation, account: AccountRow, settings: Struct) -> Private:
    """What must not be kept of what is said about this operation."""
    method = order.method
    secrets = [*secrets_of(settings), account.callback_token, order.return_url.rpartition("/")[2], order.otp or ""]
    secrets += [method.token] if isinstance(method, Card) else []
    return Private(tuple(secrets), method.phone if isinstance(method, MobileMoney) else None)
