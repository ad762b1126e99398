"""Statistics for the installation's owners, over all merchants."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gateway import ids
from gateway.payments.model import Kind
from gateway.payments.outcome_sources import Word
from gateway.payments.views import timestamp
from gateway.services import Services
from gateway.store import outcome_sources
from gateway.store import statistics as store
from gateway.store.outcome_sources import AccountSources
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


class CallbackSources(Struct, kw_only=True):
    """How outcomes of an account became known in the last two hours: by answer, by callback, by a query of ours.

    `state`: coming; silent (they used to come, and stopped); unused; too_few (to say anything).
    """

    account: str
    provider: str
    livemode: bool
    answers: int
    callbacks: int
    queries: int
    callback_lag_seconds: float | None
    state: Word


class StatisticsObject(Struct, kw_only=True):
    """How an installation does. `payments`, `payouts` and `volumes` are of those made in the window.

    `complete` is false where the window has more of them than are counted: then the newest are. The rest is as it is
    now: operations whose outcome is unknown, payments that a person must look at, records that no worker could handle,
    and how outcomes of each account became known of late.
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
    callbacks: list[CallbackSources]


async def statistics(services: Services, since: datetime, until: datetime) -> bytes:
    """The object as JSON."""
    async with services.reading() as connection:
        counted, complete = await store.payments(connection, since, until)
        waiting = await store.waiting(connection)
        sources = await outcome_sources.of_accounts(connection, services.clock.now())
    shown = StatisticsObject(
        created_from=timestamp(since),
        created_to=timestamp(until),
        complete=complete,
        payments=by_status(each for each in counted if each.kind == Kind.PAYMENT),
        payouts=by_status(each for each in counted if each.kind == Kind.PAYOUT),
        volumes=volumes(counted),
        callbacks=[_callbacks(each) for each in sources],
        **msgspec.structs.asdict(waiting),
    )
    return json.dumps(msgspec.to_builtins(shown)).encode()  # sums may be more than 64 bits, which msgspec refuses


def _callbacks(sources: AccountSources) -> CallbackSources:
    lag_s = sources.callback_lag_s
    return CallbackSources(
        account=ids.show(ids.ACCOUNT, sources.account_id),
        provider=sources.provider,
        livemode=sources.livemode,
        answers=sources.answers,
        callbacks=sources.callbacks,
        queries=sources.queries,
        callback_lag_seconds=None if lag_s is None else round(lag_s, 3),
        state=sources.word,
    )


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
