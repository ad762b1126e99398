"""The one door: every fact that changes a payment after its creation is recorded here.

Lock payments, lock operations, fold the facts (pure), write once, commit; batched like accepting. Only after the
commit are the new operations published and those who wait woken. Recording the same fact twice changes nothing, so a
batch whose commit was not confirmed is simply run again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

import structlog
from msgspec import Struct

from gateway import telemetry
from gateway.clock import Clock
from gateway.crash_points import crash_point
from gateway.metrics import METRICS
from gateway.payments import outcome_sources
from gateway.payments.facts import Claim, Fact
from gateway.payments.model import Operation, Root, Status
from gateway.payments.outcome_sources import Before
from gateway.payments.transitions import fold
from gateway.payments.views import public_id
from gateway.settings import Settings
from gateway.store import roots as store
from gateway.store.batcher import Batcher, RawConnection
from gateway.store.database import connect
from gateway.store.outcome_sources import Tally
from gateway.telemetry import NOWHERE, Origin

UNDER_WAY: Final = frozenset({Status.PENDING, Status.PROCESSING})  # nobody waits for these

log = structlog.get_logger(__name__)


class Commands(Protocol):
    """Where prepared operations are announced. Never blocks, never fails: what is lost here, the sweeper repeats."""

    def send(self, operation: Operation, waiter: str | None) -> object:
        """Publish the command of a committed, prepared operation."""


class Wakeups(Protocol):
    """How those who wait for a payment learn that it changed. A hint, never a proof."""

    def wake(self, payment_id: UUID, waiter: str) -> None:
        """Tell the API process `waiter` to look at the payment."""


class Submission(Struct, frozen=True):
    """One fact, where it came from, and the API process that waits for the payment, if one is known."""

    fact: Fact
    waiter: str | None
    origin: Origin = NOWHERE


class Recorder:
    """Records facts. One per process; `close()` finishes what was submitted.

    `sources` counts by what it learned outcomes.
    """

    def __init__(self, settings: Settings, clock: Clock, commands: Commands, wakeups: Wakeups, *, lanes: int = 2):
        self._clock, self._commands, self._wakeups, self._pace = clock, commands, wakeups, settings.pace
        self.sources = Tally()
        self._batcher: Batcher[Submission, Root | None] = Batcher(
            self._write, lambda: connect(settings), name="record", lanes=lanes, queue_max=50_000
        )

    async def record(self, fact: Fact, *, waiter: str | None = None) -> Root | None:
        """Record the fact; returns the root as it now is, or None where there is no such payment or operation."""
        return await self._batcher.submit(Submission(fact, waiter, telemetry.origin()))

    async def close(self) -> None:
        """Finish what is queued."""
        await self._batcher.close()

    async def _write(self, connection: RawConnection, batch: Sequence[Submission]) -> list[Root | Exception | None]:
        facts: dict[UUID, list[Fact]] = {}
        for submission in batch:
            facts.setdefault(submission.fact.payment_id, []).append(submission.fact)
        origins = {s.fact.payment_id: s.origin for s in batch if s.origin is not NOWHERE}
        claims = isinstance(batch[0].fact, Claim)
        async with connection.transaction():
            roots = await store.lock(connection, facts, pace=self._pace)
            was = {key: outcome_sources.before(root) for key, root in roots.items()}
            for key, found in origins.items():
                if key in roots:
                    roots[key].traceparent = found.traceparent
            failed = {key: error for key, root in roots.items() if (error := self._fold(root, facts[key]))}
            done = {key: root for key, root in roots.items() if key not in failed}
            await store.write(connection, done.values())
            crash_point("claim_before_commit" if claims else "record_before_commit")
        crash_point("claim_after_commit" if claims else "record_after_commit")
        self._announce(done, {s.fact.payment_id: s.waiter for s in batch if s.waiter}, origins)
        self._learn(was, done)
        return [failed.get(s.fact.payment_id) or _known(done, s.fact) for s in batch]

    def _fold(self, root: Root, facts: list[Fact]) -> Exception | None:
        """Fold; a defect in one payment's facts must not undo its neighbours'."""
        try:
            fold(root, [fact for fact in facts if _is_about(root, fact)], self._clock.now())
        except Exception as error:
            log.exception("record.defect", payment=public_id(root.payment), facts=[type(f).__name__ for f in facts])
            return error
        return None

    def _learn(self, was: dict[UUID, Before], roots: dict[UUID, Root]) -> None:
        now = self._clock.now()
        found = [one for key, root in roots.items() for one in outcome_sources.learned(was[key], root, now)]
        self.sources.add(found)
        for one in found:
            METRICS.outcomes.labels(provider=one.provider, source=one.source).inc()
            if one.lag_s is not None:
                METRICS.callback_lag_seconds.labels(provider=one.provider).observe(one.lag_s)

    def _announce(self, roots: dict[UUID, Root], waiters: dict[UUID, str], origins: dict[UUID, Origin]) -> None:
        for key, root in roots.items():
            waiter = waiters.get(key)
            with telemetry.carrying(origins.get(key) or Origin(root.payment.traceparent)):
                for operation in root.created:
                    self._commands.send(operation, waiter)
            if waiter is not None and root.payment.status not in UNDER_WAY:
                self._wakeups.wake(key, waiter)
            _count(root)


def _is_about(root: Root, fact: Fact) -> bool:
    operation_id = getattr(fact, "operation_id", None)
    return operation_id is None or operation_id in root.operations


def _known(roots: dict[UUID, Root], fact: Fact) -> Root | None:
    root = roots.get(fact.payment_id)
    return root if root is not None and _is_about(root, fact) else None


def _count(root: Root) -> None:
    for kind, times in Counter(event.type for event in root.events).items():
        if kind.startswith("payment."):
            METRICS.payments.labels(provider=root.payment.provider, status=kind.removeprefix("payment.")).inc(times)
    for reason in root.stale:
        log.info("record.stale", payment=public_id(root.payment), reason=reason)
