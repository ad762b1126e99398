"""Reading refunds, always as one merchant in one mode."""

from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.payments.model import Refund
from gateway.store.database import Connection
from gateway.store.roots import read_refund

GET: Final = "select * from refunds where lp = $1 and id = $2 and merchant_id = $3 and livemode = $4"
PAGE: Final = "select * from refunds where merchant_id = $1 and livemode = $2{conditions} order by id desc limit $3"


class Filters(Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; None means any."""

    payment: UUID | None = None
    status: tuple[str, ...] | None = None


async def get(connection: Connection, merchant_id: UUID, livemode: bool, refund_id: UUID) -> Refund | None:
    """One refund of this merchant and mode, or None."""
    record = await connection.fetchrow(GET, ids.lp_of(refund_id), refund_id, merchant_id, livemode)
    return None if record is None else read_refund(record)


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, filters: Filters, after: UUID | None, limit: int
) -> list[Refund]:
    """Up to `limit` refunds, newest first, after (older than) the refund `after`."""
    parameters: list[Any] = [merchant_id, livemode, limit]
    conditions = ""
    for condition, value in (
        ("id < ${}", after),
        ("status = any(${}::text[])", filters.status),
        ("payment_id = ${}", filters.payment),
        ("lp = ${}", None if filters.payment is None else ids.lp_of(filters.payment)),
    ):
        if value is not None:
            parameters.append(value)
            conditions += f" and {condition.format(len(parameters))}"
    records = await connection.fetch(PAGE.format(conditions=conditions), *parameters)
    return [read_refund(record) for record in records]
