"""Statistics for the installation's owners, over all merchants."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gateway.payments.model import Kind
from gateway.payments.views import timestamp
from gateway.services import Services
from gateway.store import statistics as store
from gateway.store.statistics import Counted

DAY: Final = timedelta(days=1)
LONGEST_WINDOW: Final = timedelta(days=31)


class StatusCount(Struct, kw_only=True):
    """How many payments, or payouts, of a provider have a status."""

    livemode: bool
    provider: str
    status: str
    count: int


class Volume(Struct, kw_only=True):
    """What was collected, given back and paid out in a currency, in minor units."""

    livemode: bool
    currency: str
    amount_captured: int
    amount_refunded: int
    amount_paid_out: int


class StatisticsObject(Struct, kw_only=True):
    """How an installation does. `payments`, `payouts` and `volumes` are of those made in the window.

    `complete` is false where the window has more of them than are counted: then the newest are. The rest is as it is
    now: operations whose outcome is unknown, payments that a person must look at, records that no worker could handle.
    """

    object: Literal["statistics"] = "statistics"
    created_from: str
    created_to: str
    complete: bool
    payments: list[StatusCount]
    payouts: list[StatusCount]
    volumes: list[Volume]
    operations_unknown: int
    reviews_open: int
    dead_letters: int
    merchants: int


async def statistics(services: Services, since: datetime, until: datetime) -> bytes:
    """The object as JSON."""
    async with services.reading() as connection:
        counted, complete = await store.payments(connection, since, until)
        waiting = await store.waiting(connection)
    shown = StatisticsObject(
        created_from=timestamp(since),
        created_to=timestamp(until),
        complete=complete,
        payments=by_status(each for each in counted if each.kind == Kind.PAYMENT),
        payouts=by_status(each for each in counted if each.kind == Kind.PAYOUT),
        volumes=volumes(counted),
        **msgspec.structs.asdict(waiting),
    )
    return json.dumps(msgspec.to_builtins(shown)).encode()  # sums may be more than 64 bits, which msgspec refuses


def by_status(counted: Iterable[Counted]) -> list[StatusCount]:
    """Over all currencies."""
    found: dict[tuple[bool, str, str], int] = {}
    for each in counted:
        key = (each.livemode, each.provider, each.status)
        found[key] = found.get(key, 0) + each.count
    return [
        StatusCount(livemode=livemode, provider=provider, status=status, count=count)
        for (livemode, provider, status), count in found.items()
    ]


def volumes(counted: list[Counted]) -> list[Volume]:
    """Over all providers and statuses."""
    found: dict[tuple[bool, str], Volume] = {}
    for each in counted:
        volume = found.setdefault(
            (each.livemode, each.currency),
            Volume(
                livemode=each.livemode, currency=each.currency, amount_captured=0, amount_refunded=0, amount_paid_out=0
            ),
        )
        volume.amount_paid_out += each.amount_paid_out
        volume.amount_captured += each.amount_captured
        volume.amount_refunded += each.amount_refunded
    return [found[key] for key in sorted(found)]
