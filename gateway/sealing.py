"""Envelope encryption of what must be readable again: provider credentials, one-time passwords.

Each secret is encrypted with a data key of its own, and the data key with the key-encrypting key (AES-256-GCM both), so
that a new SECRET_KEY needs only the data keys wrapped anew. The place of a secret is authenticated with it: copied to
another row, column or merchant, it does not open.

A sealed secret is `version (1 byte) | kek id (8) | nonce (12) | wrapped data key (48) | nonce (12) | ciphertext, tag`.
"""

import os
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_KEK_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12  # random: NIST SP 800-38D allows 2^32 encryptions under one key
_WRAPPED_BYTES: Final = KEY_BYTES + 16
_HEADER_BYTES: Final = len(_VERSION) + _KEK_ID_BYTES
_OVERHEAD_BYTES: Final = _HEADER_BYTES + _NONCE_BYTES + _WRAPPED_BYTES + _NONCE_BYTES + 16


class SealBroken(Exception):
    """A sealed secret cannot be opened; the message is one sentence for the operator, without any of its content."""


def place(table: str, column: str, row_id: UUID, version: int, merchant_id: UUID) -> str:
    """Where a secret lives, as `Sealer` binds it."""
    return f"{table}|{column}|{row_id}|{merchant_id}|{version}"


class Sealer:
    """Seals and opens secrets under one key-encrypting key, `Settings.key("seal")`."""

    def __init__(self, kek: bytes) -> None:
        """Take a key of 32 bytes (else ValueError)."""
        if len(kek) != KEY_BYTES:
            raise ValueError(f"A key-encrypting key has {KEY_BYTES} bytes, not {len(kek)}.")
        self._kek = AESGCM(kek)
        self.kek_id = sha256(kek).digest()[:_KEK_ID_BYTES]

    def seal(self, plaintext: bytes, *, place: str) -> bytes:
        """Encrypt for one place; the same plaintext never gives the same bytes twice."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        bound = _VERSION + place.encode()
        wrapped = _encrypt(self._kek, data_key, bound)
        return _VERSION + self.kek_id + wrapped + _encrypt(AESGCM(data_key), plaintext, bound)

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt what was sealed for this place. Raises `SealBroken`."""
        if len(sealed) < _OVERHEAD_BYTES or sealed[:1] != _VERSION:
            raise SealBroken(f"What is stored at {place} is not a sealed secret of version {_VERSION[0]}.")
        if sealed[1:_HEADER_BYTES] != self.kek_id:
            raise SealBroken(
                f"The secret at {place} was sealed under another SECRET_KEY: start with the one that sealed it."
            )
        bound = _VERSION + place.encode()
        split = _HEADER_BYTES + _NONCE_BYTES + _WRAPPED_BYTES
        try:
            data_key = _decrypt(self._kek, sealed[_HEADER_BYTES:split], bound)
            return _decrypt(AESGCM(data_key), sealed[split:], bound)
        except InvalidTag:
            raise SealBroken(f"The secret at {place} was changed, or was moved there from another place.") from None


def _encrypt(cipher: AESGCM, plaintext: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
