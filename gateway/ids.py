"""Ids: TypeIDs (prefix, underscore, 26 characters) over UUIDv7, with the logical partition in the last byte.

A payment's logical partition is `sha256(merchant ‖ mode ‖ key)[0]`; refunds, payouts' and payments' operations carry
their root's. Kafka partitions, and one day Postgres shards, follow from an id alone. In memory and in Postgres an id
is a UUID; the prefixed form exists only at the edges.
"""

import hashlib
import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from typeid import TypeID
from typeid.codecs import base32
from typeid.errors import TypeIDException

PAYMENT: Final = "pay"
REFUND: Final = "ref"
PAYOUT: Final = "pout"
OPERATION: Final = "op"
EVENT: Final = "evt"
ACCOUNT: Final = "acc"
MERCHANT: Final = "mer"
USER: Final = "usr"
API_KEY: Final = "key"
CALLBACK: Final = "cb"
REQUEST: Final = "req"
DEAD_LETTER: Final = "dl"
AUDIT_EVENT: Final = "aud"
WEBHOOK_ENDPOINT: Final = "whe"
WEBHOOK_DELIVERY: Final = "whd"

SUBJECTS: Final = (PAYMENT, REFUND, PAYOUT, ACCOUNT, WEBHOOK_ENDPOINT)  # what events are about

NIL: Final = UUID(int=0)
_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62


def logical_partition(merchant_id: UUID, livemode: bool, key: str) -> int:
    """0 to 255: where the payment made with this idempotency key lives."""
    return hashlib.sha256(merchant_id.bytes + (b"\x01" if livemode else b"\x00") + key.encode()).digest()[0]


def new(lp: int | None = None, *, at_ms: int | None = None) -> UUID:
    """A UUIDv7 (RFC 9562) of the time `at_ms` (default: now); its last byte is `lp`, or random."""
    milliseconds = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    # An id is no secret (every query also names the merchant), so it need not wait for the kernel's randomness.
    noise = random.getrandbits(74)
    value = (milliseconds << 80) | _VERSION_7 | ((noise >> 62) << 64) | _VARIANT | (noise & (2**62 - 1))
    return UUID(int=value if lp is None else (value & ~0xFF) | lp)


def new_at(at: datetime, lp: int | None = None) -> UUID:
    """As `new`, of the time `at`."""
    return new(lp, at_ms=int(at.timestamp() * 1000))


def lp_of(value: UUID) -> int:
    """The logical partition that an id carries."""
    return value.int & 0xFF


def day_floor(day: datetime) -> UUID:
    """The smallest UUIDv7 of the time `day`: the bound of a partition by day."""
    return of_ms(int(day.timestamp() * 1000))


def of_ms(milliseconds: int) -> UUID:
    """The smallest UUID that carries this time; ids that were made before it are smaller."""
    return UUID(int=milliseconds << 80)


def time_of(value: UUID) -> datetime:
    """When a UUIDv7 was made."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def show(prefix: str, value: UUID) -> str:
    """The public form, "pay_01k…"."""
    return f"{prefix}_{base32.encode(value.bytes)}"


def read(prefix: str, text: str) -> UUID | None:
    """The UUID of a public id, or None when it is malformed or of another type (the API answers 404)."""
    if not text.startswith(prefix + "_") or len(text) != len(prefix) + 27:
        return None
    try:
        return UUID(int=TypeID.from_string(text).uuid.int)
    except (TypeIDException, ValueError):
        return None


def read_any(prefixes: Iterable[str], text: str) -> UUID | None:
    """The UUID of a public id of one of these types, or None."""
    return next((found for prefix in prefixes if (found := read(prefix, text)) is not None), None)
