"""Two recorders on one database: facts that come at the same instant, overlapping batches, and bad neighbours."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway import ids
from gateway.clock import Clock
from gateway.payments.facts import Answer, Ask, Claim, Expire, Fact, Proof
from gateway.payments.model import Evidence, State, Status
from gateway.settings import Settings
from gateway.store import roots as store
from gateway.store.database import Pool
from gateway.usecases.record_outcome import Recorder
from providers.contract import Declined, Pending, Succeeded, Unknown
from providers.declines import DeclineCode
from tests.engine.conftest import Announced, Begin
from tests.engine.teller import Teller

PAYMENTS = 100


@pytest.fixture
async def pair(settings: Settings) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """The recorders of two processes."""
    announced = Announced()
    first = Recorder(settings, Clock(), announced, announced)
    second = Recorder(settings, Clock(), announced, announced, lanes=1)
    yield first, second
    await first.close()
    await second.close()


async def begin_many(begin: Begin, count: int = PAYMENTS) -> list[Teller]:
    return list(await asyncio.gather(*(begin() for _ in range(count))))


def claim(tell: Teller, owner: str) -> Claim:
    return Claim(payment_id=tell.payment_id, operation_id=tell.operation_id, owner=owner, lease_s=60)


def answer(tell: Teller, outcome: Succeeded | Unknown | Pending) -> Answer:
    return Answer(payment_id=tell.payment_id, operation_id=tell.operation_id, fence=1, outcome=outcome)


def proof(tell: Teller, outcome: Succeeded | Declined) -> Proof:
    return Proof(payment_id=tell.payment_id, operation_id=tell.operation_id, outcome=outcome)


async def test_an_answer_and_a_callback_at_the_same_instant(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    tells = await begin_many(begin)
    await asyncio.gather(*(tell.claim() for tell in tells))
    said = {tell.payment_id: Succeeded(provider_reference=f"R-{tell.payment_id}", amount=15000) for tell in tells}
    facts: list[Fact] = [answer(tell, said[tell.payment_id]) for tell in tells]
    facts += [proof(tell, said[tell.payment_id]) for tell in tells]
    random.shuffle(facts)
    await asyncio.gather(*(random.choice(pair).record(fact) for fact in facts))
    for tell in tells:
        assert await tell.story.events() == ["created", "processing", "succeeded"]
        assert (await tell.story.payment())["amount_captured"] == 15000
        assert await tell.story.review() is None


async def test_one_of_many_claims_wins(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    """A command that was delivered to several workers at once."""
    tells = await begin_many(begin, 30)
    claims = [claim(tell, f"worker/{n}") for tell in tells for n in range(6)]
    random.shuffle(claims)
    roots = await asyncio.gather(*(random.choice(pair).record(each) for each in claims))
    won = [
        each.payment_id
        for each, root in zip(claims, roots, strict=True)
        if root is not None and root.operations[each.operation_id].owner == each.owner
    ]
    assert sorted(won) == sorted(tell.payment_id for tell in tells)
    for tell in tells:
        row = await tell.story.operation()
        assert (row["fence"], row["sends"]) == (1, 1)


async def test_locks_are_taken_in_one_order(pool: Pool, begin: Begin) -> None:
    keys = [tell.payment_id for tell in await begin_many(begin, 50)]
    random.shuffle(keys)
    async with pool.acquire() as connection, connection.transaction():
        roots = await store.lock(connection, {key: [] for key in keys}, pace=1.0)
    assert list(roots) == sorted(keys, key=lambda key: (ids.lp_of(key), key))


async def test_overlapping_batches_do_not_deadlock(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    tells = await begin_many(begin, 200)
    with capture_logs() as logs:
        for _ in range(15):
            await asyncio.gather(*(recorder.record(fact) for recorder in pair for fact in some_facts(tells)))
    assert [entry for entry in logs if entry["event"].startswith("batch.")] == []
    for tell in tells:
        assert await tell.story.events() in (["created"], ["created", "processing"])


def some_facts(tells: list[Teller]) -> list[Fact]:
    """What may be known about some of these payments, in any order."""
    facts: list[Fact] = []
    for n, tell in enumerate(random.sample(tells, 120)):
        facts += [
            Ask(payment_id=tell.payment_id, operation_id=tell.operation_id),
            claim(tell, f"worker/{n}"),
            answer(tell, Pending()),
        ]
    random.shuffle(facts)
    return facts


# --- References that two payments bring -----------------------------------------------------------------------------


async def one_owns(tells: list[Teller]) -> None:
    """One succeeded and owns the reference; the other waits for a person, and is no success."""
    rows = [(await tell.status(), await tell.story.review()) for tell in tells]
    assert sorted(rows, key=str) == [("processing", "reference_mismatch"), ("succeeded", None)]


async def test_two_payments_of_one_batch_bring_the_same_reference(
    begin: Begin, pair: tuple[Recorder, Recorder]
) -> None:
    """The batch is split: the others of it commit, and one of the two is judged again."""
    tells = await begin_many(begin, 10)
    await asyncio.gather(*(tell.claim() for tell in tells))
    said = ["batch-same", "batch-same", *(f"batch-{n}" for n in range(8))]
    single = pair[1]  # one lane: what is submitted together is one batch
    with capture_logs() as logs:
        await asyncio.gather(
            *(
                single.record(answer(tell, Succeeded(provider_reference=name)))
                for tell, name in zip(tells, said, strict=True)
            )
        )
    assert [entry["size"] for entry in logs if entry["event"] == "batch.split"] == [10]
    await one_owns(tells[:2])
    for tell in tells[2:]:
        assert await tell.status() == "succeeded"


async def test_two_processes_bring_the_same_reference(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    """Each has looked before the other has committed: the unique key decides, and the loser looks again."""
    for attempt in range(15):
        tells = await begin_many(begin, 2)
        await asyncio.gather(*(tell.claim() for tell in tells))
        said = Succeeded(provider_reference=f"race-{attempt}")
        await asyncio.gather(*(recorder.record(answer(tell, said)) for recorder, tell in zip(pair, tells, strict=True)))
        await one_owns(tells)


async def test_a_name_that_no_index_takes_fails_alone(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    """Callers cut names; should one not, its neighbours are none the worse."""
    tells = await begin_many(begin, 10)
    await asyncio.gather(*(tell.claim() for tell in tells))
    names = [*(f"short-{n}" for n in range(9)), random.randbytes(5_000).hex()]
    results = await asyncio.gather(
        *(
            pair[1].record(answer(tell, Succeeded(provider_reference=name)))
            for tell, name in zip(tells, names, strict=True)
        ),
        return_exceptions=True,
    )
    assert [isinstance(result, Exception) for result in results] == [False] * 9 + [True]
    assert [await tell.status() for tell in tells] == ["succeeded"] * 9 + ["processing"]


# --- Bad neighbours -------------------------------------------------------------------------------------------------


async def test_a_defect_in_one_payment_does_not_undo_the_others(
    pool: Pool, begin: Begin, pair: tuple[Recorder, Recorder]
) -> None:
    tells = await begin_many(begin, 20)
    await asyncio.gather(*(tell.claim() for tell in tells))
    broken = tells[7]  # a verb that its provider does not have: whoever asks its declaration fails
    await pool.execute("update operations set verb = 'void' where id = $1", broken.operation_id)
    await pool.execute("update payments set provider = 'cpay' where id = $1", broken.payment_id)
    results = await asyncio.gather(
        *(pair[1].record(answer(tell, Unknown(detail="timeout"))) for tell in tells), return_exceptions=True
    )
    assert [tells[n] for n, result in enumerate(results) if isinstance(result, KeyError)] == [broken]
    states = await pool.fetch(
        "select state, count(*) from operations where payment_id = any($1) group by 1",
        [tell.payment_id for tell in tells],
    )
    assert {row["state"]: row["count"] for row in states} == {"unknown": 19, "sent": 1}


async def test_facts_of_one_payment_are_folded_in_order(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    tells = await begin_many(begin, 20)
    single = pair[1]
    facts: list[Fact] = []
    for tell in tells:
        facts += [
            claim(tell, "worker/1"),
            answer(tell, Pending()),
            proof(tell, Succeeded()),
            Expire(payment_id=tell.payment_id),
        ]
    await asyncio.gather(*(single.record(fact) for fact in facts))
    for tell in tells:
        assert await tell.story.events() == ["created", "processing", "succeeded"]


async def test_facts_about_unknown_payments_are_nothing(begin: Begin, pair: tuple[Recorder, Recorder]) -> None:
    known, stranger = await begin(), await begin()
    facts = [
        claim(known, "worker/1"),
        Claim(payment_id=known.operation_id, operation_id=known.operation_id, owner="worker/1", lease_s=60),
        Claim(payment_id=stranger.payment_id, operation_id=known.operation_id, owner="worker/1", lease_s=60),
    ]
    roots = await asyncio.gather(*(pair[1].record(fact) for fact in facts))
    assert [root is None for root in roots] == [False, True, True]


# --- Evidence -------------------------------------------------------------------------------------------------------


async def test_evidence_can_be_read_back(begin: Begin) -> None:
    said = Declined(code=DeclineCode.DECLINED, provider_code="05", provider_message="No")
    tell = await begin()
    await tell.performed(said)
    evidence = msgspec.json.decode((await tell.story.operation())["evidence"], type=Evidence)
    assert (evidence.source, evidence.outcome) == ("answer", said)


async def test_every_state_and_status_is_known_to_the_database(pool: Pool, begin: Begin) -> None:
    tell = await begin()
    for status in Status:
        for state in State:
            await tell.story.force(status, state)
