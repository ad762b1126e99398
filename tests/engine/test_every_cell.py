"""Each cell of the two state tables, reached through the recorder on a real database."""

from datetime import timedelta
from typing import Any

import pytest

from gateway import ids
from gateway.clock import Clock
from gateway.payments.facts import Answer, Ask, Cancel, Claim, Expire, Fact, Proof
from gateway.payments.model import State, Status
from gateway.payments.states import OPERATION_TABLE, PAYMENT_TABLE, REFUSE, STALE, OperationFact, PaymentFact
from gateway.store.database import Pool
from gateway.usecases.record_outcome import Recorder
from providers.contract import (
    ActionRequired,
    Authorized,
    Declined,
    NotSent,
    Outcome,
    Pending,
    Redirected,
    Succeeded,
    Unknown,
    Verb,
)
from providers.declines import DeclineCode
from tests.support.payments import Story

REDIRECT = ActionRequired(action=Redirected("https://provider.example/pay"))
DECLINED = Declined(code=DeclineCode.DECLINED)

SAYS: dict[OperationFact, Outcome] = {
    OperationFact.SUCCEEDED: Succeeded(),
    OperationFact.AUTHORIZED: Authorized(),
    OperationFact.ACTION: REDIRECT,
    OperationFact.PENDING: Pending(),
    OperationFact.DECLINED: DECLINED,
    OperationFact.RETRYABLE: NotSent(detail="refused"),
    OperationFact.NOT_SENT: NotSent(detail="refused"),
    OperationFact.UNKNOWN: Unknown(detail="timeout"),
}


async def tell(recorder: Recorder, story: Story, fact: OperationFact) -> None:
    """Make the recorder learn this fact about the story's charge."""
    names: dict[str, Any] = dict(story.ids)
    if fact is OperationFact.CLAIMED:
        await recorder.record(Claim(owner="test/1", lease_s=60, **names))
    elif fact is OperationFact.LAPSED:
        await _answer_query_after_expiry(recorder, story)
    else:
        await story.force(sends=3 if fact is OperationFact.NOT_SENT else 1)
        await recorder.record(Answer(fence=0, outcome=SAYS[fact], **names))


async def _answer_query_after_expiry(recorder: Recorder, story: Story) -> None:
    """A query that was sent after the payment's end says that nothing changed: the state's own word."""
    query_id = ids.new(ids.lp_of(story.payment_id))
    await story.pool.execute(
        """
        insert into operations (lp, id, payment_id, merchant_id, account_id, provider, settings_version, verb, state,
                                amount, currency, reference, target_id, fence, sends, sent_at, created_at, updated_at)
        select lp, $2, payment_id, merchant_id, account_id, provider, 1, 'query', 'sent', amount, currency, reference,
               id, 1, 1, now(), now(), now() from operations where id = $1
        """,
        story.operation_id,
        query_id,
    )
    await story.pool.execute(
        "update payments set expires_at = now() - interval '1 second' where id = $1", story.payment_id
    )
    waiting = (await story.operation())["state"] == State.ACTION_REQUIRED
    await recorder.record(
        Answer(payment_id=story.payment_id, operation_id=query_id, fence=1, outcome=REDIRECT if waiting else Pending())
    )


def able(cell: str) -> str:
    """The provider of the story: what is refused goes to review where the provider neither voids nor refunds."""
    return "cpay" if cell == REFUSE else "sandbox"


@pytest.mark.parametrize(("state", "fact"), OPERATION_TABLE)
async def test_operation_cell(pool: Pool, recorder: Recorder, state: State, fact: OperationFact) -> None:
    cell = OPERATION_TABLE[state, fact]
    story = await Story.begin(pool, f"operation-{state}-{fact}", provider=able(cell))
    await story.force(Status.PROCESSING, state, sent_at=Clock().now())
    await tell(recorder, story, fact)
    after = (await story.operation())["state"]
    if (state, fact) == (State.UNKNOWN, OperationFact.CLAIMED):
        # The table permits a second send; the sandbox's declaration (it can be asked) does not: nothing is sent.
        assert (cell, after) == (State.SENT, State.UNKNOWN)
    elif cell == REFUSE:
        assert after == state
        assert await story.review() is not None
    elif cell == STALE and fact is OperationFact.LAPSED and state in (State.PREPARED, State.SENT, State.UNKNOWN):
        assert after == State.LAPSED  # by way of pending: the query's own word moved it first
    else:
        assert after == (state if cell == STALE else cell)


def _redirected(story: Story) -> list[Fact]:
    return [Proof(outcome=REDIRECT, **story.ids)]


# payment fact → (state of the charge beforehand, what is recorded)
BRINGS: dict[PaymentFact, tuple[State, Any]] = {
    PaymentFact.SENT: (State.PREPARED, lambda s: Claim(owner="test/1", lease_s=60, **s.ids)),
    PaymentFact.ACTION: (State.SENT, lambda s: Proof(outcome=REDIRECT, **s.ids)),
    PaymentFact.CONFIRMED: (State.ACTION_REQUIRED, lambda s: Proof(outcome=Pending(), **s.ids)),
    PaymentFact.AUTHORIZED: (State.SENT, lambda s: Proof(outcome=Authorized(), **s.ids)),
    PaymentFact.SUCCEEDED: (State.SENT, lambda s: Proof(outcome=Succeeded(), **s.ids)),
    PaymentFact.LATE_SUCCEEDED: (State.DECLINED, lambda s: Proof(outcome=Succeeded(), **s.ids)),
    PaymentFact.LATE_AUTHORIZED: (State.DECLINED, lambda s: Proof(outcome=Authorized(), **s.ids)),
    PaymentFact.DECLINED: (State.SENT, lambda s: Proof(outcome=DECLINED, **s.ids)),
    PaymentFact.CANCELED: (State.PREPARED, lambda s: Cancel(payment_id=s.payment_id)),
    PaymentFact.EXPIRED: (State.PREPARED, lambda s: Expire(payment_id=s.payment_id)),
    PaymentFact.CONTRADICTED: (State.SUCCEEDED, lambda s: Proof(outcome=DECLINED, **s.ids)),
}


@pytest.mark.parametrize(("status", "fact"), PAYMENT_TABLE)
async def test_payment_cell(pool: Pool, recorder: Recorder, status: Status, fact: PaymentFact) -> None:
    state, bring = BRINGS[fact]
    expires_in_s = -1 if fact is PaymentFact.EXPIRED else 3600
    cell = PAYMENT_TABLE[status, fact]
    story = await Story.begin(pool, f"payment-{status}-{fact}", expires_in_s=expires_in_s, provider=able(cell))
    await story.force(status, state, sent_at=Clock().now())
    await recorder.record(bring(story))
    after = (await story.payment())["status"]
    if cell == REFUSE:
        assert after == status
        assert await story.review() is not None
        assert (await story.events())[-1] == "review"
    elif cell == STALE:
        assert after == status
        assert await story.review() is None
        assert await story.events() == ["created"]
    else:
        assert after == cell
        assert cell in await story.events()


async def test_asking_is_for_what_was_sent(pool: Pool, recorder: Recorder) -> None:
    for state in State:
        story = await Story.begin(pool, f"ask-{state}")
        await story.force(Status.PROCESSING, state, sent_at=Clock().now() - timedelta(seconds=5))
        await recorder.record(Ask(**story.ids))
        asked = await pool.fetchval(
            "select count(*) from operations where payment_id = $1 and verb = $2", story.payment_id, Verb.QUERY
        )
        assert asked == (0 if state is State.PREPARED else 1), state
