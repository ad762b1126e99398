"""Workers that come and go: roles, providers, a stop under load, and commands that are read again from the first."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from gateway import ids
from gateway.settings import Settings
from providers.registry import PROVIDERS
from streams import topics
from streams.access import access
from tests.e2e.shop import Shop, phone, shop, within
from tests.support.installation import Handle, Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("worker life")
STOP_S = 25.0  # what a supervisor gives a worker


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose workers the tests start."""
    with installation(parts, tmp_path_factory.mktemp("workers"), workers=0) as running:
        yield running


@pytest.fixture
async def merchant(mypay: Installation) -> AsyncIterator[Shop]:
    async with shop(mypay) as merchant:
        yield merchant
        await set_latency(merchant, 0)


async def set_latency(merchant: Shop, seconds: float) -> None:
    """How long the sandbox thinks before every answer."""
    url = f"{merchant.mypay.simulators['sandbox']}/_simulator/latency"
    assert (await merchant.client.post(url, json={"seconds": seconds})).status_code == 200


@contextmanager
def worker(mypay: Installation, name: str, *arguments: str) -> Iterator[Handle]:
    """A worker, as long as the block runs or until it is stopped in it."""
    handle = mypay.start(name, "worker", *arguments)
    try:
        yield handle
    finally:
        handle.end()
        del mypay.processes[name]  # or nobody could be ready any more


def stop(handle: Handle) -> tuple[int, float]:
    """SIGTERM; its exit status, and the seconds that it took."""
    began = time.monotonic()
    handle.process.send_signal(signal.SIGTERM)
    return handle.process.wait(STOP_S), time.monotonic() - began


async def states(merchant: Shop) -> dict[str, int]:
    """How many charges are in each state."""
    rows = await merchant.pool.fetch("select state, count(*) from operations where verb = 'charge' group by 1")
    return {row["state"]: row["count"] for row in rows}


# --- Roles and providers ----------------------------------------------------------------------------------------------


async def test_a_worker_plays_the_roles_and_serves_the_providers_that_it_is_told(
    mypay: Installation, merchant: Shop
) -> None:
    with ExitStack() as stack:
        base = stack.enter_context(worker(mypay, "base", "--roles", "relay,sweeper"))
        mypay.wait_ready()
        at_sandbox = (await merchant.pay(phone("000")))["id"]
        at_cpay = (await merchant.pay(phone("013"), provider="cpay"))["id"]
        paused = stack.enter_context(worker(mypay, "paused", "--paused", "--roles", "executor,callbacks"))
        cpay = stack.enter_context(worker(mypay, "cpay", "--roles", "executor", "--providers", "cpay"))
        assert (await merchant.final(at_cpay))["status"] == "succeeded"
        assert (await merchant.get(at_sandbox))["status"] == "pending"
        sandbox = stack.enter_context(worker(mypay, "sandbox", "--roles", "executor", "--providers", "sandbox"))
        assert (await merchant.final(at_sandbox))["status"] == "succeeded"
        for handle, served in ((cpay, "cpay"), (sandbox, "sandbox")):
            performed = [line for line in handle.log.splitlines() if '"operation.performed"' in line]
            assert performed
            assert all(f'"provider":"{served}"' in line.replace(": ", ":") for line in performed)
        for handle in (base, paused):
            assert '"operation.performed"' not in handle.log
        for handle in (base, paused, cpay, sandbox):
            status, took_s = stop(handle)
            assert (status, took_s < 10) == (0, True), handle.program.name


async def test_callbacks_wait_for_the_role_that_reads_them(mypay: Installation, merchant: Shop) -> None:
    with worker(mypay, "no-callbacks", "--roles", "executor,relay,sweeper", "--providers", "sandbox"):
        payment = (await merchant.pay(phone("001")))["id"]
        assert (await merchant.final(payment))["status"] == "succeeded", "a question finds it out as well"
        operation = (await merchant.operation(payment))["id"]
        sql = "select state from callbacks where operation_id = $1"
        await within(merchant.pool.fetchval, sql, operation)
        assert await merchant.pool.fetchval(sql, operation) == "received"
        with worker(mypay, "callbacks", "--roles", "callbacks"):
            await within(merchant.pool.fetchval, sql + " and state = 'processed'", operation)


