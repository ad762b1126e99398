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
_CONTENT: Final = _HEADER_BYTES + _NONCE_BYTES + _WRAPPED_BYTES  # where the encrypted secret begins
_OVERHEAD_BYTES: Final = _CONTENT + _NONCE_BYTES + 16


class SealBroken(Exception):
    """A sealed secret cannot be opened; the message is one sentence for the operator, without any of its content."""


def place(table: str, column: str, row_id: UUID, version: int, merchant_id: UUID) -> str:
    """Where a secret lives, as `Sealer` binds it."""
    return f"{table}|{column}|{row_id}|{merchant_id}|{version}"


class Sealer:
    """Seals secrets under one key-encrypting key, and opens what was sealed under it or one of the others."""

    def __init__(self, *keks: bytes) -> None:
        """Take keys of 32 bytes (else ValueError), as `Settings.keys("seal")` gives them: the current one first."""
        for kek in keks:
            if len(kek) != KEY_BYTES:
                raise ValueError(f"A key-encrypting key has {KEY_BYTES} bytes, not {len(kek)}.")
        self._keks = {sha256(kek).digest()[:_KEK_ID_BYTES]: AESGCM(kek) for kek in keks}
        self.kek_id = next(iter(self._keks))

    @property
    def known(self) -> list[bytes]:
        """The ids of the keys, the current one first."""
        return list(self._keks)

    def seal(self, plaintext: bytes, *, place: str) -> bytes:
        """Encrypt for one place; the same plaintext never gives the same bytes twice."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        bound = _VERSION + place.encode()
        wrapped = _encrypt(self._keks[self.kek_id], data_key, bound)
        return _VERSION + self.kek_id + wrapped + _encrypt(AESGCM(data_key), plaintext, bound)

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt what was sealed for this place. Raises `SealBroken`."""
        data_key, bound = self._unwrap(sealed, place)
        try:
            return _decrypt(AESGCM(data_key), sealed[_CONTENT:], bound)
        except InvalidTag:
            raise _moved(place) from None

    def rewrap(self, sealed: bytes, *, place: str) -> bytes:
        """The same secret with its data key under the current key; the secret itself is not opened.

        Raises `SealBroken`.
        """
        data_key, bound = self._unwrap(sealed, place)
        return _VERSION + self.kek_id + _encrypt(self._keks[self.kek_id], data_key, bound) + sealed[_CONTENT:]

    def _unwrap(self, sealed: bytes, place: str) -> tuple[bytes, bytes]:
        """The data key, and what is authenticated with it."""
        if len(sealed) < _OVERHEAD_BYTES or sealed[:1] != _VERSION:
            raise SealBroken(f"What is stored at {place} is not a sealed secret of version {_VERSION[0]}.")
        kek = self._keks.get(sealed[1:_HEADER_BYTES])
        if kek is None:
            raise SealBroken(
                f"The secret at {place} was sealed under another SECRET_KEY: start with the one that sealed it."
            )
        bound = _VERSION + place.encode()
        try:
            return _decrypt(kek, sealed[_HEADER_BYTES:_CONTENT], bound), bound
        except InvalidTag:
            raise _moved(place) from None


def _moved(place: str) -> SealBroken:
    return SealBroken(f"The secret at {place} was changed, or was moved there from another place.")


def _encrypt(cipher: AESGCM, plaintext: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
