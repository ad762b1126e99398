"""/v1/refunds: create, read, list."""

from litestar import Controller, Response, get, post
from litestar.params import FromPath

from gateway import ids
from gateway.http import cursors, money, prefer, scopes
from gateway.http.cursors import PageQuery
from gateway.http.handling import Authenticated, after_id, answer, missing, page_by_id, read_id, services_of
from gateway.http.idempotency import required_key
from gateway.http.json_body import read_json
from gateway.payments import rules, views
from gateway.payments.model import RefundStatus
from gateway.payments.requests import CreateRefund
from gateway.store import refunds as store
from gateway.usecases import act_on_payment


class RefundQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """The filters of GET /v1/refunds; `status` may repeat."""

    payment: str | None = None
    status: tuple[RefundStatus, ...] = ()


class RefundController(Controller):
    """Refunds of the key's merchant, in the key's mode."""

    path = "/v1/refunds"
    opt = scopes.opt("refunds")

    @post()
    async def create(self, request: Authenticated) -> Response[bytes]:
        """Give a payment back, or a part of it. `Prefer: wait=N` holds the answer until it is known to have gone."""
        required_key(request.scope)
        body = await read_json(request, CreateRefund)
        metadata = body.value.metadata or {}
        rules.check_metadata(metadata)
        services, wait_s = services_of(request), prefer.wait_s(request.scope)
        acted = await act_on_payment.act(
            services,
            money.asked_of(request, body.value.payment, body),
            act_on_payment.refund(body.value.amount, body.value.reason, metadata),
            show=act_on_payment.refund_answer,
        )
        assert acted.operation_id is not None, "a refund has the id of its operation"
        shown = ids.show(ids.REFUND, acted.operation_id)
        content = acted.body
        if wait_s:
            await money.wait_until_moved(services, acted.operation_id, wait_s)
            content = await _read(request, shown)
        headers = {"Location": f"{self.path}/{shown}", **prefer.applied(wait_s)}
        return answer(content, 201, headers, replayed=acted.replayed)

    @get("/{refund_id:str}")
    async def read(self, request: Authenticated, refund_id: FromPath[str]) -> Response[bytes]:
        """One refund."""
        return answer(await _read(request, refund_id))

    @get()
    async def page(self, request: Authenticated) -> Response[bytes]:
        """A page of refunds, newest first."""
        query, user = cursors.read_query(request.scope, RefundQuery), request.user
        payment = None if query.payment is None else ids.read(ids.PAYMENT, query.payment) or ids.NIL
        filters = store.Filters(payment=payment, status=tuple(query.status) or None)
        async with services_of(request).reading() as connection:
            found = await store.page(
                connection, user.merchant_id, user.livemode, filters, after_id(query), query.limit + 1
            )
        return page_by_id([(each.id, views.refund_json(each)) for each in found], query.limit)


async def _read(request: Authenticated, refund_id: str) -> bytes:
    wanted = read_id(ids.REFUND, refund_id, "refund")
    async with services_of(request).reading() as connection:
        refund = await store.get(connection, request.user.merchant_id, request.user.livemode, wanted)
    if refund is None:
        raise missing("refund")
    return views.refund_json(refund)
