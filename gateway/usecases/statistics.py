"""Statistics for the installation's owners, over all merchants."""

import json
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gateway.payments.views import timestamp
from gateway.services import Services
from gateway.store import statistics as store
from gateway.store.statistics import Counted

DAY: Final = timedelta(days=1)
LONGEST_WINDOW: Final = timedelta(days=31)


class PaymentCount(Struct, kw_only=True):
    """How many payments of a provider have a status."""

    livemode: bool
    provider: str
    status: str
    payments: int


class Volume(Struct, kw_only=True):
    """What was collected and given back in a currency, in minor units."""

    livemode: bool
    currency: str
    payments: int
    amount_captured: int
    amount_refunded: int


class StatisticsObject(Struct, kw_only=True):
    """How an installation does. `payments` and `volumes` are of payments made in the window.

    `complete` is false where the window has more payments than are counted: then the newest are. The rest is as it is
    now: operations whose outcome is unknown, payments that a person must look at, records that no worker could handle.
    """

    object: Literal["statistics"] = "statistics"
    created_from: str
    created_to: str
    complete: bool
    payments: list[PaymentCount]
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
        payments=payment_counts(counted),
        volumes=volumes(counted),
        **msgspec.structs.asdict(waiting),
    )
    return json.dumps(msgspec.to_builtins(shown)).encode()  # sums may be more than 64 bits, which msgspec refuses


def payment_counts(counted: list[Counted]) -> list[PaymentCount]:
    """Over all currencies."""
    found: dict[tuple[bool, str, str], int] = {}
    for each in counted:
        key = (each.livemode, each.provider, each.status)
        found[key] = found.get(key, 0) + each.payments
    return [
        PaymentCount(livemode=livemode, provider=provider, status=status, payments=payments)
        for (livemode, provider, status), payments in found.items()
    ]


def volumes(counted: list[Counted]) -> list[Volume]:
    """Over all providers and statuses."""
    found: dict[tuple[bool, str], Volume] = {}
    for each in counted:
        volume = found.setdefault(
            (each.livemode, each.currency),
            Volume(livemode=each.livemode, currency=each.currency, payments=0, amount_captured=0, amount_refunded=0),
        )
        volume.payments += each.payments
        volume.amount_captured += each.amount_captured
        volume.amount_refunded += each.amount_refunded
    return [found[key] for key in sorted(found)]
