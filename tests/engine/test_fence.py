"""Claims, leases and the fence: who may send, and whose word still counts."""

import pytest

from gateway.payments.model import State
from gateway.usecases.record_outcome import Recorder
from providers.contract import (
    Absent,
    Ambiguous,
    Authorized,
    Declined,
    NotSent,
    Outcome,
    Pending,
    Succeeded,
    Throttled,
    Unknown,
)
from providers.declines import DeclineCode
from tests.engine.conftest import Announced, Begin, Later
from tests.engine.teller import Teller

TIMEOUT = Unknown(detail="timeout")
DOUBTFUL: list[Outcome] = [
    Declined(code=DeclineCode.DECLINED),
    NotSent(detail="refused"),
    TIMEOUT,
    Ambiguous(detail="?"),
    Throttled(),
]


# --- Claims ---------------------------------------------------------------------------------------------------------


async def test_a_claim_takes_a_lease(begin: Begin) -> None:
    tell = await begin()
    root = await tell.claim("worker/1", lease_s=60)
    assert root is not None
    row = await tell.story.operation()
    assert (row["state"], row["owner"], row["fence"], row["sends"]) == ("sent", "worker/1", 1, 1)
    assert 59 < (row["lease_until"] - row["sent_at"]).total_seconds() <= 60
    assert row["next_publish_at"] is None
    assert await tell.story.events() == ["created", "processing"]


async def test_a_claim_whose_commit_was_lost_is_simply_made_again(begin: Begin) -> None:
    tell = await begin()
    await tell.claim("worker/1")
    again = await tell.claim("worker/1")
    assert again is not None
    operation = again.operations[tell.operation_id]
    assert (operation.state, operation.owner, operation.fence, operation.sends) == (State.SENT, "worker/1", 1, 1)
    assert again.stale == []
    assert await tell.story.events() == ["created", "processing"]


async def test_what_another_has_claimed_is_not_claimed(begin: Begin) -> None:
    tell = await begin()
    await tell.claim("worker/1")
    other = await tell.claim("worker/2")
    assert other is not None
    assert other.stale == ["operation sent: claimed"]
    assert other.operations[tell.operation_id].owner == "worker/1"


@pytest.mark.parametrize("outcome", [Succeeded(), Declined(code=DeclineCode.DECLINED), Pending(), TIMEOUT])
async def test_what_was_answered_is_not_claimed_again(begin: Begin, outcome: Outcome) -> None:
    """A redelivered command, from whatever offset: nothing is sent."""
    tell = await begin()
    await tell.performed(outcome)
    for owner in ("worker/1", "worker/2"):
        root = await tell.claim(owner)
        assert root is not None
        assert root.operations[tell.operation_id].owner is None
    assert (await tell.story.operation())["fence"] == 1


async def test_facts_about_nothing(begin: Begin, recorder: Recorder) -> None:
    here, there = await begin(), await begin()
    assert await here.claim(operation_id=there.operation_id) is None  # an operation of another payment
    here.payment_id = here.operation_id
    assert await here.claim() is None
    assert (await there.story.operation())["state"] == "prepared"


# --- Leases ---------------------------------------------------------------------------------------------------------


async def test_a_lease_that_ends_leaves_an_unknown(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.claim(lease_s=5)
    early = await tell.lease_ended()
    assert early is not None
    assert early.stale == ["lease already ended"]
    later(6)
    await tell.lease_ended()
    row = await tell.story.operation()
    assert (row["state"], row["owner"]) == ("unknown", None)
    assert row["next_query_at"] is not None
    assert await tell.status() == "processing"


async def test_whoever_answers_ends_the_lease(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.claim(lease_s=5)
    await tell.answer(TIMEOUT)
    row = await tell.story.operation()
    assert (row["owner"], row["lease_until"]) == (None, None)
    later(6)
    root = await tell.lease_ended()
    assert root is not None
    assert root.stale == ["lease already ended"]


async def test_a_worker_that_wakes_after_its_lease_is_still_heard(begin: Begin, later: Later) -> None:
    tell = await begin()
    await tell.claim(lease_s=1)
    later(2)
    await tell.lease_ended()
    await tell.answer(Succeeded())
    assert await tell.story.events() == ["created", "processing", "succeeded"]


# --- The fence ------------------------------------------------------------------------------------------------------


async def sent_twice(begin: Begin, later: Later) -> Teller:
    """A charge that was sent, was proven absent, and is sent again: fence 2."""
    tell = await begin()
    await tell.performed(TIMEOUT)
    later(1)
    await tell.queried(Absent())
    assert await tell.state() is State.PREPARED
    await tell.claim("worker/2")
    assert (await tell.story.operation())["fence"] == 2
    return tell


@pytest.mark.parametrize("outcome", DOUBTFUL, ids=lambda each: type(each).__name__)
async def test_an_old_fence_only_makes_us_ask(begin: Begin, later: Later, outcome: Outcome) -> None:
    tell = await sent_twice(begin, later)
    later(10)
    queries = await tell.queries()
    await tell.answer(outcome, fence=1)
    row = await tell.story.operation()
    assert (row["state"], row["owner"], row["fence"]) == ("sent", "worker/2", 2)
    assert await tell.queries() == queries + 1
    assert await tell.status() == "processing"


@pytest.mark.parametrize(("outcome", "status"), [(Succeeded(), "succeeded"), (Authorized(), "authorized")])
async def test_a_success_counts_whoever_brings_it(begin: Begin, later: Later, outcome: Outcome, status: str) -> None:
    tell = await sent_twice(begin, later)
    await tell.answer(outcome, fence=1)
    assert await tell.status() == status


async def test_an_answer_told_twice_changes_nothing(begin: Begin, announced: Announced) -> None:
    """A batch whose commit was not confirmed is run again: with every outcome."""
    said: list[Outcome] = [Succeeded(), Pending(), *DOUBTFUL]
    for outcome in said:
        tell = await begin()
        await tell.performed(outcome)
        before = dict(await tell.story.operation()), dict(await tell.story.payment()), await tell.story.events()
        announced.forget()
        await tell.answer(outcome)
        after = dict(await tell.story.operation()), dict(await tell.story.payment()), await tell.story.events()
        for moment in ("evidence", "answered_at", "updated_at", "next_query_at"):
            before[0].pop(moment), after[0].pop(moment)
        assert after == before, outcome
        assert announced.operations == []
