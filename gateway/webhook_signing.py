"""Signatures of webhooks: Standard Webhooks 1.0.0, `v1` (HMAC-SHA256), and on wish `v1a` (ed25519) beside it.

Signed is `{webhook-id}.{webhook-timestamp}.{body}`, the very bytes that are sent.
"""

import base64
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from standardwebhooks import Webhook

SECRET_BYTES: Final = 32  # the specification asks for 24 to 64


class SigningKeys(Struct, frozen=True, kw_only=True):
    """What signs for one endpoint: a secret that the merchant shares, and perhaps the seed of a key pair of ours."""

    secret: bytes
    seed: bytes | None = None

    @property
    def shared(self) -> str:
        """The secret as the merchant keeps it: "whsec_…"."""
        return "whsec_" + _base64(self.secret)

    @property
    def public_key(self) -> str | None:
        """What verifies `v1a` signatures: "whpk_…"."""
        if self.seed is None:
            return None
        return "whpk_" + _base64(Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())


def new_keys(*, asymmetric: bool) -> SigningKeys:
    """Random keys; `asymmetric` with a key pair."""
    return SigningKeys(secret=os.urandom(SECRET_BYTES), seed=os.urandom(32) if asymmetric else None)


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(SigningKeys).decode


def headers(keys: Sequence[SigningKeys], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one attempt, with the signatures of all keys."""
    signatures = [signature for each in keys for signature in _signatures(each, message_id, at, body)]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _signatures(keys: SigningKeys, message_id: str, at: datetime, body: bytes) -> list[str]:
    made = [Webhook(keys.secret).sign(message_id, at, body.decode())]
    if keys.seed is not None:
        signed = b"%s.%d.%s" % (message_id.encode(), int(at.timestamp()), body)
        made.append("v1a," + _base64(Ed25519PrivateKey.from_private_bytes(keys.seed).sign(signed)))
    return made


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
