"""API keys: `sk_test_` or `sk_live_` (`rk_…` if restricted), 32 random base62 characters (190 bits), 6 of checksum.

The checksum lets a mistyped key be refused without asking the database, and lets secret scanners be sure. Only the
SHA-256 of a key is stored: with that much randomness a slow hash would protect nothing.
"""

import re
import secrets
import string
import zlib
from hashlib import sha256
from typing import Final

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARACTERS: Final = 32
_CHECKSUM_CHARACTERS: Final = 6  # 62^6 > 2^32
_SHAPE: Final = re.compile(r"[sr]k_(?:test|live)_[0-9A-Za-z]{38}")
PREFIX_CHARACTERS: Final = 12  # "sk_test_" and four more: enough to tell keys apart, far too few to guess one


def make(livemode: bool, *, restricted: bool = False) -> str:
    """A new key. It is shown once, and never stored."""
    start = f"{'rk' if restricted else 'sk'}_{'live' if livemode else 'test'}_"
    body = start + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARACTERS))
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether this can be a key at all: shape and checksum."""
    return _SHAPE.fullmatch(key) is not None and key[-_CHECKSUM_CHARACTERS:] == _checksum(key[:-_CHECKSUM_CHARACTERS])


def digest(key: str) -> bytes:
    """The 32 bytes by which a key is stored and found."""
    return sha256(key.encode()).digest()


def prefix(key: str) -> str:
    """The first characters, by which people tell keys apart."""
    return key[:PREFIX_CHARACTERS]


def _checksum(body: str) -> str:
    """CRC32 in base62, most significant character first."""
    rest, characters = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_CHARACTERS):
        rest, index = divmod(rest, len(_BASE62))
        characters = _BASE62[index] + characters
    return characters
