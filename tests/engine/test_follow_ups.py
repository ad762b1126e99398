"""Captures, voids and refunds through the recorder on a real database: every cell of a refund, and every surprise."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from gateway import ids
from gateway.clock import Clock
from gateway.payments import verbs
from gateway.payments.errors import MyPayError
from gateway.payments.facts import Resolution
from gateway.payments.model import Operation, RefundStatus, Root, State, Status
from gateway.payments.states import REFUND_TABLE, REFUSE, STALE, RefundFact
from gateway.store import roots
from gateway.store.database import Pool
from providers.contract import Authorized, Declined, NotSent, Outcome, Pending, Reversed, Succeeded, Unknown
from providers.declines import DeclineCode
from tests.engine.conftest import Begin, Later
from tests.engine.teller import Teller

DECLINED = Declined(code=DeclineCode.DECLINED)
DONE = Succeeded(amount=15000, currency="LSL")


async def ask_for(tell: Teller, decide: Callable[[Root, datetime], Operation | None]) -> UUID:
    """A merchant's request, as `act_on_payment` has it done; the operation that it started."""
    async with tell.story.pool.acquire() as connection, connection.transaction():
        root = (await roots.lock(connection, {tell.payment_id: []}, pace=1.0))[tell.payment_id]
        operation = decide(root, Clock().now())
        await roots.write(connection, [root])
    assert operation is not None
    return operation.id


def refund(amount: int | None = None) -> Callable[[Root, datetime], Operation]:
    return lambda root, now: verbs.refund(amount, None, {}, root, now)


def capture(amount: int | None = None) -> Callable[[Root, datetime], Operation]:
    return lambda root, now: verbs.capture(amount, root, now)


def resolve(action: Any) -> Callable[[Root, datetime], Operation | None]:
    return lambda root, now: verbs.resolve(Resolution(action=action, reason="looked it up"), root, now)


async def told(tell: Teller, operation: UUID, outcome: Outcome, *, owner: str = "worker/9") -> None:
    """A worker claims the operation, and the provider says this."""
    root = await tell.claim(owner, operation_id=operation)
    assert root is not None
    fence = root.operations[operation].fence
    await tell.answer(outcome, fence=fence, operation_id=operation)


async def row(tell: Teller, table: str, key: UUID) -> asyncpg.Record:
    found = await tell.story.pool.fetchrow(f"select * from {table} where id = $1", key)
    assert found is not None
    return found


async def amounts(tell: Teller) -> tuple[int, int, int]:
    """Captured, refunded, being refunded."""
    found = await tell.story.payment()
    return found["amount_captured"], found["amount_refunded"], found["amount_refund_reserved"]


async def paid(begin: Begin, **how: Any) -> Teller:
    tell = await begin(**how)
    await tell.performed(Succeeded(provider_reference=f"R{tell.operation_id}"))
    return tell


async def authorized(begin: Begin, pool: Pool) -> Teller:
    tell = await begin(capture="manual")
    await pool.execute("update operations set verb = 'authorize' where id = $1", tell.operation_id)
    await tell.performed(Authorized(provider_reference=f"A{tell.operation_id}"))
    assert await tell.status() == "authorized"
    return tell


# --- Refunds: every cell --------------------------------------------------------------------------------------------

BRINGS: dict[RefundFact, tuple[State, Outcome | None]] = {
    RefundFact.SENT: (State.PREPARED, None),
    RefundFact.SUCCEEDED: (State.SENT, DONE),
    RefundFact.DECLINED: (State.SENT, DECLINED),
}


@pytest.mark.parametrize(("status", "fact"), REFUND_TABLE)
async def test_refund_cell(begin: Begin, status: RefundStatus, fact: RefundFact) -> None:
    tell = await paid(begin)
    made = await ask_for(tell, refund())
    state, outcome = BRINGS[fact]
    settled = {RefundStatus.SUCCEEDED: State.SUCCEEDED, RefundStatus.FAILED: State.DECLINED}
    state = settled.get(status, state)
    await tell.story.pool.execute("update refunds set status = $2 where id = $1", made, str(status))
    await tell.story.pool.execute("update operations set state = $2, sent_at = now() where id = $1", made, str(state))
    if outcome is None:
        await tell.claim("worker/5", operation_id=made)
    else:
        await tell.answer(outcome, fence=0, operation_id=made)
    cell, after = REFUND_TABLE[status, fact], await row(tell, "refunds", made)
    assert after["status"] == (status if cell in (STALE, REFUSE) else cell)
    assert (await tell.story.review() == "contradicted") is (cell == REFUSE)


