"""References: our names for operations at a provider, made from the operation's id alone.

A reference begins with the logical partition (the id's last byte) in the provider's alphabet, so that a callback that
only knows the reference finds the payment's partition; the rest is taken from the SHA-256 of the id.
"""

import hashlib
from functools import cache
from uuid import UUID

from providers.contract import ReferenceFormat


def make(form: ReferenceFormat, operation_id: UUID) -> str:
    """The reference of an operation: always the same for the same id, and exactly `form.length` characters."""
    head = _prefix_length(len(form.alphabet))
    digest = int.from_bytes(hashlib.sha256(operation_id.bytes).digest())
    return _write(operation_id.bytes[-1], form.alphabet, head) + _write(digest, form.alphabet, form.length - head)


def logical_partition(form: ReferenceFormat, reference: str) -> int | None:
    """The logical partition that a reference of this form carries, or None when it cannot be one of ours."""
    if len(reference) != form.length or not set(reference) <= set(form.alphabet):
        return None
    value = 0
    for character in reference[: _prefix_length(len(form.alphabet))]:
        value = value * len(form.alphabet) + form.alphabet.index(character)
    return value if value < 256 else None


@cache
def _prefix_length(base: int) -> int:
    """How many characters of an alphabet of `base` hold one byte."""
    length = 1
    while base**length < 256:
        length += 1
    return length


def _write(value: int, alphabet: str, length: int) -> str:
    """The last `length` digits of `value` in the alphabet's base."""
    digits = []
    for _ in range(length):
        value, digit = divmod(value, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
