"""People's passwords: argon2id with the library's defaults (RFC 9106, low-memory profile).

Hashing takes tens of milliseconds of CPU and 64 MiB, so on an event loop it is done by `hashed` and `matches`, which
use few threads and keep few waiting: a flood of sign-ins must take neither the memory nor the processor.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

SHORTEST: Final = 12
LONGEST: Final = 1024
AT_ONCE: Final = 2
MOST_WAITING: Final = 64
_HASHER: Final = PasswordHasher()

T = TypeVar("T")


class TooManyPasswords(Exception):
    """More passwords are being checked than this process takes at once."""


def generate() -> str:
    """A new password of 120 random bits."""
    return secrets.token_urlsafe(15)


def hash(password: str) -> str:
    """The hash to store, parameters and salt included."""
    return _HASHER.hash(password)


def verify(stored: str | None, password: str) -> bool:
    """Whether `password` is the one behind `stored`.

    None stands for an unknown person: the answer is False and takes as long, so that nobody learns who exists.
    """
    decoy = _decoy()  # made by the first call, whoever it is about
    try:
        return _HASHER.verify(stored or decoy, password) and stored is not None
    except VerifyMismatchError:
        return False


class _Threads:
    """The few threads that hash."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._taken = 0

    async def run(self, work: Callable[[], T]) -> T:
        if self._taken >= AT_ONCE + MOST_WAITING:
            raise TooManyPasswords
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._taken -= 1


_THREADS: Final = _Threads()


async def hashed(password: str) -> str:
    """`hash`, off the event loop. Raises `TooManyPasswords`."""
    return await _THREADS.run(lambda: hash(password))


async def matches(stored: str | None, password: str) -> bool:
    """`verify`, off the event loop. Raises `TooManyPasswords`."""
    return await _THREADS.run(lambda: verify(stored, password))


@functools.cache
def _decoy() -> str:
    return _HASHER.hash("nobody's password")