@pytest.mark.parametrize(
    ("outcome", "status", "left"),
    [
        (DONE, "succeeded", (15000, 15000, 0)),
        (DECLINED, "failed", (15000, 0, 0)),
        (Pending(), "processing", (15000, 0, 15000)),
        (Unknown(detail="timeout"), "processing", (15000, 0, 15000)),
        (NotSent(detail="refused"), "processing", (15000, 0, 15000)),
    ],
)
async def test_what_is_not_over_stays_reserved(
    begin: Begin, outcome: Outcome, status: str, left: tuple[int, int, int]
) -> None:
    tell = await paid(begin)
    made = await ask_for(tell, refund())
    assert await amounts(tell) == (15000, 0, 15000)
    await told(tell, made, outcome)
    assert ((await row(tell, "refunds", made))["status"], await amounts(tell)) == (status, left)


async def test_a_refund_that_succeeds_after_it_was_declined(begin: Begin) -> None:
    tell = await paid(begin)
    made = await ask_for(tell, refund())
    await told(tell, made, DECLINED)
    other = await ask_for(tell, refund())
    await told(tell, other, DONE)
    await tell.answer(DONE, fence=1, operation_id=made)
    assert await amounts(tell) == (15000, 30000, 0)
    assert await tell.story.review() == "over_refunded"
    assert (await row(tell, "operations", made))["state"] == "late_succeeded"


async def test_a_refund_made_twice_by_the_provider(begin: Begin) -> None:
    tell = await paid(begin)
    made = await ask_for(tell, refund())
    await told(tell, made, Succeeded(provider_reference="once"))
    for _ in range(2):  # however often it is told
        await tell.answer(Succeeded(provider_reference="twice"), operation_id=made)
    assert await amounts(tell) == (15000, 30000, 0)
    assert await tell.story.review() == "over_refunded"


async def test_a_refund_nobody_can_tell_about_goes_to_a_person(begin: Begin, later: Later) -> None:
    tell = await paid(begin)
    made = await ask_for(tell, refund(6000))
    await told(tell, made, Unknown(detail="timeout"))
    later(4 * 24 * 3600)
    await tell.recorder.record(tell.asked(made))
    assert await tell.story.review() == "unknown_outcome"
    assert (await row(tell, "refunds", made))["review"] is not None
    with pytest.raises(MyPayError, match="nothing that could be refunded"):
        await ask_for(tell, lambda root, now: _spent(root, now))
    await ask_for(tell, resolve("mark_failed"))
    assert ((await row(tell, "refunds", made))["status"], await amounts(tell)) == ("failed", (15000, 0, 0))
    assert (await tell.story.review(), (await row(tell, "refunds", made))["review"]) == (None, None)


def _spent(root: Root, now: datetime) -> Operation | None:
    """A refund is asked for by `resolve`, although all that is left is being refunded."""
    root.payment.amount_refund_reserved = root.payment.amount_captured
    return verbs.resolve(Resolution(action="refund", reason="looked it up"), root, now)


# --- Paid twice -----------------------------------------------------------------------------------------------------


async def test_a_second_success_is_given_back(begin: Begin) -> None:
    tell = await paid(begin)
    for _ in range(3):  # told by answer, callback and query alike
        await tell.proof(Succeeded(provider_reference=f"R2{tell.operation_id}"))
    made = await tell.story.operation("refund")
    assert await amounts(tell) == (30000, 0, 15000)
    target = await row(tell, "operations", made["target_id"])
    assert (target["state"], target["provider_reference"], target["sends"]) == (
        "late_succeeded",
        f"R2{tell.operation_id}",
        0,
    )
    await told(tell, made["id"], DONE)
    assert (await amounts(tell), await tell.story.review()) == ((30000, 15000, 0), None)
    assert await tell.story.events() == ["created", "processing", "succeeded", "captured", "refunded"]
    payment = await tell.story.payment()
    assert (payment["status"], payment["provider_reference"]) == ("succeeded", f"R{tell.operation_id}")
    assert (await row(tell, "refunds", made["id"]))["reason"] == "second_success"


async def test_a_second_success_that_cannot_be_given_back_goes_to_a_person(begin: Begin) -> None:
    tell = await paid(begin)
    await tell.proof(Succeeded(provider_reference=f"R2{tell.operation_id}"))
    made = await tell.story.operation("refund")
    await told(tell, made["id"], DECLINED)
    assert (await amounts(tell), await tell.story.review()) == ((30000, 0, 0), "second_success")
    again = await ask_for(tell, resolve("refund"))
    assert (await amounts(tell), await tell.story.review()) == ((30000, 0, 15000), None)
    assert (await row(tell, "operations", again))["target_id"] == made["target_id"]


async def test_money_that_the_provider_took_back_is_a_refund(begin: Begin) -> None:
    tell = await paid(begin)
    for _ in range(2):
        await tell.proof(Reversed())
    assert (await amounts(tell), await tell.story.review()) == ((15000, 15000, 0), None)
    made = await tell.story.operation("refund")
    refunded = await row(tell, "refunds", made["id"])
    assert (refunded["status"], refunded["reason"], made["sends"]) == ("succeeded", "provider_reversal", 0)
    assert await tell.status() == "succeeded"


