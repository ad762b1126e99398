"""The callback consumer: each announced callback is handled once; `gateway.usecases.handle_callback` does the work."""

import asyncio
from uuid import UUID

from gateway import ids, telemetry
from gateway.telemetry import Origin
from gateway.usecases.handle_callback import CallbackHandler
from streams.broker import Poison, Record
from streams.codec import CallbackReceived, Malformed, decode


class CallbackConsumer:
    """Handles records of the callback topics: side by side, but those of one logical partition in order."""

    def __init__(self, handler: CallbackHandler) -> None:
        self._handler = handler

    async def handle(self, records: list[Record]) -> None:
        """Handle a batch; returns when all of it is recorded. Raises `Poison` for those that cannot be read."""
        read = [(record, _callback_id(record)) for record in records]
        lanes: dict[int, list[tuple[UUID, Origin]]] = {}
        for record, callback_id in read:
            if isinstance(callback_id, UUID):
                lanes.setdefault(ids.lp_of(callback_id), []).append(
                    (callback_id, telemetry.from_headers(record.headers))
                )
        for result in await asyncio.gather(*map(self._in_order, lanes.values()), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        unreadable = [(record, reason) for record, reason in read if isinstance(reason, str)]
        if unreadable:
            raise Poison(unreadable)

    async def _in_order(self, callbacks: list[tuple[UUID, Origin]]) -> None:
        for callback_id, origin in callbacks:
            with telemetry.carrying(origin):
                await self._handler.handle(callback_id)


def _callback_id(record: Record) -> UUID | str:
    """The callback's id, or why there is none."""
    announced = decode(CallbackReceived, record.value)
    if isinstance(announced, Malformed):
        return announced.reason
    return ids.read(ids.CALLBACK, announced.callback) or "a callback id that is none of ours"
