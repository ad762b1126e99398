"""What providers send to us: callbacks of the sandbox and of C-Pay, stored as the API stores them."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from gateway import ids
from gateway.clock import Clock
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import callbacks, engine
from gateway.store.accounts import Configuration
from gateway.store.callbacks import StoredCallback
from gateway.store.database import Pool
from gateway.store.tables import Account
from gateway.usecases.handle_callback import CallbackHandler
from providers import references
from providers.contract import CallbackRequest, Secret
from providers.cpay.spec import CPayAccount
from providers.daraja import cases as daraja
from providers.registry import PROVIDERS
from providers.sandbox.spec import SandboxAccount
from tests.engine.teller import Teller

SANDBOX = SandboxAccount(webhook_secret=Secret("whsec_" + base64.b64encode(b"s" * 24).decode()))
OTHER_SANDBOX = SandboxAccount(webhook_secret=Secret("whsec_" + base64.b64encode(b"o" * 24).decode()))
CPAY = CPayAccount(
    base_url="http://127.0.0.1:1",
    api_key=Secret("cpay-key"),
    client_code="C",
    hmac_secret=Secret("hmac"),
    merchant_code="M",
)


class Accounts(Struct, frozen=True, kw_only=True):
    """One merchant's accounts: two at the sandbox, with secrets of their own, one at C-Pay and one at Daraja."""

    sandbox: Account
    other_sandbox: Account
    cpay: Account
    daraja: Account


async def create_accounts(settings: Settings) -> Accounts:
    """A merchant with accounts."""
    own = engine.create(settings.database_uri)
    configuration = Configuration(own, Sealer(settings.key("seal")))
    try:
        merchant = await configuration.create_merchant("Shop")
        return Accounts(
            sandbox=await configuration.create_account(merchant.id, "sandbox", False, SANDBOX),
            other_sandbox=await configuration.create_account(merchant.id, "sandbox", False, OTHER_SANDBOX),
            cpay=await configuration.create_account(merchant.id, "cpay", False, CPAY),
            daraja=await configuration.create_account(merchant.id, "daraja", False, daraja.ACCOUNT),
        )
    finally:
        await own.dispose()


async def take_its_name(tell: Teller, provider: str) -> str:
    """Give the charge of a story the reference that it would have at this provider."""
    reference = references.make(PROVIDERS[provider].reference, tell.operation_id)
    await tell.story.force(reference=reference)
    return reference


def charge_said(reference: str, status: str, *, event: str | None = None, **charge: Any) -> bytes:
    """The body of a sandbox callback."""
    said = {"id": f"ch_{reference}", "reference": reference, "status": status, "amount": 15000, "currency": "LSL"}
    return msgspec.json.encode({"id": event or f"evt_{uuid.uuid4().hex}", "transaction": {**said, **charge}})


def signed(body: bytes, account: SandboxAccount = SANDBOX, *, at: datetime | None = None) -> dict[str, str]:
    """The headers of a Standard Webhook of this body."""
    timestamp = str(int((at or datetime.now(UTC)).timestamp()))
    key = base64.b64decode(account.webhook_secret.removeprefix("whsec_"))
    signature = hmac.digest(key, b".".join((b"msg_1", timestamp.encode(), body)), hashlib.sha256)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }


def cpay_said(reference: str, status: str, transaction: str | None = "CP1") -> bytes:
    """The body of a C-Pay callback."""
    return msgspec.json.encode(
        {"ExtTransactionId": reference, "CPayTransactionId": transaction, "PaymentRequestStatus": status}
    )


async def arrive(
    pool: Pool,
    account: Account,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    operation_id: uuid.UUID | None = None,
    at: datetime | None = None,
    query: str = "",
) -> uuid.UUID:
    """Store a callback to this account's address; `operation_id` is the one in the path."""
    now = at or Clock().now()
    callback = StoredCallback(
        id=ids.new(at_ms=int(now.timestamp() * 1000)),
        merchant_id=account.merchant_id,
        account_id=account.id,
        provider=account.provider,
        operation_id=operation_id,
        state="received",
        received_at=now,
        request=CallbackRequest(method="POST", query=query, headers=headers or {}, body=body, received_at=now),
    )
    async with pool.acquire() as connection:
        await callbacks.insert(connection, callback, publish_at=now)
    return callback.id


async def reference_of(tell: Teller) -> str:
    return str((await tell.story.operation())["reference"])


async def stored(pool: Pool, callback_id: UUID) -> asyncpg.Record:
    row = await pool.fetchrow("select * from callbacks where id = $1", callback_id)
    assert row is not None
    return row


async def handled(pool: Pool, handler: CallbackHandler, callback_id: UUID) -> str:
    """Handle it; the result, which is also the one that is stored."""
    result = await handler.handle(callback_id)
    row = await stored(pool, callback_id)
    assert (row["state"], row["result"]) == ("processed", result)
    assert row["next_publish_at"] is None
    return result