async def test_a_late_success_can_be_given_back(begin: Begin) -> None:
    tell = await begin()
    await tell.story.force(Status.FAILED, State.DECLINED, sent_at=Clock().now())
    await tell.proof(Succeeded(provider_reference="late"))
    made = await ask_for(tell, resolve("refund"))
    assert (await amounts(tell), await tell.story.review()) == ((15000, 0, 15000), None)
    assert (await row(tell, "operations", made))["target_id"] == tell.operation_id


# --- Capture and void -----------------------------------------------------------------------------------------------


async def test_a_capture_that_fails_leaves_the_authorization(begin: Begin, pool: Pool) -> None:
    tell = await authorized(begin, pool)
    await told(tell, await ask_for(tell, capture()), DECLINED)
    assert (await tell.status(), await tell.story.review()) == ("authorized", None)
    await told(tell, await ask_for(tell, capture(5000)), Succeeded(amount=5000))
    assert (await tell.status(), await amounts(tell)) == ("succeeded", (5000, 0, 0))
    assert (await tell.story.events())[2:] == ["authorized", "capture_failed", "captured", "succeeded"]


async def test_a_capture_that_succeeds_after_all(begin: Begin, pool: Pool) -> None:
    """Two captures of the whole, the first of which was believed declined: more than was authorized is taken."""
    tell = await authorized(begin, pool)
    first = await ask_for(tell, capture())
    await told(tell, first, DECLINED)
    await told(tell, await ask_for(tell, capture()), DONE)
    await tell.answer(DONE, operation_id=first)
    assert (await amounts(tell), await tell.story.review()) == ((30000, 0, 0), "over_captured")


async def test_a_capture_that_was_made_although_it_was_voided(begin: Begin, pool: Pool) -> None:
    tell = await authorized(begin, pool)
    first = await ask_for(tell, capture())
    await told(tell, first, DECLINED)
    await told(tell, await ask_for(tell, verbs.cancel), DONE)
    assert await tell.status() == "canceled"
    await tell.answer(DONE, operation_id=first)
    assert (await tell.status(), await amounts(tell)) == ("succeeded", (15000, 0, 0))
    assert await tell.story.review() == "late_success"


async def test_a_void_that_fails_leaves_the_authorization(begin: Begin, pool: Pool) -> None:
    tell = await authorized(begin, pool)
    await told(tell, await ask_for(tell, verbs.cancel), DECLINED)
    assert (await tell.status(), (await tell.story.events())[-1]) == ("authorized", "void_failed")


async def test_while_a_capture_is_unknown_nothing_else_is_started(begin: Begin, pool: Pool) -> None:
    tell = await authorized(begin, pool)
    await told(tell, await ask_for(tell, capture(1)), Unknown(detail="timeout"))
    for decide in (capture(1), verbs.cancel, refund()):
        with pytest.raises(MyPayError):
            await ask_for(tell, decide)


async def test_one_live_capture_or_void(begin: Begin, pool: Pool) -> None:
    """The index, had the check before it failed."""
    tell = await authorized(begin, pool)
    await ask_for(tell, capture(1))
    for verb in ("capture", "void"):
        with pytest.raises(asyncpg.UniqueViolationError, match="operations_one_live_capture_or_void"):
            await pool.execute(
                """
                insert into operations (lp, id, payment_id, merchant_id, account_id, provider, settings_version, verb,
                                        state, amount, currency, reference, created_at, updated_at)
                select lp, $2, payment_id, merchant_id, account_id, provider, 1, $3, 'prepared', 1, currency, $4, now(),
                       now() from operations where id = $1
                """,
                tell.operation_id,
                ids.new(ids.lp_of(tell.payment_id)),
                verb,
                f"x-{verb}",
            )


@pytest.mark.parametrize("status", [Status.FAILED, Status.EXPIRED, Status.CANCELED])
async def test_an_authorization_that_comes_too_late_is_released(begin: Begin, pool: Pool, status: Status) -> None:
    tell = await begin()
    await tell.story.force(status, State.DECLINED, verb="authorize", sent_at=Clock().now())
    for _ in range(2):
        await tell.proof(Authorized(provider_reference=f"late-{status}"))
    made = await tell.story.operation("void")
    assert made["target_id"] == tell.operation_id
    assert await pool.fetchval("select count(*) from operations where payment_id = $1", tell.payment_id) == 2
    await told(tell, made["id"], DONE)
    assert (await tell.status(), await tell.story.review()) == (status, None)


async def test_an_authorization_that_cannot_be_released_goes_to_a_person(begin: Begin) -> None:
    tell = await begin()
    await tell.story.force(Status.EXPIRED, State.LAPSED, verb="authorize", sent_at=Clock().now())
    await tell.proof(Authorized(provider_reference="stuck"))
    await told(tell, (await tell.story.operation("void"))["id"], DECLINED)
    assert (await tell.status(), await tell.story.review()) == ("expired", "late_authorization")
