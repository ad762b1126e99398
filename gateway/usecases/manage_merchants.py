"""The merchants of an installation: a new one comes with one test key, which is shown once."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from gateway import ids
from gateway.payments.views import encode, timestamp
from gateway.services import Services
from gateway.store import api_keys, merchants
from gateway.store.database import Connection
from gateway.store.merchants import StoredMerchant
from gateway.usecases.configure import Asker, Change, Configured, configure
from gateway.usecases.manage_api_keys import NewKey, made


class MerchantObject(Struct, kw_only=True):
    """A tenant."""

    id: str
    object: Literal["merchant"] = "merchant"
    name: str
    created_at: str
    updated_at: str


class NewMerchantObject(MerchantObject, kw_only=True):
    """A new tenant with the text of its first key, a test key, which is shown this once."""

    api_key: str


async def create(services: Services, asker: Asker, name: str) -> Configured:
    """Make a merchant and its first test key."""

    async def work(connection: Connection, now: datetime) -> Change:
        merchant_id = ids.new_at(now)
        merchant = StoredMerchant(id=merchant_id, name=name, created_at=now, updated_at=now)
        await merchants.insert(connection, merchant)
        key, text = made(merchant.id, False, NewKey(name="first"), now)
        await api_keys.insert(connection, key)
        return Change(
            action="merchant.create",
            object_id=merchant.id,
            shown_id=ids.show(ids.MERCHANT, merchant.id),
            changes={"name": name, "api_key": ids.show(ids.API_KEY, key.id)},
            body=encode(NewMerchantObject(**_members(merchant), api_key=text)),
            shows_secret=True,
        )

    return await configure(services, asker, work)


def shown(merchant: StoredMerchant) -> bytes:
    """The merchant as JSON."""
    return encode(MerchantObject(**_members(merchant)))


def _members(merchant: StoredMerchant) -> dict[str, Any]:
    return {
        "id": ids.show(ids.MERCHANT, merchant.id),
        "name": merchant.name,
        "created_at": timestamp(merchant.created_at),
        "updated_at": timestamp(merchant.updated_at),
    }
