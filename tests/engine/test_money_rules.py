"""The money rules, each through the recorder on a real database: what may succeed, and what goes to a person."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from gateway import ids
from gateway.payments.model import State, Status
from gateway.store.database import Pool
from providers.contract import ActionRequired, Declined, Otp, Pending, Succeeded, Unknown
from providers.declines import DeclineCode
from tests.engine.conftest import Begin, Later
from tests.engine.teller import Teller
from tests.support.payments import Story

DECLINED = Declined(code=DeclineCode.INSUFFICIENT_FUNDS, provider_code="51", provider_message="No money")
PAID = Succeeded(amount=15000, currency="LSL")
LIVE = ("prepared", "sent", "unknown", "pending", "action_required", "authorized", "succeeded")
CLOSED = ("declined", "not_sent", "lapsed", "late_succeeded")

ANOTHER_CHARGE = """
insert into operations (lp, id, payment_id, merchant_id, account_id, provider, settings_version, verb, state, amount,
                        currency, reference, created_at, updated_at)
select lp, $2, payment_id, merchant_id, account_id, provider, 1, $3, $4, amount, currency, $5, now(), now()
  from operations where id = $1
"""


async def another_charge(pool: Pool, story: Story, state: State, verb: str = "charge") -> Story:
    """A second attempt at the same payment: a story of its own."""
    other = Story.__new__(Story)
    other.pool, other.payment_id = pool, story.payment_id
    other.operation_id = ids.new(ids.lp_of(story.payment_id))
    other.ids = {"payment_id": other.payment_id, "operation_id": other.operation_id}
    await pool.execute(ANOTHER_CHARGE, story.operation_id, other.operation_id, verb, str(state), other.operation_id.hex)
    return other


# --- One live charge ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["charge", "authorize"])
async def test_a_payment_has_one_live_charge(pool: Pool, begin: Begin, verb: str) -> None:
    for first in LIVE:
        tell = await begin()
        await tell.story.force(state=State(first))
        for second in LIVE:
            with pytest.raises(asyncpg.UniqueViolationError, match="operations_one_live_charge"):
                await another_charge(pool, tell.story, State(second), verb)


async def test_a_closed_charge_makes_room_for_another(pool: Pool, begin: Begin) -> None:
    for first in CLOSED:
        tell = await begin()
        await tell.story.force(state=State(first))
        await another_charge(pool, tell.story, State.PREPARED)


# --- Late and second successes --------------------------------------------------------------------------------------


async def test_a_second_success_outranks_the_review_that_is_open(begin: Begin) -> None:
    tell = await begin(provider="cpay")
    await tell.story.force(Status.FAILED, State.DECLINED)
    await tell.proof(Succeeded(provider_reference="receipt-1"))
    assert await tell.story.review() == "late_success"
    await tell.proof(Succeeded(provider_reference="receipt-2"))
    assert await tell.story.review() == "second_success"
    assert (await tell.story.events())[-2:] == ["review", "review"]
    await tell.proof(DECLINED)
    assert await tell.story.review() == "second_success"


async def _failed(tell: Teller) -> Status:
    await tell.performed(DECLINED)
    return Status.FAILED


async def _canceled(tell: Teller) -> Status:
    await tell.cancel()
    return Status.CANCELED


async def _expired(tell: Teller) -> Status:
    await tell.performed(Pending())
    await tell.end_its_time()
    await tell.expire()
    await tell.queried(Pending())
    return Status.EXPIRED


@pytest.mark.parametrize("close", [_failed, _canceled, _expired])
async def test_late_success_is_never_dropped(begin: Begin, close: Callable[[Teller], Awaitable[Status]]) -> None:
    tell = await begin()
    closed = await close(tell)
    assert await tell.status() == closed
    before = await tell.story.events()
    await tell.proof(PAID)
    row = await tell.story.payment()
    assert (row["status"], row["amount_captured"], row["failure"]) == ("succeeded", 15000, None)
    assert await tell.story.review() == "late_success"
    assert await tell.state() is State.LATE_SUCCEEDED
    assert await tell.story.events() == [*before, "succeeded", "review"]


async def test_what_expired_is_still_asked_about(begin: Begin, later: Later) -> None:
    tell = await begin()
    await _expired(tell)
    assert await tell.state() is State.LAPSED
    assert (await tell.story.operation())["next_query_at"] is not None
    later(60)
    await tell.queried(PAID)
    assert await tell.story.events() == ["created", "processing", "expired", "succeeded", "review"]
    assert await tell.story.review() == "late_success"


async def test_second_success_under_another_reference(begin: Begin) -> None:
    tell = await begin(provider="cpay")
    await tell.performed(Succeeded(provider_reference="R1"))
    await tell.proof(Succeeded(provider_reference="R2"))
    assert await tell.story.events() == ["created", "processing", "succeeded", "review"]
    assert await tell.story.review() == "second_success"
    row = await tell.story.payment()
    assert (row["status"], row["amount_captured"], row["provider_reference"]) == ("succeeded", 15000, "R1")
    owned = await tell.story.pool.fetch(
        "select provider_reference from provider_references where operation_id = $1 order by 1", tell.operation_id
    )
    assert [each[0] for each in owned] == ["R1", "R2"], "both receipts are this payment's, for the refund"


async def test_one_success_told_twice(begin: Begin) -> None:
    tell = await begin()
    said = Succeeded(provider_reference="once", amount=15000, currency="LSL")
    await tell.performed(said)
    for root in (await tell.proof(said), await tell.answer(said), await tell.proof(Succeeded())):
        assert root is not None
        assert root.stale == ["operation succeeded: succeeded"]
    assert await tell.story.events() == ["created", "processing", "succeeded"]
    assert await tell.story.review() is None


async def test_second_success_of_another_attempt(pool: Pool, begin: Begin) -> None:
    tell = await begin(provider="cpay")
    await tell.story.force(Status.SUCCEEDED, State.DECLINED)
    await another_charge(pool, tell.story, State.SUCCEEDED)
    root = await tell.proof(Succeeded(provider_reference="first"))
    assert root is not None
    assert root.operations[tell.operation_id].state is State.LATE_SUCCEEDED
    assert await tell.story.review() == "second_success"


# --- Contradictions -------------------------------------------------------------------------------------------------


async def test_a_failure_word_after_success(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(Succeeded())
    await tell.proof(DECLINED)
    row = await tell.story.payment()
    assert (row["status"], row["amount_captured"], row["failure"]) == ("succeeded", 15000, None)
    assert await tell.story.review() == "contradicted"
    assert await tell.story.events() == ["created", "processing", "succeeded", "review"]


MISMATCHES = {
    "amount_mismatch": Succeeded(amount=15001, currency="LSL"),
    "currency_mismatch": Succeeded(amount=15000, currency="ZAR"),
}


@pytest.mark.parametrize("reason", MISMATCHES)
@pytest.mark.parametrize("source", ["answer", "callback", "query"])
async def test_what_the_provider_states_must_be_ours(begin: Begin, reason: str, source: str) -> None:
    tell = await begin()
    if source == "answer":
        await tell.performed(MISMATCHES[reason])
    elif source == "callback":
        await tell.claim()
        await tell.proof(MISMATCHES[reason])
    else:
        await tell.performed(Unknown(detail="timeout"))
        await tell.queried(MISMATCHES[reason])
    row = await tell.story.payment()
    assert (row["status"], row["amount_captured"]) == ("processing", 0)
    assert await tell.story.review() == reason
    assert await tell.story.events() == ["created", "processing", "review"]


@pytest.mark.parametrize("before", ["unsent", "waiting for the payer"])
async def test_what_is_held_for_a_person_asks_nothing_of_the_payer(begin: Begin, before: str) -> None:
    tell = await begin()
    if before != "unsent":
        await tell.performed(ActionRequired(action=Otp("Enter the code.")))
    await tell.proof(MISMATCHES["amount_mismatch"])
    row = await tell.story.payment()
    assert (row["status"], row["next_action"]) == ("processing", None)
    assert await tell.story.review() == "amount_mismatch"


async def test_what_is_held_for_a_person_does_not_expire(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(MISMATCHES["amount_mismatch"])
    await tell.end_its_time()
    await tell.expire()
    assert await tell.status() == "processing"


async def test_proof_of_the_outcome_ends_a_mismatch(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(MISMATCHES["amount_mismatch"])
    await tell.proof(Succeeded(amount=15000, currency="LSL"))
    assert await tell.story.events() == ["created", "processing", "review", "succeeded", "review_resolved"]
    assert await tell.story.review() is None


async def test_what_is_not_stated_is_not_compared(begin: Begin) -> None:
    tell = await begin()
    await tell.performed(Succeeded())
    assert await tell.status() == "succeeded"
    assert await tell.story.review() is None


# --- References -----------------------------------------------------------------------------------------------------


async def test_a_reference_that_another_operation_owns(begin: Begin) -> None:
    owner, tell = await begin(), await begin()
    await owner.performed(Succeeded(provider_reference="owned"))
    await tell.performed(Succeeded(provider_reference="owned"))
    row = await tell.story.payment()
    assert (row["status"], row["amount_captured"], row["provider_reference"]) == ("processing", 0, None)
    assert await tell.story.review() == "reference_mismatch"
    assert await owner.story.review() is None


async def test_references_are_unique_per_account_only(begin: Begin) -> None:
    first, second = await begin(), await begin(account=ids.new())
    for tell in (first, second):
        await tell.performed(Succeeded(provider_reference="same everywhere"))
        assert await tell.status() == "succeeded"


async def test_an_unsigned_callback_brings_a_reference_once(begin: Begin) -> None:
    tell, other = await begin(provider="cpay"), await begin(provider="cpay")
    await tell.performed(Unknown(detail="timeout"))
    await other.performed(Unknown(detail="timeout"))
    await tell.ask("CP1")
    await tell.ask("CP2")  # a second name is not taken
    await other.ask("CP1")  # nor one that another owns
    assert (await tell.story.operation())["provider_reference"] == "CP1"
    assert (await other.story.operation())["provider_reference"] is None
    owned = await tell.story.pool.fetch("select provider_reference from provider_references")
    assert "CP2" not in {each[0] for each in owned}
    assert (await tell.status(), await tell.story.review()) == ("processing", None), "it only makes us ask"
    assert await tell.queries() == 1
