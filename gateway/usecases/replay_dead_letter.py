"""A merchant's dead letters: what could not be handled of what concerns him; and sending it to its topic again."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from gateway import ids
from gateway.payments.errors import MyPayError
from gateway.payments.views import encode, timestamp, timestamp_or_null
from gateway.services import Services
from gateway.store import dead_letters as store
from gateway.store.database import Connection
from gateway.store.dead_letters import DeadLetter
from gateway.usecases.configure import Asker, Change, Configured, configure, replay
from providers.redaction import mask_exchange


class DeadLetterObject(Struct, kw_only=True):
    """A record that no worker could handle, with the reason. `value` is the beginning of what it holds, masked.

    It concerns one of the merchant's accounts, or a callback to one.
    """

    id: str
    object: Literal["dead_letter"] = "dead_letter"
    livemode: bool
    topic: str
    partition: int
    offset: int
    error: str
    value: str
    replayed_at: str | None
    created_at: str
    updated_at: str


async def resend(services: Services, asker: Asker, letter_id: UUID) -> Configured:
    """Send it again, bytes and key as they were: what was done meanwhile is not done twice. Raises 404, and 503."""
    if (earlier := await replay(services, asker)) is not None:
        return earlier
    async with services.reading() as connection:
        letter = await store.get(connection, asker.merchant_id, asker.livemode, letter_id)
    if letter is None:
        raise MyPayError("not_found", "There is no such dead letter.")
    if not await services.resend([letter]):
        raise MyPayError("unavailable", "Kafka does not take it now.")

    async def work(connection: Connection, now: datetime) -> Change:
        await store.replayed(connection, [letter_id], now)
        return Change(
            action="dead_letter.replay",
            object_id=letter_id,
            shown_id=ids.show(ids.DEAD_LETTER, letter_id),
            changes={"topic": letter.topic},
            body=shown(replace(letter, replayed_at=now)),
        )

    return await configure(services, asker, work)


def shown(letter: DeadLetter) -> bytes:
    """The dead letter as JSON."""
    created = timestamp(letter.created_at)
    replayed = timestamp_or_null(letter.replayed_at)
    return encode(
        DeadLetterObject(
            id=ids.show(ids.DEAD_LETTER, letter.id),
            livemode=bool(letter.livemode),
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            error=f"{letter.error_class}: {letter.error}",
            value=mask_exchange(letter.value or b"", ()),
            replayed_at=replayed,
            created_at=created,
            updated_at=replayed or created,
        )
    )
