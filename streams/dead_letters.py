"""Dead letters: records that no handler can use, kept with their bytes, for people.

The row is the truth. The copy on `<topic>.dlq` is for those who work with Kafka's tools, and may be missing.
"""

import re
import socket
from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid5

import msgspec
import structlog
from msgspec import Struct

from gateway import ids
from gateway.metrics import METRICS
from gateway.store import dead_letters
from gateway.store.database import Pool
from gateway.store.dead_letters import DeadLetter
from providers import redaction
from streams import topics
from streams.broker import Record
from streams.codec import decode
from streams.publisher import Message, Publisher

ERROR_BYTES: Final = 512
COPY_LIMIT_S: Final = 5.0
RESEND_LIMIT_S: Final = 5.0

_NAMESPACE: Final = UUID("6f0d9a52-7c0e-5f4e-9d0a-3b7a3c1d2e4f")  # any constant
_SECRET_TEXT: Final = (
    (re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE), rf"\1 {redaction.MASK}"),
    (re.compile(r"\b([sr]k_(?:test|live)_|whsec_)[0-9A-Za-z+/=]+"), rf"\1{redaction.MASK}"),
    (
        re.compile(
            r"(\w*(?:token|secret|passw|passkey|authorization|api_?key|cookie|credential|signature)\w*[\"']?\s*[=:]\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&]+)",
            re.IGNORECASE,
        ),
        rf"\1{redaction.MASK}",
    ),
)

log = structlog.get_logger(__name__)


async def bury(pool: Pool, publisher: Publisher, record: Record, group: str, error: Exception) -> None:
    """Keep a record that consumer `group` (plain name) cannot use: once it returns, the record may be forgotten.

    It is the merchant's whose account or callback it names, if one can be read. Burying the same record twice makes one
    row. Raises what asyncpg raises when the row cannot be written; a copy that
    Kafka does not take is logged only.
    """
    reason, named = _reason(error), _named(record.value)
    async with pool.acquire() as connection:
        merchant_id, livemode = await dead_letters.owner(connection, named.account_id, named.callback_id)
    await pool.execute(
        """
        insert into dead_letters
            (id, topic, partition, "offset", consumer_group, key, value, headers, error_class, error, merchant_id,
             livemode)
        values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9, $10, $11, $12)
        on conflict do nothing
        """,
        identity(record, group),
        record.topic,
        record.partition,
        record.offset,
        group,
        record.key,
        record.value,
        _shown(record),
        type(error).__name__,
        reason,
        merchant_id,
        livemode,
    )
    METRICS.dead_letters.inc()
    log.error("record.buried", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)
    if not await publisher.publish_in_order([_copy(record, group, error, reason)], limit_s=COPY_LIMIT_S):
        log.warning("record.not_copied", topic=topics.dead(record.topic), offset=record.offset)


async def resend(publisher: Publisher, letters: Sequence[DeadLetter], *, limit_s: float = RESEND_LIMIT_S) -> int:
    """Send these records to their topics again, bytes and key as they were; how many were acknowledged.

    Every consumer finds in Postgres whether there is anything to do, so a record may be sent any number of times.
    Headers are not sent: some were masked.
    """
    messages = [Message(topic=each.topic, lp=each.partition, key=each.key, value=each.value) for each in letters]
    return await publisher.publish_in_order(messages, limit_s=limit_s)


class _Named(Struct):
    """What a record may name, whatever else is wrong with it."""

    account: str = ""
    callback: str = ""

    @property
    def account_id(self) -> UUID | None:
        """The account of a command."""
        return ids.read(ids.ACCOUNT, self.account)

    @property
    def callback_id(self) -> UUID | None:
        """The callback that waits to be read."""
        return ids.read(ids.CALLBACK, self.callback)


def _named(value: bytes | None) -> _Named:
    found = decode(_Named, value)
    return found if isinstance(found, _Named) else _Named()


def identity(record: Record, group: str) -> UUID:
    """The dead letter's id: of one place in one log and one group. (The time tells a topic from its successor.)"""
    return uuid5(_NAMESPACE, f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp_ms}/{group}")


def _copy(record: Record, group: str, error: Exception, reason: str) -> Message:
    added = {
        "dlq_topic": record.topic,
        "dlq_partition": str(record.partition),
        "dlq_offset": str(record.offset),
        "dlq_timestamp": str(record.timestamp_ms),
        "dlq_group": group,
        "dlq_error_class": type(error).__name__,
        "dlq_error": reason,
        "dlq_host": socket.gethostname(),
    }
    return Message(
        topic=topics.dead(record.topic),
        lp=record.partition,
        key=record.key,
        value=record.value,
        headers=(*record.headers, *((name, value.encode()) for name, value in added.items())),
    )


def _shown(record: Record) -> str:
    """The headers as a JSON list of [name, value or null], in order, those that authenticate masked."""
    return msgspec.json.encode([_shown_header(name, value) for name, value in record.headers]).decode()


def _shown_header(name: str, value: bytes | None) -> tuple[str, str | None]:
    if value is None:
        return _storable(name), None
    [(shown_name, shown)] = redaction.mask_headers({_storable(name): _storable(value)}).items()
    return shown_name, shown


def _reason(error: Exception) -> str:
    """What went wrong, at most ERROR_BYTES of UTF-8, without what looks like a secret or a card number."""
    text = _storable(str(error) or type(error).__name__)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return redaction.mask_text(text).encode()[:ERROR_BYTES].decode(errors="ignore")


def _storable(text: str | bytes) -> str:
    """Text that PostgreSQL takes: what is not UTF-8, and NUL, are written as escapes."""
    data = text if isinstance(text, bytes) else text.encode(errors="backslashreplace")
    return data.decode(errors="backslashreplace").replace("\0", r"\x00")
