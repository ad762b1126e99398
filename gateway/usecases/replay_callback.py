"""Having a stored callback handled once more: after a fault in the adapter was mended, say. It is safe to repeat."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.errors import MyPayError
from gateway.payments.preparing import PUBLISH_GRACE
from gateway.payments.views import encode, timestamp, timestamp_or_null
from gateway.services import Services
from gateway.store import callback_log as store
from gateway.store.callback_log import EXCERPT_BYTES, LoggedCallback
from gateway.store.database import Connection
from gateway.usecases.configure import Asker, Change, Configured, configure
from providers.redaction import mask_headers, mask_text


class CallbackObject(Struct, kw_only=True):
    """A callback as it came from a provider: only the headers that its adapter reads, and the body's first 4 KiB.

    Headers that authenticate and card numbers are masked. `operation` is the one that the address named. `result`, once
    `state` is processed: applied, asked (the provider was asked), duplicate, forged, unreadable, unmatched or ignored.
    """

    id: str
    object: Literal["callback"] = "callback"
    livemode: bool
    account: str
    provider: str
    operation: str | None
    method: str
    query: str
    headers: dict[str, str]
    body: str
    body_bytes: int
    state: Literal["received", "parked", "processed"]
    result: str | None
    processed_at: str | None
    created_at: str
    updated_at: str


async def replay(services: Services, asker: Asker, callback_id: UUID) -> Configured:
    """Set it received again and announce it. Raises 404."""

    async def work(connection: Connection, now: datetime) -> Change:
        publish_at = now + PUBLISH_GRACE
        found = await store.replay(connection, asker.merchant_id, asker.livemode, callback_id, publish_at=publish_at)
        if found is None:
            raise MyPayError("not_found", "There is no such callback.")
        announced.append(found.provider)
        return Change(
            action="callback.replay",
            object_id=callback_id,
            shown_id=ids.show(ids.CALLBACK, callback_id),
            changes={},
            body=shown(found, livemode=asker.livemode),
        )

    announced: list[str] = []  # stays empty where the answer is a repetition
    done = await configure(services, asker, work)
    for provider in announced:
        services.announce_callback(callback_id, provider)
    return done


def shown(callback: LoggedCallback, *, livemode: bool) -> bytes:
    """The callback as JSON."""
    headers = mask_headers(msgspec.json.decode(callback.headers, type=dict[str, str]))
    received = timestamp(callback.received_at)
    processed = timestamp_or_null(callback.processed_at)
    return encode(
        CallbackObject(
            id=ids.show(ids.CALLBACK, callback.id),
            livemode=livemode,
            account=ids.show(ids.ACCOUNT, callback.account_id),
            provider=callback.provider,
            operation=None if callback.operation_id is None else ids.show(ids.OPERATION, callback.operation_id),
            method=callback.method,
            query=mask_text(callback.query),
            headers={name: mask_text(value) for name, value in headers.items()},
            body=excerpt(callback),
            body_bytes=callback.body_bytes,
            state=callback.state,  # type: ignore[arg-type]  # the table's check constraint
            result=callback.result,
            processed_at=processed,
            created_at=received,
            updated_at=processed or received,
        )
    )


def excerpt(callback: LoggedCallback) -> str:
    """The beginning of the body as text, masked; bytes that are no UTF-8 are replaced."""
    return mask_text(callback.excerpt.decode(errors="replace"))[:EXCERPT_BYTES]
