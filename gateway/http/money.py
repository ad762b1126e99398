"""What payments, payouts and refunds have in common at the HTTP face: accept one, act on one, and wait for it."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, TypeVar
from uuid import UUID

from litestar import Response
from msgspec import Struct

from gateway import ids
from gateway.http import prefer
from gateway.http.context import current
from gateway.http.handling import Authenticated, answer, missing, read_id, services_of
from gateway.http.idempotency import optional_key, required_key
from gateway.http.json_body import Body, fingerprint_of, read_json
from gateway.http.principal import Principal
from gateway.payments import views
from gateway.payments.drafts import Draft
from gateway.payments.facts import Resolution
from gateway.payments.model import Kind, Payment
from gateway.payments.requests import ResolvePayment
from gateway.services import Services
from gateway.store import payments as store
from gateway.store.audit import AuditRow
from gateway.store.database import Connection
from gateway.usecases import act_on_payment
from gateway.usecases.act_on_payment import Decide
from gateway.usecases.create_payment import create
from gateway.usecases.waiters import wait_for

T = TypeVar("T", bound=Struct)
PREFIXES: Final = {Kind.PAYMENT: ids.PAYMENT, Kind.PAYOUT: ids.PAYOUT}


async def accept(
    request: Authenticated, kind: type[T], check: Callable[[T, bool], Draft], path: str
) -> Response[bytes]:
    """Accept a payment or payout: 201 means that it is on disk. `Prefer: wait=N` holds the answer until it moved."""
    key = required_key(request.scope)
    body = await read_json(request, kind)
    services, user = services_of(request), request.user
    wait_s = prefer.wait_s(request.scope)
    draft = check(body.value, user.livemode)
    payment_id = ids.new(ids.logical_partition(user.merchant_id, user.livemode, key))
    with services.waiters.expect(payment_id) if wait_s else nullcontext() as moved:
        accepted = await create(
            services,
            draft,
            merchant_id=user.merchant_id,
            key=key,
            fingerprint=fingerprint_of(request, body),
            payment_id=payment_id,
            waiter=services.process if wait_s else None,
        )
        if moved is not None and accepted.fresh:
            await wait_for(moved, wait_s)
    if wait_s and not accepted.fresh:
        await wait_until_moved(services, accepted.payment.id, wait_s)
    content = await _now(services, accepted.payment) if wait_s else accepted.content
    headers = {"Location": f"{path}/{views.public_id(accepted.payment)}", **prefer.applied(wait_s)}
    return answer(content, 201, headers, replayed=not accepted.fresh)


async def act(
    request: Authenticated,
    object_id: str,
    body: Body[Any],
    decide: Decide,
    record: AuditRow | None = None,
    *,
    kind: Kind = Kind.PAYMENT,
) -> Response[bytes]:
    """Do what was asked for once, and answer the object as it is then, or as it is after `Prefer: wait`."""
    services = services_of(request)
    asked = asked_of(request, object_id, body, kind)
    wait_s = prefer.wait_s(request.scope)
    acted = await act_on_payment.act(services, asked, decide, record=record)
    content = acted.body
    if wait_s:
        if acted.operation_id is not None:
            await wait_until_moved(services, acted.operation_id, wait_s)
        content = await act_on_payment.acted_now(services, acted)
    return answer(content, 200, prefer.applied(wait_s), replayed=acted.replayed)


async def resolve(request: Authenticated, object_id: str, kind: Kind) -> Response[bytes]:
    """End a review with a person's decision, which is audited."""
    required_key(request.scope)
    body = await read_json(request, ResolvePayment)
    resolution = Resolution(action=body.value.action, reason=body.value.reason)
    record = AuditRow(
        merchant_id=request.user.merchant_id,
        actor=request.user.actor,
        action=f"{kind}.resolve",
        object_id=object_id,
        ip=current().ip,
        request_id=current().request_id,
        changes={"action": resolution.action, "reason": resolution.reason},
    )
    return await act(request, object_id, body, act_on_payment.resolve(resolution), record, kind=kind)


def asked_of(
    request: Authenticated, object_id: str, body: Body[Any], kind: Kind = Kind.PAYMENT
) -> act_on_payment.Request:
    """Who asks, for what. Raises 404 for an id of another type."""
    return act_on_payment.Request(
        merchant_id=request.user.merchant_id,
        livemode=request.user.livemode,
        payment_id=read_id(PREFIXES[kind], object_id, kind),
        kind=kind,
        key=optional_key(request.scope),
        fingerprint=fingerprint_of(request, body),
        waiter=services_of(request).process if prefer.wait_s(request.scope) else None,
    )


async def find(connection: Connection, user: Principal, text: str, kind: Kind = Kind.PAYMENT) -> Payment:
    """The payment or payout of a path. Raises 404."""
    object_id = read_id(PREFIXES[kind], text, kind)
    payment = await store.get(connection, user.merchant_id, user.livemode, object_id, kind)
    if payment is None:
        raise missing(kind)
    return payment


async def wait_until_moved(services: Services, object_id: UUID, wait_s: float) -> None:
    """Wait until the payment, payout or operation is under way no more, at most so long."""
    with services.waiters.expect(object_id) as moved:
        await wait_for(moved, wait_s)


async def _now(services: Services, payment: Payment) -> bytes:
    async with services.reading() as connection:
        current = await store.get(connection, payment.merchant_id, payment.livemode, payment.id, payment.kind)
    return views.payment_json(current or payment)