@pytest.mark.parametrize("arguments", [("--roles", "cook"), ("--providers", "bank,sandbox"), ("--roles", "")])
def test_a_role_or_provider_that_is_none(mypay: Installation, arguments: tuple[str, str]) -> None:
    with worker(mypay, "wrong", *arguments) as handle:
        assert handle.process.wait(20) == 2
        assert handle.log.splitlines()[-1].startswith("mypay: Unknown ")


# --- A stop under load ------------------------------------------------------------------------------------------------


async def test_a_stop_under_load_finishes_what_is_under_way(mypay: Installation, merchant: Shop) -> None:
    await set_latency(merchant, 0.6)
    made = await asyncio.gather(*(merchant.pay(phone("000")) for _ in range(300)))
    with worker(mypay, "stopped") as stopped:
        await within(is_busy, merchant)
        status, took_s = await asyncio.to_thread(stop, stopped)
    assert (status, took_s < STOP_S) == (0, True)
    after = await states(merchant)
    assert after.get("sent", 0) + after.get("unknown", 0) == 0, "whoever was asked has been heard"
    assert after.get("prepared", 0) > 0, "there was more to do"
    await set_latency(merchant, 0)
    with worker(mypay, "successor"):
        await within(have_succeeded, merchant, [each["id"] for each in made])
    charged = await asyncio.gather(*(merchant.charged(each["id"]) for each in made))
    assert set(charged) == {(1, 1)}, "each was taken once, and asked for once"


async def have_succeeded(merchant: Shop, payments: list[str]) -> bool:
    sql = "select count(*) from payments where id = any($1) and status = 'succeeded'"
    count: int = await merchant.pool.fetchval(sql, [ids.read(ids.PAYMENT, each) for each in payments])
    return count == len(payments)


async def is_busy(merchant: Shop) -> bool:
    """The provider has as many charges in hand as it may."""
    return (await states(merchant)).get("sent", 0) >= 30


# --- The whole command topic again ------------------------------------------------------------------------------------


async def test_the_whole_command_topic_again_changes_nothing(mypay: Installation, merchant: Shop) -> None:
    """From offset 0: as after a group that was lost, or a broker that was restored."""
    kinds = ("000", "001", "002", "006", "008", "012", "013", "005", "007")
    with worker(mypay, "first"):
        made = await asyncio.gather(*(merchant.pay(phone(digits)) for digits in kinds * 4))
        await asyncio.gather(*(merchant.final(each["id"]) for each in made))
        await merchant.all_published()
    before = await everything(mypay, merchant)
    assert before["commands"] > len(made)

    await rewind(mypay.settings)
    assert not await is_read_to_the_end(mypay.settings)
    with worker(mypay, "again"):
        await within(is_read_to_the_end, mypay.settings)
    assert await everything(mypay, merchant) == before


async def everything(mypay: Installation, merchant: Shop) -> dict[str, Any]:
    """What the provider was asked and did, byte for byte, and what we know of payments and their events."""
    return {
        "ledger": (mypay.directory / "sandbox.jsonl").read_bytes(),
        "payments": [tuple(row) for row in await merchant.pool.fetch("select * from payments order by id")],
        "events": [tuple(row) for row in await merchant.pool.fetch("select id, sequence from events order by id")],
        "operations": [
            tuple(row) for row in await merchant.pool.fetch("select id, state, fence from operations order by id")
        ],
        "commands": sum((await ends(mypay.settings)).values()),
    }


def commands_of(settings: Settings) -> list[TopicPartition]:
    names = [topics.physical(settings, topics.commands(provider)) for provider in PROVIDERS]
    return [TopicPartition(name, number) for name in names for number in range(settings.kafka_partitions)]


async def ends(settings: Settings) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**access(settings))
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(commands_of(settings))
        return found
    finally:
        await consumer.stop()


async def rewind(settings: Settings) -> None:
    """Commit offset 0 for the executors' group, which nobody is in."""
    group = topics.physical(settings, "executor")
    consumer = AIOKafkaConsumer(**access(settings), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(commands_of(settings))
        await consumer.commit(dict.fromkeys(commands_of(settings), 0))
    finally:
        await consumer.stop()


async def is_read_to_the_end(settings: Settings) -> bool:
    group = topics.physical(settings, "executor")
    consumer = AIOKafkaConsumer(**access(settings), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(commands_of(settings))
        committed = {each: await consumer.committed(each) for each in commands_of(settings)}
    finally:
        await consumer.stop()
    return committed == await ends(settings)
