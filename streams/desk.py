"""What an operator does from the command line: look at dead letters and send them again, refill topics, end reviews."""

import getpass
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.clock import Clock
from gateway.payments import views
from gateway.payments.facts import Resolution
from gateway.payments.model import Operation, Payment
from gateway.settings import Settings
from gateway.store import payments
from gateway.store.audit import AuditRow
from gateway.store.database import Connection, Pool, create_pool, read_clock
from gateway.usecases import act_on_payment
from streams import relay
from streams.publisher import Message, Publisher

LIST: Final = """
select id, topic, partition, "offset", consumer_group, error_class, error, created_at, replayed_at, key, value, headers
  from dead_letters where ($1::text is null or topic = $1) and ($2::uuid[] is null or id = any($2))
 order by created_at desc limit $3
"""
REPLAYED: Final = "update dead_letters set replayed_at = now() where id = any($1)"
REPLAY_LIMIT_S: Final = 30.0


class NothingFound(Exception):
    """What was named does not exist; the message is one sentence."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that no consumer could handle, as it is kept."""

    id: UUID
    topic: str
    partition: int
    offset: int
    consumer_group: str
    error_class: str
    error: str
    created_at: datetime
    replayed_at: datetime | None
    key: bytes | None
    value: bytes | None
    headers: bytes


class Desk:
    """An operator's connection to an installation. Use `desk(settings)`."""

    def __init__(self, settings: Settings, pool: Pool, clock: Clock) -> None:
        self.settings, self.pool, self.clock, self.commands = settings, pool, clock, _NoCommands()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection."""
        async with self.pool.acquire() as connection:
            yield connection

    async def dead_letters(
        self, *, topic: str | None = None, only: Sequence[UUID] | None = None, limit: int = 100
    ) -> list[DeadLetter]:
        """Dead letters, newest first."""
        return [DeadLetter(**row) for row in await self.pool.fetch(LIST, topic, only, limit)]

    async def replay(self, letters: Sequence[DeadLetter]) -> int:
        """Send these records to their topics again, bytes and key as they were; how many were acknowledged.

        Every consumer finds in Postgres whether there is anything to do, so a record may be replayed any number of
        times. Headers that were masked are not sent.
        """
        publisher = Publisher(self.settings)
        await publisher.start()
        try:
            messages = [
                Message(topic=each.topic, lp=each.partition, key=each.key, value=each.value) for each in letters
            ]
            sent = await publisher.publish_in_order(messages, limit_s=REPLAY_LIMIT_S)
        finally:
            await publisher.stop()
        await self.pool.execute(REPLAYED, [each.id for each in letters[:sent]])
        return sent

    async def republish_events(self, from_position: int) -> int:
        """Have the leading relay publish the events from this position on again; how many there are."""
        return await relay.republish(self.pool, from_position)

    async def reviews(self) -> list[Payment]:
        """Payments that a person must look at, oldest first."""
        async with self.reading() as connection:
            return await payments.under_review(connection)

    async def resolve(self, payment_id: UUID, resolution: Resolution) -> Payment:
        """End a review. Raises `NothingFound`, and `MyPayError` when the payment does not allow it."""
        async with self.reading() as connection:
            payment = await payments.get_any(connection, payment_id)
        if payment is None:
            raise NothingFound("There is no such payment.")
        request = act_on_payment.Request(
            merchant_id=payment.merchant_id, livemode=payment.livemode, payment_id=payment_id, kind=payment.kind
        )
        record = AuditRow(
            merchant_id=payment.merchant_id,
            actor=f"operator:{getpass.getuser()}",
            action=f"{payment.kind}.resolve",
            object_id=views.public_id(payment),
            changes={"action": resolution.action, "reason": resolution.reason},
        )
        await act_on_payment.act(self, request, act_on_payment.resolve(resolution), record=record)
        async with self.reading() as connection:
            resolved = await payments.get_any(connection, payment_id)
        assert resolved is not None
        return resolved


class _NoCommands:
    """Nothing an operator decides starts an operation at once; the sweeper would publish it."""

    def send(self, operation: Operation, waiter: str | None) -> None:
        """Leave it to the sweeper."""


@asynccontextmanager
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """A desk, closed afterwards."""
    async with await create_pool(settings, size=2) as pool:
        clock = Clock()
        await read_clock(clock, pool)
        yield Desk(settings, pool, clock)


# --- What the commands print ------------------------------------------------------------------------------------------


async def list_dead_letters(settings: Settings, topic: str | None) -> list[str]:
    """One line per dead letter."""
    async with desk(settings) as at:
        letters = await at.dead_letters(topic=topic)
    return [_line(each) for each in letters] or ["There are no dead letters."]


async def show_dead_letter(settings: Settings, letter_id: UUID) -> list[str]:
    """Everything that is kept of one, its value as far as it is text."""
    async with desk(settings) as at:
        letters = await at.dead_letters(only=[letter_id])
    if not letters:
        raise NothingFound("There is no such dead letter.")
    letter = letters[0]
    headers = msgspec.json.decode(letter.headers)
    return [
        _line(letter),
        f"group    {letter.consumer_group}",
        f"replayed {letter.replayed_at or 'never'}",
        f"key      {letter.key!r}",
        *(f"header   {name}: {value}" for name, value in headers),
        f"value    {letter.value!r}",
    ]


async def replay_dead_letters(settings: Settings, letter_ids: Sequence[UUID] | None) -> list[str]:
    """Replay those named, or all that were never replayed."""
    async with desk(settings) as at:
        letters = await at.dead_letters(only=letter_ids, limit=10_000)
        waiting = [each for each in letters if letter_ids is not None or each.replayed_at is None]
        sent = await at.replay(waiting) if waiting else 0
    return [f"{sent} of {len(waiting)} dead letters were sent to their topics again."]


async def republish_events(settings: Settings, from_position: int) -> list[str]:
    """Refill the events' topics."""
    async with desk(settings) as at:
        count = await at.republish_events(from_position)
    return [f"{count} events from position {from_position} on will be published again by the leading relay."]


async def list_reviews(settings: Settings) -> list[str]:
    """One line per payment under review."""
    async with desk(settings) as at:
        found = await at.reviews()
    return [_review_line(each) for each in found] or ["There are no open reviews."]


async def resolve_review(settings: Settings, payment_id: UUID, resolution: Resolution) -> list[str]:
    """End one review."""
    async with desk(settings) as at:
        payment = await at.resolve(payment_id, resolution)
    return [f"{views.public_id(payment)} is {payment.status}; the review is over."]


def _line(letter: DeadLetter) -> str:
    place = f"{letter.topic}[{letter.partition}]@{letter.offset}"
    name = ids.show(ids.DEAD_LETTER, letter.id)
    return f"{name}  {letter.created_at:%Y-%m-%d %H:%M:%S}  {place}  {letter.error_class}: {letter.error}"


def _review_line(payment: Payment) -> str:
    assert payment.review is not None
    name = views.public_id(payment)
    what = f"{payment.status}  {payment.amount} {payment.currency}  {payment.provider}"
    return f"{name}  {payment.review.reason}  since {payment.review.since}  {what}"
