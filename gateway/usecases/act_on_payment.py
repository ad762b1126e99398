"""What a merchant (or a person of the installation) asks of what exists: confirm, capture, cancel, refund, and so on.

All of them are one transaction of one shape: lock the root, look the idempotency key up, decide (pure), write the root,
the key with its answer, and for a person's decision the audit row. Only then are new operations published.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from gateway import ids, telemetry
from gateway.clock import Clock
from gateway.payments import verbs, views
from gateway.payments.errors import MyPayError
from gateway.payments.facts import Resolution
from gateway.payments.model import Kind, Operation, Payment, Root
from gateway.payments.views import OperationObject
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import audit, idempotency, payments, roots
from gateway.store.audit import AuditRow
from gateway.store.database import Connection
from gateway.usecases.brief import seal_otp
from gateway.usecases.record_outcome import Commands

Decide = Callable[[Root, datetime], Operation | None]  # raises MyPayError where the payment's state forbids it
Show = Callable[[Root, Operation | None], bytes]  # the answer's bytes


class Workplace(Protocol):
    """What acting needs: the API's `Services`, or an operator's command."""

    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def commands(self) -> Commands: ...
    def reading(self) -> AbstractAsyncContextManager[Connection]: ...


class Request(Struct, frozen=True, kw_only=True):
    """Who asks, for which payment (or payout), under which idempotency key, and which API process waits for it."""

    merchant_id: UUID
    livemode: bool
    payment_id: UUID
    kind: Kind = Kind.PAYMENT
    key: str | None = None
    fingerprint: bytes = b""
    waiter: str | None = None


class Acted(Struct, frozen=True, kw_only=True):
    """The answer's bytes, whether they repeat an earlier one's, and the operation that was started, if one was."""

    body: bytes
    replayed: bool
    payment_id: UUID
    operation_id: UUID | None


def payment_answer(root: Root, operation: Operation | None) -> bytes:
    """The payment as it is now, with the operation that was started."""
    return answer(root.payment, operation)


def refund_answer(root: Root, operation: Operation | None) -> bytes:
    """The refund that was started."""
    assert operation is not None, "a refund has an operation"
    return views.refund_json(root.refunds[operation.id])


async def act(
    workplace: Workplace,
    request: Request,
    decide: Decide,
    *,
    record: AuditRow | None = None,
    show: Show = payment_answer,
) -> Acted:
    """Do it once. Raises 404, 422 `idempotency_key_reused`, and what `decide` raises."""
    async with workplace.reading() as connection, connection.transaction():
        root = await _lock(workplace, connection, request)
        if request.key is not None and (stored := await idempotency.find(connection, _scope(request))) is not None:
            return _replayed(request, stored)
        now = workplace.clock.now()
        root.traceparent = telemetry.origin().traceparent
        operation = decide(root, now)
        await roots.write(connection, [root])
        body = show(root, operation)
        if request.key is not None:
            object_id = operation.id if operation is not None else request.payment_id
            await idempotency.insert(connection, _scope(request), request.fingerprint, object_id, body, now)
        if record is not None:
            await audit.insert(connection, record, now, livemode=request.livemode)
    for created in root.created:
        workplace.commands.send(created, request.waiter)
    operation_id = None if operation is None else operation.id
    return Acted(body=body, replayed=False, payment_id=request.payment_id, operation_id=operation_id)


async def _lock(workplace: Workplace, connection: Connection, request: Request) -> Root:
    found = await roots.lock(connection, {request.payment_id: []}, pace=workplace.settings.pace)
    root = found.get(request.payment_id)
    asked = (request.merchant_id, request.livemode, request.kind)
    if root is None or (root.payment.merchant_id, root.payment.livemode, root.payment.kind) != asked:
        raise MyPayError("not_found", f"There is no such {request.kind}.")
    return root


def _scope(request: Request) -> idempotency.Scope:
    assert request.key is not None
    return idempotency.Scope(
        merchant_id=request.merchant_id, livemode=request.livemode, root_id=request.payment_id, key=request.key
    )


def _replayed(request: Request, stored: idempotency.Stored) -> Acted:
    if stored.fingerprint != request.fingerprint:
        raise MyPayError("idempotency_key_reused")
    started = stored.object_id if stored.object_id != request.payment_id else None
    return Acted(body=stored.response, replayed=True, payment_id=request.payment_id, operation_id=started)


async def acted_now(workplace: Workplace, acted: Acted) -> bytes:
    """The answer as it would be now."""
    async with workplace.reading() as connection:
        payment = await payments.get_any(connection, acted.payment_id)
        operation = acted.operation_id and await roots.get_operation(connection, acted.operation_id)
    assert payment is not None
    return answer(payment, operation or None)


def answer(payment: Payment, operation: Operation | None) -> bytes:
    """The payment as it is now, with the operation that was started."""
    shown = operation and OperationObject(ids.show(ids.OPERATION, operation.id), operation.verb, operation.state)
    return views.payment_json(payment)[:-1] + b',"operation":' + views.encode(shown) + b"}"


# --- What can be decided ----------------------------------------------------------------------------------------------


def confirm(otp: str, sealer: Sealer) -> Decide:
    """Pass the payer's one-time password on to the provider."""

    def decide(root: Root, now: datetime) -> Operation:
        operation = verbs.start_confirm(root, now)
        operation.secret_input = seal_otp(sealer, operation, otp)
        return operation

    return decide


def capture(amount: int | None) -> Decide:
    """Take this much of what is authorized; None: all that is left."""
    return partial(verbs.capture, amount)


def cancel() -> Decide:
    """Cancel what cannot have been sent, or release what is authorized."""
    return verbs.cancel


def refund(amount: int | None, reason: str | None, metadata: dict[str, str]) -> Decide:
    """Give this much back; None: all that is left."""
    return partial(verbs.refund, amount, reason, metadata)


def verify() -> Decide:
    """Ask the provider now."""
    return verbs.verify


def resolve(resolution: Resolution) -> Decide:
    """End the payment's review."""
    return partial(verbs.resolve, resolution)
