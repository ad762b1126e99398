"""Telling the recorder facts about one payment, as workers, callbacks and the sweeper would."""

from uuid import UUID

from gateway.payments.facts import Answer, Ask, Cancel, Claim, Expire, LeaseEnded, Proof
from gateway.payments.model import Root, State
from gateway.usecases.record_outcome import Recorder
from providers.contract import Outcome
from tests.support.payments import Story


class Teller:
    """One story, its recorder, and a word for each fact. The charge is meant unless an operation is named."""

    def __init__(self, recorder: Recorder, story: Story) -> None:
        self.recorder, self.story = recorder, story
        self.payment_id, self.operation_id = story.payment_id, story.operation_id

    async def claim(
        self, owner: str = "worker/1", *, lease_s: float = 60.0, operation_id: UUID | None = None
    ) -> Root | None:
        return await self.recorder.record(
            Claim(
                payment_id=self.payment_id,
                operation_id=operation_id or self.operation_id,
                owner=owner,
                lease_s=lease_s,
            )
        )

    def answered(self, outcome: Outcome, *, fence: int = 1, operation_id: UUID | None = None) -> Answer:
        """The fact that a worker's call had this outcome, not told yet."""
        return Answer(
            payment_id=self.payment_id, operation_id=operation_id or self.operation_id, fence=fence, outcome=outcome
        )

    async def answer(self, outcome: Outcome, *, fence: int = 1, operation_id: UUID | None = None) -> Root | None:
        return await self.recorder.record(self.answered(outcome, fence=fence, operation_id=operation_id))

    async def performed(self, outcome: Outcome, *, fence: int = 1) -> None:
        """A worker claims the charge and answers."""
        await self.claim(f"worker/{fence}")
        await self.answer(outcome, fence=fence)

    async def proof(self, outcome: Outcome) -> Root | None:
        return await self.recorder.record(
            Proof(payment_id=self.payment_id, operation_id=self.operation_id, outcome=outcome)
        )

    async def ask(self, provider_reference: str | None = None) -> Root | None:
        return await self.recorder.record(
            Ask(payment_id=self.payment_id, operation_id=self.operation_id, provider_reference=provider_reference)
        )

    def asked(self, operation_id: UUID) -> Ask:
        """The fact that somebody wants to know about this operation, not told yet."""
        return Ask(payment_id=self.payment_id, operation_id=operation_id)

    async def lease_ended(self) -> Root | None:
        return await self.recorder.record(LeaseEnded(**self.story.ids))

    async def expire(self) -> Root | None:
        return await self.recorder.record(Expire(payment_id=self.payment_id))

    async def cancel(self) -> Root | None:
        return await self.recorder.record(Cancel(payment_id=self.payment_id))

    async def queried(self, outcome: Outcome) -> UUID:
        """The provider is asked (now, unless a query is live) and answers; returns the query's id."""
        query_id = await self.live_query() or await self._asked()
        await self.claim("worker/query", operation_id=query_id)
        await self.answer(outcome, operation_id=query_id)
        return query_id

    async def end_its_time(self) -> None:
        """The payment's `expires_at` is over."""
        await self.story.pool.execute(
            "update payments set expires_at = now() - interval '20 milliseconds' where id = $1", self.payment_id
        )

    async def live_query(self) -> UUID | None:
        query_id: UUID | None = await self.story.pool.fetchval(
            "select id from operations where target_id = $1 and verb = 'query' and state in ('prepared', 'sent')",
            self.operation_id,
        )
        return query_id

    async def queries(self) -> int:
        """How many queries there are, over or not."""
        count: int = await self.story.pool.fetchval(
            "select count(*) from operations where target_id = $1 and verb = 'query'", self.operation_id
        )
        return count

    async def status(self) -> str:
        return str((await self.story.payment())["status"])

    async def state(self) -> State:
        return State((await self.story.operation())["state"])

    async def _asked(self) -> UUID:
        await self.ask()
        query_id = await self.live_query()
        assert query_id is not None, "nothing was asked"
        return query_id
