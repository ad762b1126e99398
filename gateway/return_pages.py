"""The address to which a provider sends the payer back: it names the payment, and only we can make one.

The token is the payment's id and a tag of HMAC-SHA256 over it, so nothing has to be stored.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from gateway.settings import Settings

TAG_BYTES: Final = 16


def token(settings: Settings, payment_id: UUID) -> str:
    """The token of a payment's return page."""
    return base64.urlsafe_b64encode(payment_id.bytes + _tags(settings, payment_id)[0]).rstrip(b"=").decode()


def read(settings: Settings, text: str) -> UUID | None:
    """The payment of a token, or None when we did not make it."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    if len(raw) != 16 + TAG_BYTES:
        return None
    payment_id = UUID(bytes=raw[:16])
    tags = _tags(settings, payment_id)
    return payment_id if any(hmac.compare_digest(raw[16:], tag) for tag in tags) else None


def with_status(return_url: str, payment: str, status: str) -> str:
    """The merchant's address with `payment` and `status` appended: information for the page, never proof."""
    parts = urlsplit(return_url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("payment", payment), ("status", status)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _tags(settings: Settings, payment_id: UUID) -> list[bytes]:
    """The tag under the current key, then under one that is being replaced."""
    keys = settings.keys("return-page")
    return [hmac.digest(key, payment_id.bytes, hashlib.sha256)[:TAG_BYTES] for key in keys]
