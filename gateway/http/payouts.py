"""/v1/payouts: create, read, list; cancel, resolve."""

from datetime import datetime
from typing import Annotated, Literal

from litestar import Controller, Response, get, post
from litestar.params import FromPath
from msgspec import Meta

from gateway import ids
from gateway.http import cursors, money, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, page_by_id, services_of
from gateway.http.idempotency import required_key
from gateway.http.json_body import read_json
from gateway.payments import drafts, rules, views
from gateway.payments.model import Kind, ReviewReason
from gateway.payments.requests import CreatePayout, Nothing
from gateway.store import payments as store
from gateway.usecases import act_on_payment


class PayoutQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/payouts; `status` may repeat."""

    status: tuple[Literal["pending", "processing", "succeeded", "failed", "canceled"], ...] = ()
    provider: str | None = None
    account: str | None = None
    reference: str | None = None
    phone: str | None = None
    currency: str | None = None
    amount: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    review: ReviewReason | None = None
    created_from: Annotated[datetime, Meta(tz=True)] | None = None
    created_to: Annotated[datetime, Meta(tz=True)] | None = None


class PayoutController(Controller):
    """Payouts of the key's merchant, in the key's mode."""

    path = "/v1/payouts"
    opt = scopes.opt("payouts")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Accept a payout."""
        return await money.accept(request, CreatePayout, drafts.payout, self.path)

    @get("/{payout_id:str}")
    async def read(self, request: Authenticated, payout_id: FromPath[str]) -> Response[bytes]:
        """One payout."""
        async with services_of(request).reading() as connection:
            payout = await money.find(connection, request.user, payout_id, Kind.PAYOUT)
        return answer(views.payment_json(payout))

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of payouts, newest first."""
        query, user = cursors.read_query(request.scope, PayoutQuery), request.user
        async with services_of(request).reading() as connection:
            found = await store.page(
                connection, user.merchant_id, user.livemode, _filters(query), after_id(query), query.limit + 1
            )
        return page_by_id([(each.id, views.payment_json(each)) for each in found], query.limit)

    @post("/{payout_id:str}/cancel", status_code=200)
    async def cancel(self, request: Authenticated, payout_id: FromPath[str]) -> Response[bytes]:
        """Cancel what cannot have been sent yet."""
        required_key(request.scope)
        body = await read_json(request, Nothing)
        return await money.act(request, payout_id, body, act_on_payment.cancel(), kind=Kind.PAYOUT)

    @post("/{payout_id:str}/resolve", status_code=200, opt=scopes.opt("reviews"))
    async def resolve(self, request: Authenticated, payout_id: FromPath[str]) -> Response[bytes]:
        """End a review with a person's decision, which is audited."""
        return await money.resolve(request, payout_id, Kind.PAYOUT)


def _filters(query: PayoutQuery) -> store.Filters:
    account = None if query.account is None else ids.read(ids.ACCOUNT, query.account) or ids.NIL
    return store.Filters(
        kind=Kind.PAYOUT,
        status=tuple(query.status) or None,
        provider=query.provider,
        account=account,
        reference=query.reference,
        phone=None if query.phone is None else rules.phone_filter(query.phone),
        currency=query.currency,
        amount=query.amount,
        review=query.review,
        created_from=query.created_from,
        created_to=query.created_to,
    )
