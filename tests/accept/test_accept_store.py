"""The accept queue on a real database: one payment per key, whatever happens to connections and to neighbours."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from msgspec import structs

from gateway.payments import views
from gateway.payments.model import Customer
from gateway.settings import Settings
from gateway.store import payments as reading
from gateway.store.accept import Accepted, NewPayment, accept
from gateway.store.batcher import BATCH_MAX, RawConnection
from gateway.store.database import Pool
from tests.accept.flushers import PATIENCE_S, Tenant, accepted, flusher, submit_all
from tests.support.proxy import proxy

ACCEPTING = """
    from pg_stat_activity where datname = current_database() and application_name = 'mypay' and pid <> pg_backend_pid()
     and query like '%insert into idempotency_keys%' and query not like '%pg_stat_activity%'
"""


# --- One payment per key ----------------------------------------------------------------------------------------------


async def test_two_flushers_on_the_same_keys_in_opposite_orders(settings: Settings, pool: Pool, tenant: Tenant) -> None:
    """A third transaction holds the middle key until both have come as far as they can: unordered, they deadlock."""
    failed: list[asyncpg.PostgresError] = []

    async def write(connection: RawConnection, batch: Sequence[NewPayment]) -> Sequence[Accepted | Exception]:
        try:
            return await accept(connection, batch)
        except asyncpg.PostgresError as error:
            failed.append(error)
            raise

    pairs: list[tuple[Accepted, Accepted]] = []
    async with flusher(settings, write) as one, flusher(settings, write) as other:
        for turn in range(4):
            keys = [f"{turn}-{number}" for number in range(BATCH_MAX)]
            first = [tenant.wants(key, amount=100, fingerprint=b"1" * 32) for key in keys]
            second = [tenant.wants(key, amount=200, fingerprint=b"2" * 32) for key in keys]
            async with held(pool, tenant.wants(keys[BATCH_MAX // 2])):
                answers = [asyncio.create_task(submit_all(*each)) for each in ((one, first), (other, second[::-1]))]
                await until_blocked(pool, 2)
            forwards, backwards = await asyncio.gather(*answers)
            pairs += zip(accepted(forwards), accepted(backwards)[::-1], strict=True)
    assert not failed
    for mine, yours in pairs:
        assert mine.payment.id == yours.payment.id
        assert (mine.fingerprint, mine.content) == (yours.fingerprint, yours.content)
        assert {mine.fresh, yours.fresh} == {True, False}
        assert mine.fingerprint[:1] == {100: b"1", 200: b"2"}[mine.payment.amount]
    assert set(await tenant.payments()) == {mine.payment.id for mine, _ in pairs}


@asynccontextmanager
async def held(pool: Pool, wanted: NewPayment) -> AsyncIterator[None]:
    """While the block runs, a transaction that is then rolled back holds this key: whoever wants it must wait."""
    async with pool.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await accept(blocker, [wanted])
        try:
            yield
        finally:
            await transaction.rollback()


async def until_blocked(pool: Pool, count: int) -> None:
    """Wait until so many accept statements wait for a lock."""
    async with asyncio.timeout(PATIENCE_S):
        while await pool.fetchval(f"select count(*) {ACCEPTING} and wait_event_type = 'Lock'") < count:
            await asyncio.sleep(0.01)


async def test_equal_keys_in_one_batch(settings: Settings, tenant: Tenant) -> None:
    sizes: list[int] = []

    async def write(connection: RawConnection, batch: Sequence[NewPayment]) -> Sequence[Accepted | Exception]:
        sizes.append(len(batch))
        return await accept(connection, batch)

    wanted = [tenant.wants("same", amount=amount, fingerprint=bytes([amount]) * 32) for amount in (1, 2, 3, 1)]
    async with flusher(settings, write, lanes=1) as batcher:
        answers = accepted(await submit_all(batcher, [*wanted, tenant.wants("other")]))
    assert sizes == [5]
    assert [answer.fresh for answer in answers].count(True) == 2
    (winner,) = {answer.payment.id for answer in answers[:4]}
    assert set(await tenant.payments()) == {winner, answers[4].payment.id}
    assert {answer.fingerprint for answer in answers[:4]} == {bytes([answers[0].payment.amount]) * 32}


# --- Commits whose fate is unknown ------------------------------------------------------------------------------------


async def test_17_ten_thousand_keys_at_once_are_ten_thousand_payments(settings: Settings, tenant: Tenant) -> None:
    wanted = [tenant.wants(f"key-{number}") for number in range(10_000)]
    async with flusher(settings, queue_max=len(wanted)) as batcher:
        found = accepted(await submit_all(batcher, wanted))
    assert [each.payment.id for each in found] == [each.payment.id for each in wanted]
    assert all(each.fresh for each in found)
    for table in ("payments", "idempotency_keys", "operations", "events"):
        sql = f"select count(*) from {table} where merchant_id = $1"
        assert await tenant.pool.fetchval(sql, tenant.id) == len(wanted), table


async def test_a_lost_reply_to_a_commit_is_settled_as_ours(settings: Settings, tenant: Tenant) -> None:
    wanted = [tenant.wants(f"lost-{number}") for number in range(20)]
    async with proxy(settings.database_uri) as between, flusher(settings, through=between, lanes=1) as batcher:
        accepted(await submit_all(batcher, [tenant.wants("before")]))
        between.lose = lambda sent: b"lost-7" in sent and not between.lost
        answers = accepted(await submit_all(batcher, wanted))
        assert between.lost == 1
    assert all(answer.fresh for answer in answers)
    assert [answer.content for answer in answers] == [new.content for new in wanted]
    assert len(await tenant.payments()) == 21


async def test_replies_lost_at_random_lose_and_double_nothing(settings: Settings, tenant: Tenant) -> None:
    chance = random.Random(20261125)
    fresh: Counter[str] = Counter()
    made: dict[str, set[UUID]] = {}
    async with proxy(settings.database_uri) as between, flusher(settings, through=between) as batcher:
        between.lose = lambda sent: b"key-" in sent and chance.random() < 0.3
        while between.lost < 8:
            wanted = [tenant.wants(f"key-{chance.randrange(500)}") for _ in range(50)]
            for new, answer in zip(wanted, accepted(await submit_all(batcher, wanted)), strict=True):
                fresh[new.key] += answer.fresh
                made.setdefault(new.key, set()).add(answer.payment.id)
    assert set(fresh.values()) == {1}
    assert all(len(payments) == 1 for payments in made.values())
    assert set(await tenant.payments()) == set().union(*made.values())


async def test_a_connection_is_killed_while_its_statement_waits(settings: Settings, pool: Pool, tenant: Tenant) -> None:
    wanted = [tenant.wants("held"), tenant.wants("free")]
    async with flusher(settings, lanes=1) as batcher:
        async with held(pool, tenant.wants("held")):
            answers = asyncio.create_task(submit_all(batcher, wanted))
            await until_blocked(pool, 1)
            await pool.execute(f"select pg_terminate_backend(pid) {ACCEPTING} and wait_event_type = 'Lock'")
        assert [answer.fresh for answer in accepted(await answers)] == [True, True]
    assert set(await tenant.payments()) == {new.payment.id for new in wanted}


async def test_connections_are_killed_again_and_again(settings: Settings, pool: Pool, tenant: Tenant) -> None:
    killed: list[int] = []

    async def kill() -> None:
        while True:
            killed.append(len(await pool.fetch(f"select pg_terminate_backend(pid) {ACCEPTING}")))
            await asyncio.sleep(0.03)

    killer = asyncio.create_task(kill())
    made: list[NewPayment] = []
    async with flusher(settings) as batcher:
        while sum(killed) < 10:
            made += (wanted := [tenant.wants(f"key-{len(made) + number}") for number in range(100)])
            assert all(each.fresh for each in accepted(await submit_all(batcher, wanted)))
    killer.cancel()
    assert set(await tenant.payments()) == {new.payment.id for new in made}


# --- Bad rows ---------------------------------------------------------------------------------------------------------


def spoiled(new: NewPayment, **payment: Any) -> NewPayment:
    """The request with something in its payment that no validation would have let pass."""
    return structs.replace(new, payment=structs.replace(new.payment, **payment))


def spoiled_details(new: NewPayment, text: str) -> NewPayment:
    return spoiled(new, details=structs.replace(new.payment.details, description=text))


Spoil = Callable[[NewPayment, NewPayment], NewPayment]  # a good request and the row of another
BAD_ROWS: dict[str, Spoil] = {
    "22021 U+0000 in text": lambda new, _: spoiled(new, reference="a\x00b"),
    "22P05 U+0000 in JSON": lambda new, _: spoiled_details(new, "a\x00b"),
    "22000 a lone surrogate": lambda new, _: spoiled(new, reference="\ud800"),
    "22000 an amount beyond 64 bits": lambda new, _: spoiled(new, amount=2**63),
    "23514 an amount of nothing": lambda new, _: spoiled(new, amount=0),
    "23514 a status nobody knows": lambda new, _: spoiled(new, status="lost"),
    "23502 no currency": lambda new, _: spoiled(new, currency=None),
    "23505 another's id": lambda new, other: spoiled(new, id=other.payment.id, lp=other.payment.lp),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
async def test_a_bad_row_fails_alone(settings: Settings, tenant: Tenant, kind: str) -> None:
    async with flusher(settings, lanes=1) as batcher:
        first = tenant.wants("first")
        accepted(await submit_all(batcher, [first]))
        good = [tenant.wants(f"good-{number}") for number in range(4)]
        bad = BAD_ROWS[kind](tenant.wants("bad"), first)
        answers = await submit_all(batcher, [*good[:2], bad, *good[2:]])
        failed = answers.pop(2)
        assert isinstance(failed, asyncpg.PostgresError)
        assert failed.sqlstate == kind.split()[0]
        assert all(answer.fresh for answer in accepted(answers))
        assert accepted(await submit_all(batcher, [tenant.wants("afterwards")]))[0].fresh
    assert len(await tenant.payments()) == 6


# --- Bytes ------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60)
NASTY = st.sampled_from([
    "\u202eevil\u202c", "\U0001f469\u200d\U0001f469 e\u0301", '"\'\\;--', "a\r\nb\tc\x7f",
    "\ufeff\ufffe\U0010ffff", "<b>&amp;</b>",
])  # fmt: skip
STORABLE = TEXT | NASTY


@effort(max_examples=150, deadline=None)
@given(
    description=STORABLE,
    reference=STORABLE,
    customer=st.tuples(STORABLE, STORABLE),
    metadata=st.dictionaries(STORABLE, STORABLE, max_size=6),
)
async def test_any_text_comes_back_byte_for_byte(
    pool: Pool, description: str, reference: str, customer: tuple[str, str], metadata: dict[str, str]
) -> None:
    tenant = Tenant(pool)
    new = tenant.wants("key", description=description, metadata=metadata, customer=Customer(*customer))
    payment = structs.replace(new.payment, reference=reference)
    new = structs.replace(new, payment=payment, content=views.payment_json(payment))
    async with pool.acquire() as connection:
        await accept(connection, [new])
        (replayed,) = await accept(connection, [tenant.wants("key")])
        assert isinstance(replayed, Accepted)
        assert replayed.content == new.content
        found = await reading.get(connection, tenant.id, False, new.payment.id)
        assert found is not None
        assert views.payment_json(found) == new.content
    shown = msgspec.json.decode(new.content)
    assert (shown["description"], shown["reference"], shown["metadata"]) == (description, reference, metadata)
    assert shown["customer"] == {"name": customer[0], "email": customer[1]}
