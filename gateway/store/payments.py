"""Reading payments and payouts, always as one merchant in one mode."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.model import Kind, Payment, Status
from gateway.store.database import Connection
from gateway.store.roots import read_payment

GET: Final = "select * from payments where lp = $1 and id = $2 and merchant_id = $3 and livemode = $4 and kind = $5"
GET_ANY: Final = "select * from payments where lp = $1 and id = $2"
UNDER_REVIEW: Final = "select * from payments where review is not null order by review ->> 'since', id limit 1000"
PROGRESS: Final = """
select id, status from payments where (lp, id) in (select * from unnest($1::smallint[], $2::uuid[]))
union all
select id, state from operations where (lp, id) in (select * from unnest($1::smallint[], $2::uuid[]))
"""


class Filters(Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; None means any. `created_from` is inclusive, `created_to` exclusive."""

    kind: Kind = Kind.PAYMENT
    status: tuple[str, ...] | None = None
    provider: str | None = None
    account: UUID | None = None
    reference: str | None = None
    phone: str | None = None
    currency: str | None = None
    amount: int | None = None
    review: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


SKEW: Final = timedelta(hours=1)  # an id's time is its process' own clock's, `created_at` the database's
_CONDITIONS: Final = {
    "provider": "provider = ${n}",
    "account": "account_id = ${n}",
    "reference": "reference = ${n}",
    "phone": "phone = ${n}",
    "currency": "currency = ${n}",
    "amount": "amount = ${n}",
    "review": "review is not null and review ->> 'reason' = ${n}",
    "created_from": "created_at >= ${n}",
    "created_to": "created_at < ${n}",
    "id_from": "id >= ${n}",
    "id_to": "id < ${n}",
    "after": "id < ${n}",
}


async def get(
    connection: Connection, merchant_id: UUID, livemode: bool, payment_id: UUID, kind: Kind = Kind.PAYMENT
) -> Payment | None:
    """One payment (or payout) of this merchant and mode, or None."""
    record = await connection.fetchrow(GET, ids.lp_of(payment_id), payment_id, merchant_id, livemode, kind)
    return None if record is None else read_payment(record)


async def page(
    connection: Connection, merchant_id: UUID, livemode: bool, filters: Filters, after: UUID | None, limit: int
) -> list[Payment]:
    """Up to `limit` payments (or payouts), newest first, after (older than) the payment `after`."""
    parameters: list[Any] = [merchant_id, livemode, limit, filters.kind]
    conditions = ["merchant_id = $1", "livemode = $2", "kind = $4"]
    if filters.status is not None:
        conditions.append(_status(filters.status))
    given = msgspec.structs.asdict(filters) | _bounds(filters) | {"after": after}
    for name, condition in _CONDITIONS.items():
        if given[name] is not None:
            parameters.append(given[name])
            conditions.append(condition.format(n=len(parameters)))
    sql = f"select * from payments where {' and '.join(conditions)} order by id desc limit $3"
    return [read_payment(record) for record in await connection.fetch(sql, *parameters)]


def _status(wanted: Sequence[str]) -> str:
    """As words of the statement, for only so can partial indexes be used, whatever values a plan was made for."""
    words = [f"'{Status(each)}'" for each in sorted(wanted)]
    return f"status in ({', '.join(words)})"


def _bounds(filters: Filters) -> dict[str, UUID | None]:
    """The ids between which the payments of a time are: the index is in their order."""
    start, end = filters.created_from, filters.created_to
    return {
        "id_from": None if start is None else ids.day_floor(start - SKEW),
        "id_to": None if end is None else ids.day_floor(end + SKEW),
    }


async def get_any(connection: Connection, payment_id: UUID) -> Payment | None:
    """One payment, whosever it is: for callers that hold a token that only we can make."""
    record = await connection.fetchrow(GET_ANY, ids.lp_of(payment_id), payment_id)
    return None if record is None else read_payment(record)


async def under_review(connection: Connection) -> list[Payment]:
    """The payments of all merchants that a person must look at, oldest review first: for operators."""
    return [read_payment(record) for record in await connection.fetch(UNDER_REVIEW)]


async def progress(connection: Connection, object_ids: list[UUID]) -> dict[UUID, str]:
    """The status of each of these payments, and the state of each of these operations: what waiters look at."""
    records = await connection.fetch(PROGRESS, [ids.lp_of(each) for each in object_ids], object_ids)
    return {record["id"]: record["status"] for record in records}
