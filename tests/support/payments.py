"""Payments in any state, put straight into the tables, and what they look like afterwards."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from gateway import ids
from gateway.clock import Clock
from gateway.payments.model import Details, Operation, Payment, State, Status
from gateway.payments.views import event, payment_json
from gateway.store import accept
from gateway.store.accept import NewPayment
from gateway.store.database import Pool
from providers.contract import MobileMoney, Verb

ACCOUNT = ids.new()
MERCHANT = ids.new()


def new_payment(
    key: str,
    *,
    now: datetime,
    provider: str = "sandbox",
    amount: int = 15000,
    expires_in_s: float = 3600,
    merchant: UUID = MERCHANT,
    account: UUID = ACCOUNT,
    fingerprint: bytes = b"f" * 32,
    payment_id: UUID | None = None,
    **details: Any,
) -> NewPayment:
    """Everything that accepting a payment writes."""
    payment_id = payment_id or ids.new(ids.logical_partition(merchant, False, key))
    payment = Payment(
        lp=ids.lp_of(payment_id),
        id=payment_id,
        merchant_id=merchant,
        livemode=False,
        status=Status.PENDING,
        amount=amount,
        currency="LSL",
        country="LS",
        phone="+26658123000",
        reference=None,
        account_id=account,
        provider=provider,
        details=Details(method=MobileMoney("+26658123000"), **details),
        route=msgspec.Raw(b"{}"),
        sequence=1,
        expires_at=now + timedelta(seconds=expires_in_s),
        created_at=now,
        updated_at=now,
    )
    operation_id = ids.new(payment.lp)
    operation = Operation(
        lp=payment.lp,
        id=operation_id,
        payment_id=payment_id,
        merchant_id=merchant,
        account_id=account,
        provider=provider,
        settings_version=1,
        verb=Verb.CHARGE,
        state=State.PREPARED,
        amount=amount,
        currency="LSL",
        reference=operation_id.hex,
        next_publish_at=now + timedelta(seconds=10),
        created_at=now,
        updated_at=now,
    )
    return NewPayment(
        key=key,
        fingerprint=fingerprint,
        payment=payment,
        operation=operation,
        event=event("payment.created", payment, now),
        content=payment_json(payment),
    )


class Story:
    """One payment in the database, put into any state, and read back."""

    def __init__(self, pool: Pool, new: NewPayment) -> None:
        self.pool, self.payment_id, self.operation_id = pool, new.payment.id, new.operation.id
        self.ids: dict[str, UUID] = {"payment_id": new.payment.id, "operation_id": new.operation.id}

    @classmethod
    async def begin(cls, pool: Pool, key: str, **how: Any) -> "Story":
        """Accept a payment."""
        new = new_payment(key, now=how.pop("now", None) or Clock().now(), **how)
        async with pool.acquire() as connection:
            await accept.accept(connection, [new])
        return cls(pool, new)

    async def force(self, status: Status | None = None, state: State | None = None, **columns: Any) -> None:
        """Put payment and charge into a state that no fact brought about."""
        if status is not None:
            await self.pool.execute("update payments set status = $2 where id = $1", self.payment_id, str(status))
        if state is not None:
            await self.pool.execute("update operations set state = $2 where id = $1", self.operation_id, str(state))
        for name, value in columns.items():
            await self.pool.execute(f"update operations set {name} = $2 where id = $1", self.operation_id, value)

    async def payment(self) -> asyncpg.Record:
        """The payment's row."""
        row = await self.pool.fetchrow("select * from payments where id = $1", self.payment_id)
        assert row is not None
        return row

    async def operation(self, verb: str = "charge") -> asyncpg.Record:
        """The newest operation of a verb."""
        row = await self.pool.fetchrow(
            "select * from operations where payment_id = $1 and verb = $2 order by id desc limit 1",
            self.payment_id,
            verb,
        )
        assert row is not None, f"there is no {verb}"
        return row

    async def events(self) -> list[str]:
        """The types of the payment's events, in order of their sequence, which has no gap."""
        rows = await self.pool.fetch(
            "select type, sequence from events where object_id = $1 order by sequence", self.payment_id
        )
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
        return [row["type"].removeprefix("payment.") for row in rows]

    async def review(self) -> str | None:
        """The reason of the open review."""
        row = await self.payment()
        return None if row["review"] is None else str(msgspec.json.decode(row["review"])["reason"])
