"""Accepting a payment or payout: validate, choose an account, write it all at once, publish.

The order of answers is the contract's (docs: idempotency): a valid request looks its key up before any answer about
routing, so that an accepted payment never turns into an error.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from gateway import ids, telemetry
from gateway.metrics import METRICS
from gateway.payments import views
from gateway.payments.drafts import Draft
from gateway.payments.errors import MyPayError, NoRoute, Refusal, invalid
from gateway.payments.model import Operation, Payment, State, Status
from gateway.payments.preparing import PUBLISH_GRACE
from gateway.routing.choose import Reason, Route, Wanted, choose
from gateway.services import Services
from gateway.store import accept
from gateway.store.accept import Accepted, NewPayment
from gateway.store.batcher import FateUnknown, QueueFull
from gateway.store.database import CONNECTION_LOST
from gateway.store.directory import AccountRow
from providers import references
from providers.contract import Verb
from providers.registry import PROVIDERS

CARD: Final = "card"

_route_json = msgspec.json.Encoder().encode


async def create(
    services: Services,
    draft: Draft,
    *,
    merchant_id: UUID,
    key: str,
    fingerprint: bytes,
    payment_id: UUID,
    waiter: str | None,
) -> Accepted:
    """Accept the payment or payout, or find the one that this key made before.

    `payment_id` comes from the caller, so that a waiter can be registered before anything is queued; its logical
    partition is that of the key. Raises the problems of the contract: 400, 404, 409, 422 and 503.
    """
    routed = await _routed(services, merchant_id, draft.wanted, key, payment_id)
    if isinstance(routed, Accepted):
        return _same_request(routed, fingerprint)
    account, route = routed
    new = prepare(key, fingerprint, payment_id, account, route, draft, services.clock.now())
    try:
        with METRICS.accept_seconds.time():
            accepted = await services.accept.submit(new)
    except QueueFull:
        raise MyPayError("unavailable", retry_after_s=1) from None
    except FateUnknown:
        raise MyPayError("accept_unknown", retry_after_s=2) from None
    if accepted.fresh:
        services.commands.send(new.operation, waiter)
    return _same_request(accepted, fingerprint)


def _same_request(accepted: Accepted, fingerprint: bytes) -> Accepted:
    if accepted.fingerprint != fingerprint:
        raise MyPayError("idempotency_key_reused")
    return accepted


async def _routed(
    services: Services, merchant_id: UUID, wanted: Wanted, key: str, payment_id: UUID
) -> Accepted | tuple[AccountRow, Route]:
    """The account that takes the payment, and why; or, where none would, the payment that this key has made.

    Nothing is written yet, so a database that does not answer is `unavailable`.
    """
    livemode = wanted.livemode
    try:
        accounts = await services.accounts.of(merchant_id, livemode)
        rules = await services.accounts.rules(merchant_id, livemode)
        route = choose(wanted, accounts, rules)
        if route.account is None:
            # Before refusing: is it a replay, and does the database know accounts that this process does not yet?
            if (existing := await _lookup(services, merchant_id, livemode, key, payment_id)) is not None:
                return existing
            accounts = await services.accounts.of(merchant_id, livemode, fresh=True)
            route = choose(wanted, accounts, rules)
    except CONNECTION_LOST:
        raise MyPayError("unavailable") from None
    account = chosen(route, wanted, accounts)
    return await _refused_cards(services, wanted, account, key, payment_id) or (account, route)


async def _refused_cards(
    services: Services, wanted: Wanted, account: AccountRow, key: str, payment_id: UUID
) -> Accepted | None:
    """While an account takes no cards (`card_testing`): raises 429 for a new card payment, finds one made before."""
    if wanted.method != CARD:
        return None
    try:
        wait_s = await services.card_testing.wait_s(account)
        if not wait_s:
            return None
        existing = await _lookup(services, account.merchant_id, account.livemode, key, payment_id)
    except CONNECTION_LOST:
        raise MyPayError("unavailable") from None
    if existing is None:
        raise MyPayError("rate_limited", "Too many cards of this account were declined.", retry_after_s=wait_s)
    return existing


async def _lookup(services: Services, merchant_id: UUID, livemode: bool, key: str, payment_id: UUID) -> Accepted | None:
    wanted = (ids.lp_of(payment_id), merchant_id, livemode, key)
    async with services.reading() as connection:
        return (await accept.find(connection, [wanted])).get(wanted)


def chosen(route: Route, wanted: Wanted, accounts: Sequence[AccountRow]) -> AccountRow:
    """The account that the route leads to. Raises 400, 404, and 422 `no_route` with the reason of each account."""
    for account in accounts:
        if account.id == route.account:
            return account
    if wanted.account is not None and not route.considered:
        if any(account.id == wanted.account for account in accounts):
            raise invalid("/provider", "invalid", "The account that is named is not at this provider.")
        raise MyPayError("not_found", "There is no such account.")
    raise NoRoute(
        Refusal(ids.show(ids.ACCOUNT, each.account), each.reason or Reason.DISABLED) for each in route.considered
    )


def prepare(
    key: str,
    fingerprint: bytes,
    payment_id: UUID,
    account: AccountRow,
    route: Route,
    draft: Draft,
    now: datetime,
) -> NewPayment:
    """Everything that accepting writes, ids and bytes included. Pure but for the ids and the trace."""
    payment = _payment(payment_id, account, route, draft, now)
    content = views.payment_json(payment)
    return NewPayment(
        key=key,
        fingerprint=fingerprint,
        payment=payment,
        operation=_operation(payment, account, draft.wanted.verb),
        event=views.event(f"{payment.kind}.created", payment, now, content),
        content=content,
    )


def _payment(payment_id: UUID, account: AccountRow, route: Route, draft: Draft, now: datetime) -> Payment:
    expires_in_s = draft.expires_in_s
    return Payment(
        lp=ids.lp_of(payment_id),
        id=payment_id,
        kind=draft.kind,
        merchant_id=account.merchant_id,
        livemode=account.livemode,
        status=Status.PENDING,
        amount=draft.wanted.amount,
        currency=draft.wanted.currency,
        country=draft.wanted.country,
        phone=draft.phone,
        reference=draft.reference,
        account_id=account.id,
        provider=account.provider,
        details=draft.details,
        route=msgspec.Raw(_route_json(route)),
        sequence=1,
        expires_at=None if expires_in_s is None else now + timedelta(seconds=expires_in_s),
        created_at=now,
        updated_at=now,
        traceparent=telemetry.origin().traceparent,
    )


def _operation(payment: Payment, account: AccountRow, verb: Verb) -> Operation:
    now = payment.created_at
    operation_id = ids.new(payment.lp)
    return Operation(
        lp=payment.lp,
        id=operation_id,
        payment_id=payment.id,
        merchant_id=payment.merchant_id,
        account_id=account.id,
        provider=account.provider,
        settings_version=account.settings_version,
        verb=verb,
        state=State.PREPARED,
        amount=payment.amount,
        currency=payment.currency,
        reference=references.make(PROVIDERS[account.provider].reference, operation_id),
        next_publish_at=now + PUBLISH_GRACE,
        created_at=now,
        updated_at=now,
    )
