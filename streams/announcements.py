"""Telling the workers that a row waits for them: what the API, the recorder and the sweeper publish."""

from typing import Final
from uuid import UUID

from gateway import ids, telemetry
from gateway.payments.model import Operation
from streams import topics
from streams.codec import CallbackReceived, Command, encode
from streams.publisher import Message, Publisher

_JSON: Final = (("content-type", b"application/json"),)


class Announcements:
    """Offers commands and callbacks to the publisher. What it does not take, the sweeper offers again.

    Their headers say where they came from: that of the task which announces them.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def send(self, operation: Operation, waiter: str | None = None) -> bool:
        """Announce a prepared operation; `waiter` is the API process in which somebody waits for it."""
        payment = ids.show(ids.PAYMENT, operation.payment_id)  # of a payout's operation too: its row does not say
        command = Command(
            operation=ids.show(ids.OPERATION, operation.id),
            payment=payment,
            account=ids.show(ids.ACCOUNT, operation.account_id),
            verb=operation.verb,
            waiter=waiter,
        )
        topic = topics.commands(operation.provider)
        return self._offer(topic, operation.lp, payment, encode(command))

    def callback(self, callback_id: UUID, provider: str) -> bool:
        """Announce a stored callback."""
        name = ids.show(ids.CALLBACK, callback_id)
        received = CallbackReceived(callback=name, provider=provider)
        return self._offer(topics.callbacks(provider), ids.lp_of(callback_id), name, encode(received))

    def _offer(self, topic: str, lp: int, key: str, value: bytes) -> bool:
        headers = telemetry.to_headers(telemetry.origin())
        message = Message(topic=topic, lp=lp, key=key.encode(), value=value, headers=(*_JSON, *headers))
        return self._publisher.offer(message)
