"""What chaos runs have found, each as small as it could be made; docs/proof.md tells how it came to light."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]
from aiokafka.errors import KafkaConnectionError  # type: ignore[import-untyped]

from gateway.http.problems import as_error
from gateway.payments.facts import Answer, Ask, Claim
from gateway.payments.model import Operation, Root, State, Status
from gateway.payments.transitions import fold
from gateway.settings import Settings
from providers.contract import HttpResponse, Secret, Unknown, Verb
from providers.daraja.cases import ACCOUNT, QUERY
from providers.registry import PROVIDERS
from streams import broker, topics
from streams.app import Worker
from tests.chaos import observer
from tests.chaos.observer import Observer
from tests.support.payments import new_payment

SETTINGS = Settings(secret_key=Secret("s"), jwt_secret_key=Secret("j"), database_uri=Secret("postgresql://nowhere"))


class HalfStarted:
    """A broker whose start fails once, and whose stop is then cancelled from inside, as aiokafka's fetcher does it."""

    def __init__(self) -> None:
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.starts == 1:
            raise KafkaConnectionError("the broker was killed at this moment")

    async def stop(self) -> None:
        raise asyncio.CancelledError


async def test_consumers_start_again_although_stopping_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def exist(settings: Settings) -> None:
        return None

    monkeypatch.setattr(topics, "create_topics", exist)
    made: Any = HalfStarted()
    await asyncio.wait_for(broker.start(made, SETTINGS), 5)
    assert made.starts == 2


class Gone:
    """A consumer of a broker that was killed; its stop is cancelled from inside. The next one reads."""

    made = 0

    def __init__(self, *topics: str, **options: Any) -> None:
        Gone.made += 1
        self.alive = Gone.made > 1

    async def start(self) -> None:
        return None

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("events", 0)}

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert offset == 0

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if not self.alive:
            raise KafkaConnectionError("the broker was wiped")
        await asyncio.sleep(0.01)
        return {}

    async def end_offsets(self, places: set[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def stop(self) -> None:
        raise asyncio.CancelledError


async def test_the_reader_of_the_topic_goes_on_when_the_broker_is_wiped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It ended without a word, and the judge said of hundreds of events that they never came to the topic."""
    monkeypatch.setattr(observer, "AIOKafkaConsumer", Gone)
    reader = Observer("nowhere:1", "events", tmp_path / "observed.jsonl", lambda: 0)
    task = asyncio.create_task(reader.run())
    async with asyncio.timeout(10):
        while not reader.at_end:
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("stopping", [True, False])
async def test_a_role_that_is_cancelled_ends_the_worker(stopping: bool) -> None:
    worker = Worker(SETTINGS, [], [])
    if stopping:
        worker._stop.set()
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await asyncio.wait([task])
    worker._ended("consumers", task)
    assert worker._stop.is_set()


@pytest.mark.parametrize("code", ["40P01", "55P03", "57014", "40001"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_statement_that_the_database_undid_is_unavailable(code: str, method: str) -> None:
    """A confirm that waited too long for a lock, which a frozen worker held, was answered 500."""
    error = asyncpg.PostgresError.new({"C": code, "M": "canceling statement due to lock timeout"})
    assert (as_error(error, method).code, as_error(error, method).status) == ("unavailable", 503)


def test_a_claim_begins_the_backoff_of_publishing_anew() -> None:
    """What was published in vain four times, claimed, and not sent, waited ten minutes for its next command."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    new = new_payment("key", now=now)
    operation: Operation = new.operation
    operation.publishes = 4
    root = Root(payment=new.payment, operations={operation.id: operation}, spec=PROVIDERS["sandbox"])
    claim = Claim(payment_id=new.payment.id, operation_id=operation.id, owner="worker/1", lease_s=60)
    fold(root, [claim], now + timedelta(seconds=1))
    assert (operation.state, operation.publishes) == (State.SENT, 0)
    assert operation.verb is Verb.CHARGE
    assert isinstance(operation.id, UUID)


@pytest.mark.parametrize(
    ("message", "status"),
    [("The transaction does not exist", Status.PROCESSING), ("The transaction is being processed", Status.EXPIRED)],
)
def test_what_daraja_does_not_know_by_a_forged_name_stays_unknown(message: str, status: Status) -> None:
    """The push was not acknowledged, and a forged callback told a name of it. Asked by that name, Daraja knew no such
    push; that was taken for a push that waits for its payer, and would have ended as one that nobody paid."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    new = new_payment("key", now=now, provider="daraja", expires_in_s=60)
    charge = new.operation
    root = Root(payment=new.payment, operations={charge.id: charge}, spec=PROVIDERS["daraja"])
    about: dict[str, Any] = {"payment_id": new.payment.id, "operation_id": charge.id}
    fold(root, [Claim(**about, owner="worker/1", lease_s=60)], now)
    fold(root, [Answer(**about, fence=1, outcome=Unknown(detail="no answer"))], now)
    later = now + timedelta(seconds=120)
    fold(root, [Ask(**about, provider_reference="ws_CO_forged")], later)
    query = next(one for one in root.operations.values() if one.verb is Verb.QUERY)
    about["operation_id"] = query.id
    fold(root, [Claim(**about, owner="worker/2", lease_s=60)], later)
    flow = PROVIDERS["daraja"].verbs[Verb.QUERY].flow(QUERY, ACCOUNT)
    next(flow)
    said = json.dumps({"requestId": "1", "errorCode": "500.001.1001", "errorMessage": message})
    with pytest.raises(StopIteration) as answered:
        flow.send(HttpResponse(status=500, content=said.encode()))
    fold(root, [Answer(**about, fence=1, outcome=answered.value.value)], later)
    assert new.payment.status is status
