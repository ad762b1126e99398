"""The audit trail as a chain of hashes, one for each merchant and mode: pure.

Each sealed row has a position (1, 2, 3, …), the hash of the row before it, and a hash of its own: SHA-256 over the
canonical JSON of the audit event as the API shows it, less the member `hash`. So whoever can list the trail can
recompute it. An anchor is the head of a chain, signed (HMAC-SHA256) under SECRET_KEY: a database alone cannot make one,
so that nobody can rewrite what is anchored.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from gateway.canonical_json import canonical

GENESIS: Final = bytes(32)  # what stands before the first row

Reason: TypeAlias = Literal["missing", "inserted", "edited", "unlinked", "anchor_differs", "unanchored", "not_as_kept"]


class Anchor(Struct, frozen=True, kw_only=True):
    """The head of a chain at one time: the place and hash of its last row, and the signature over both.

    With `is_floor`, signed as such, the chain begins after it: the rows up to it were dropped for their age.
    """

    position: int
    hash: bytes
    signature: bytes
    created_at: datetime
    is_floor: bool = False


class Link(Struct, frozen=True, kw_only=True):
    """A sealed row: its place, its hashes as stored, its hash as computed, and the anchor at it, if there is one."""

    id: UUID
    position: int
    prev_hash: bytes | None
    hash: bytes | None
    computed: bytes
    anchor_hash: bytes | None = None
    anchor_signature: bytes | None = None


class Bad(Struct, frozen=True, kw_only=True):
    """Where a chain is broken first, and how. `id` is the row that stands there, if one does."""

    position: int
    id: UUID | None
    reason: Reason


class Chain(Struct, frozen=True, kw_only=True):
    """Whose chain, in which mode, and the keys under which its anchors may be signed, the current one first."""

    merchant_id: UUID
    livemode: bool
    keys: Sequence[bytes]

    def sign(self, position: int, digest: bytes, *, is_floor: bool = False) -> bytes:
        """The signature of an anchor."""
        return hmac.digest(self.keys[0], self._head(position, digest, is_floor), "sha256")

    def is_signed(self, position: int, digest: bytes, signature: bytes, *, is_floor: bool = False) -> bool:
        """Whether we signed this."""
        head = self._head(position, digest, is_floor)
        return any(hmac.compare_digest(hmac.digest(key, head, "sha256"), signature) for key in self.keys)

    def _head(self, position: int, digest: bytes, is_floor: bool) -> bytes:
        head = {"merchant": self.merchant_id.hex, "livemode": self.livemode, "position": position, "hash": digest.hex()}
        return canonical(head | {"floor": True} if is_floor else head)


def digest(shown: Mapping[str, Any]) -> bytes:
    """The hash of an audit event: of what the API shows, `prev_hash` and `position` included, `hash` not."""
    return sha256(canonical({name: value for name, value in shown.items() if name != "hash"})).digest()


class Walk:
    """Follows a chain row by row, in the order of positions; `bad` is the first place that does not hold.

    `position` is that of the last row that holds, and `checked` how many rows that were.
    """

    def __init__(self, chain: Chain, kept: tuple[int, bytes] | None = None, floor: Anchor | None = None) -> None:
        """`kept`: a position and the hash that somebody noted for it earlier. `floor`: where the chain begins."""
        self._chain, self._kept = chain, kept
        self._first, self._head = (0, GENESIS) if floor is None else (floor.position, floor.hash)
        self.position = self._first
        self.bad = None if floor is None else self._bad_floor(floor)

    @property
    def checked(self) -> int:
        """How many rows hold."""
        return self.position - self._first

    def _bad_floor(self, floor: Anchor) -> Bad | None:
        reason: Reason | None = None
        if not self._chain.is_signed(floor.position, floor.hash, floor.signature, is_floor=True):
            reason = "anchor_differs"
        elif self._kept is not None and self._kept[0] == floor.position and self._kept[1] != floor.hash:
            reason = "not_as_kept"
        return None if reason is None else Bad(position=floor.position, id=None, reason=reason)

    def follow(self, link: Link) -> bool:
        """Take the next row; whether the chain holds up to it."""
        reason = self._reason(link)
        if reason is None:
            self.position, self._head = link.position, link.computed
            return True
        position = self.position + 1 if reason == "missing" else link.position
        self.bad = Bad(position=position, id=None if reason == "missing" else link.id, reason=reason)
        return False

    def end(self, last: Anchor | None) -> None:
        """There are no more rows up to `last`, the newest anchor."""
        if self.bad is None and last is not None and last.position > self.position:
            self.bad = Bad(position=self.position + 1, id=None, reason="missing")
        if self.bad is None and self._kept is not None and self._kept[0] > self.position:
            self.bad = Bad(position=self.position + 1, id=None, reason="missing")

    def _reason(self, link: Link) -> Reason | None:
        expected = self.position + 1
        if link.position != expected:
            return "missing" if link.position > expected else "inserted"
        if link.hash != link.computed:
            return "edited"
        if link.prev_hash != self._head:
            return "unlinked"
        if self._kept is not None and self._kept[0] == link.position and self._kept[1] != link.computed:
            return "not_as_kept"
        return None if self._is_anchored_as_it_is(link) else "anchor_differs"

    def _is_anchored_as_it_is(self, link: Link) -> bool:
        if link.anchor_hash is None or link.anchor_signature is None:
            return True
        signed = self._chain.is_signed(link.position, link.anchor_hash, link.anchor_signature)
        return signed and link.anchor_hash == link.computed
