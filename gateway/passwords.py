"""People's passwords: argon2id with the library's defaults (RFC 9106, low-memory profile).

Both functions take tens of milliseconds of CPU and 64 MiB: on an event loop, call them through `asyncio.to_thread`.
"""

import functools

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

_HASHER = PasswordHasher()


def hash(password: str) -> str:
    """The hash to store, parameters and salt included."""
    return _HASHER.hash(password)


def verify(stored: str | None, password: str) -> bool:
    """Whether `password` is the one behind `stored`.

    None stands for an unknown person: the answer is False and takes as long, so that nobody learns who exists.
    """
    try:
        return _HASHER.verify(stored or _decoy(), password) and stored is not None
    except VerifyMismatchError:
        return False


@functools.cache
def _decoy() -> str:
    return _HASHER.hash("nobody's password")
