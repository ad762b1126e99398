"""`mypay explain PAYMENT`: what happened to a payment, in words, for a terminal.

It reads the database, as an operator does: it works while the API is down, and for payments of every merchant.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from gateway import ids
from gateway.payments import views
from gateway.payments.model import SETTLED, Operation, Payment, ReviewReason, State, Status
from gateway.settings import Settings
from gateway.store import payments
from gateway.store import timeline as store
from gateway.usecases.timeline import TimelineEntry, told_of
from providers import money
from providers.contract import Verb
from streams.desk import NothingFound, desk

_STATUS: Final[dict[Status, str]] = {
    Status.PENDING: "accepted; nothing was sent to the provider yet",
    Status.PROCESSING: "sent to the provider, whose final word is still to come",
    Status.REQUIRES_ACTION: "waiting for the payer to act",
    Status.AUTHORIZED: "authorized: the money is held, and waits to be captured",
    Status.SUCCEEDED: "succeeded: the money has moved",
    Status.FAILED: "failed: no money has moved",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "expired: its time ended before it was paid",
}
_REVIEW: Final[dict[ReviewReason, str]] = {
    ReviewReason.AMOUNT_MISMATCH: "the provider states another amount than ours",
    ReviewReason.CURRENCY_MISMATCH: "the provider states another currency than ours",
    ReviewReason.REFERENCE_MISMATCH: "the provider's reference belongs to something else",
    ReviewReason.LATE_SUCCESS: "it succeeded after we had closed it",
    ReviewReason.LATE_AUTHORIZATION: "it was authorized after we had closed it, and could not be voided",
    ReviewReason.SECOND_SUCCESS: "the payer seems to have paid twice",
    ReviewReason.OVER_CAPTURED: "more was captured than was authorized",
    ReviewReason.OVER_REFUNDED: "more was refunded than was captured",
    ReviewReason.CONTRADICTED: "the provider says that it failed, after it had said that it succeeded",
    ReviewReason.UNKNOWN_OUTCOME: "the provider cannot tell what became of it",
    ReviewReason.CREDENTIALS_LOST: "the account's credentials cannot be opened any more",
}
# What an operation that is not over waits for.
_NEXT: Final[dict[State, str]] = {
    State.PREPARED: "waits to be sent",
    State.SENT: "is at the provider now",
    State.ACTION_REQUIRED: "waits for the payer",
    State.PENDING: "was taken by the provider, which has not decided",
    State.UNKNOWN: "may have happened or not; it is never sent again before that is known",
    State.AUTHORIZED: "holds the money until it is captured or voided",
    State.LAPSED: "was open when the payment expired",
}


async def explain(settings: Settings, payment_id: UUID, *, as_json: bool) -> list[str]:
    """The lines to print. Raises `NothingFound`."""
    async with desk(settings) as at, at.reading() as connection:
        payment = await payments.get_any(connection, payment_id)
        if payment is None:
            raise NothingFound("There is no such payment.")
        entries = await told_of(connection, payment)
        operations = await store.operations(connection, payment_id)
        now = at.clock.now()
    if as_json:
        return [msgspec.json.format(msgspec.json.encode(entries)).decode()]
    return [*_stands(payment), "", *_told(entries), "", *_next(payment, operations, now)]


def _stands(payment: Payment) -> Iterator[str]:
    """How the payment stands now."""
    mode = "live" if payment.livemode else "test"
    yield f"{views.public_id(payment)}  {_money(payment, payment.amount)}, {mode} mode"
    yield f"  status    {_STATUS[payment.status]}"
    yield f"  merchant  {ids.show(ids.MERCHANT, payment.merchant_id)}"
    name = f", which calls it {payment.provider_reference}" if payment.provider_reference else ""
    yield f"  account   {ids.show(ids.ACCOUNT, payment.account_id)} at {payment.provider}{name}"
    if payment.amount_captured or payment.amount_refunded:
        captured, refunded = (_money(payment, n) for n in (payment.amount_captured, payment.amount_refunded))
        yield f"  money     {captured} captured, {refunded} refunded"
    if payment.failure is not None:
        words = " ".join(filter(None, (payment.failure.provider_code, payment.failure.provider_message)))
        said = f" (the provider's words: {words})" if words else ""
        yield f"  failure   {payment.failure.code}: {payment.failure.message}{said}"
    if payment.review is not None:
        yield f"  review    since {payment.review.since}: {_REVIEW[payment.review.reason]}"


def _money(payment: Payment, amount: int) -> str:
    return f"{money.to_major(amount, payment.currency)} {payment.currency}"


def _told(entries: Sequence[TimelineEntry]) -> Iterator[str]:
    """A line for each entry: when, how long after the first, what."""
    began = datetime.fromisoformat(entries[0].at) if entries else None
    day = ""
    for entry in entries:
        at = datetime.fromisoformat(entry.at)
        if entry.at[:10] != day:
            day = entry.at[:10]
            yield f"{day} (UTC)"
        assert began is not None
        yield f"  {entry.at[11:23]}  +{(at - began).total_seconds():<9.3f} {entry.kind:<9}  {entry.summary}"


def _next(payment: Payment, operations: Sequence[Operation], now: datetime) -> Iterator[str]:
    """What is still open, and what happens without anybody's doing."""
    open_now = [each for each in operations if each.state not in SETTLED and each.verb is not Verb.QUERY]
    for each in open_now:
        yield f"The {each.verb} {ids.show(ids.OPERATION, each.id)} {_NEXT[each.state]}.{_appointment(each, now)}"
    if payment.review is not None:
        yield f"A person must decide: `mypay review resolve {views.public_id(payment)} --to … --reason …`."
    elif not open_now:
        yield "Nothing is open."


def _appointment(operation: Operation, now: datetime) -> str:
    """When something is done about it by itself."""
    if operation.state is State.SENT and operation.lease_until is not None:
        return f" If no answer is recorded, the provider is asked {_in(operation.lease_until, now)}."
    if operation.next_query_at is not None:
        return f" The provider is asked {_in(operation.next_query_at, now)}."
    if operation.state is State.PREPARED and operation.next_publish_at is not None:
        return f" Its command is published again {_in(operation.next_publish_at, now)}."
    return ""


def _in(at: datetime, now: datetime) -> str:
    seconds = (at - now).total_seconds()
    return f"in {seconds:.0f} s" if seconds > 0 else f"now: this was due {-seconds:.0f} s ago"
