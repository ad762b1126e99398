"""An account's settings (the provider's own Struct) as the sealed bytes that are stored."""

from uuid import UUID

import msgspec
from msgspec import Struct

from gateway.sealing import Sealer, place
from gateway.settings import decode_secret
from providers.contract import Secret
from providers.registry import PROVIDERS


def seal_settings(sealer: Sealer, settings: Struct, *, account_id: UUID, version: int, merchant_id: UUID) -> bytes:
    """The settings as JSON, sealed for the row of `account_settings` that they go to."""
    return sealer.seal(
        msgspec.json.encode(settings, enc_hook=_plain),
        place=place("account_settings", "sealed", account_id, version, merchant_id),
    )


def open_settings(
    sealer: Sealer, sealed: bytes, *, provider: str, account_id: UUID, version: int, merchant_id: UUID
) -> Struct:
    """The settings as the provider's Struct (`ProviderSpec.settings`).

    Raises `SealBroken`, and msgspec's `ValidationError` when the provider's Struct gained a member without a default.
    """
    plaintext = sealer.open(sealed, place=place("account_settings", "sealed", account_id, version, merchant_id))
    return msgspec.json.decode(plaintext, type=PROVIDERS[provider].settings, dec_hook=decode_secret)


def _plain(value: object) -> str:
    if isinstance(value, Secret):
        return str(value)
    raise TypeError(f"A provider's settings cannot hold a {type(value).__name__}.")
