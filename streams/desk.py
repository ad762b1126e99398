"""What an operator does from the command line: look at dead letters and send them again, refill topics, end reviews."""

import getpass
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec

from gateway import ids
from gateway.clock import Clock
from gateway.payments import views
from gateway.payments.facts import Resolution
from gateway.payments.model import Operation, Payment
from gateway.settings import Settings
from gateway.store import audit, payments
from gateway.store import dead_letters as store
from gateway.store.audit import AuditRow
from gateway.store.database import Connection, Pool, create_pool, read_clock
from gateway.store.dead_letters import DeadLetter
from gateway.usecases import act_on_payment
from streams import dead_letters, relay
from streams.publisher import Publisher

REPLAY_LIMIT_S: Final = 30.0


class NothingFound(Exception):
    """What was named does not exist; the message is one sentence."""


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
        async with self.reading() as connection:
            return await store.of_all(connection, topic=topic, only=only, limit=limit)

    async def replay(self, letters: Sequence[DeadLetter]) -> int:
        """Send these records to their topics again; how many were acknowledged."""
        publisher = Publisher(self.settings)
        await publisher.start()
        try:
            sent = letters[: await dead_letters.resend(publisher, letters, limit_s=REPLAY_LIMIT_S)]
        finally:
            await publisher.stop()
        now = self.clock.now()
        async with self.reading() as connection, connection.transaction():
            await store.replayed(connection, [each.id for each in sent], now)
            for each in sent:
                await audit.insert(connection, _replayed(each), now, livemode=bool(each.livemode))
        return len(sent)

    async def republish_events(self, from_position: int) -> int:
        """Have the leading relay publish the events from this position on again; how many there are."""
        count = await relay.republish(self.pool, from_position)
        changes = {"from": from_position, "events": count}
        async with self.reading() as connection:
            record = _record(None, "events.republish", "installation", changes)
            await audit.insert(connection, record, self.clock.now(), livemode=False)
        return count

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
        changes = {"action": resolution.action, "reason": resolution.reason}
        record = _record(payment.merchant_id, f"{payment.kind}.resolve", views.public_id(payment), changes)
        await act_on_payment.act(self, request, act_on_payment.resolve(resolution), record=record)
        async with self.reading() as connection:
            resolved = await payments.get_any(connection, payment_id)
        assert resolved is not None
        return resolved


def _record(merchant_id: UUID | None, action: str, object_id: str, changes: dict[str, Any]) -> AuditRow:
    """What an operator did; without a merchant, to the installation."""
    actor = f"operator:{getpass.getuser()}"
    return AuditRow(
        merchant_id=merchant_id or ids.NIL, actor=actor, action=action, object_id=object_id, changes=changes
    )


def _replayed(letter: DeadLetter) -> AuditRow:
    shown = ids.show(ids.DEAD_LETTER, letter.id)
    return _record(letter.merchant_id, "dead_letter.replay", shown, {"topic": letter.topic})


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
