"""Passing the payer's one-time password on to the provider."""

from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments import verbs, views
from gateway.payments.errors import MyPayError
from gateway.payments.model import Operation, Payment, Root
from gateway.services import Services
from gateway.store import idempotency, payments, roots
from gateway.usecases.brief import seal_otp
from providers import references
from providers.registry import PROVIDERS


class Started(Struct, frozen=True):
    """The answer's bytes, whether they repeat an earlier one's, and the operation that was started."""

    body: bytes
    replayed: bool
    payment_id: UUID
    operation_id: UUID


class _Operation(Struct):
    id: str
    verb: str
    state: str


_encode: Final = msgspec.json.Encoder().encode


async def confirm_payment(
    services: Services,
    *,
    merchant_id: UUID,
    livemode: bool,
    payment_id: UUID,
    otp: str,
    key: str,
    fingerprint: bytes,
    waiter: str | None,
) -> Started:
    """Start the confirm operation, or find the one that this key started.

    Raises 404, 409 `payment_not_confirmable` and 422 `idempotency_key_reused`.
    """
    scope = idempotency.Scope(merchant_id=merchant_id, livemode=livemode, root_id=payment_id, key=key)
    async with services.reading() as connection, connection.transaction():
        root = (await roots.lock(connection, {payment_id: []}, pace=services.settings.pace)).get(payment_id)
        if root is None or root.payment.merchant_id != merchant_id or root.payment.livemode != livemode:
            raise MyPayError("not_found", "There is no such payment.")
        if (stored := await idempotency.find(connection, scope)) is not None:
            if stored.fingerprint != fingerprint:
                raise MyPayError("idempotency_key_reused")
            return Started(stored.response, True, payment_id, stored.object_id)
        operation = _start(services, root, otp)
        await roots.write(connection, [root])
        started = Started(answer(root.payment, operation), False, payment_id, operation.id)
        await idempotency.insert(connection, scope, fingerprint, operation.id, started.body, services.clock.now())
    services.commands.send(operation, waiter)
    return started


def _start(services: Services, root: Root, otp: str) -> Operation:
    operation_id = root.new_id(services.clock.now())
    reference = references.make(PROVIDERS[root.payment.provider].reference, operation_id)
    operation = verbs.start_confirm(root, operation_id, reference, services.clock.now())
    operation.secret_input = seal_otp(services.sealer, operation, otp)
    return operation


async def started_now(services: Services, started: Started) -> bytes:
    """The answer as it would be now."""
    async with services.reading() as connection:
        payment = await payments.get_any(connection, started.payment_id)
        operation = await roots.get_operation(connection, started.operation_id)
    assert payment is not None
    assert operation is not None
    return answer(payment, operation)


def answer(payment: Payment, operation: Operation) -> bytes:
    """The payment as it is now, with the operation that was started."""
    shown = _Operation(ids.show(ids.OPERATION, operation.id), operation.verb, operation.state)
    body = views.payment_json(payment)
    return body[:-1] + b',"operation":' + _encode(shown) + b"}"
