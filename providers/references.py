"""References: our names for operations at a provider, made from the operation's id alone.

A reference begins with the logical partition (the id's last byte) in the provider's alphabet, so that a callback that
only knows the reference finds the payment's partition; the rest is taken from the SHA-256 of the id.
"""

import hashlib
from functools import cache
from typing import Final
from uuid import UUID

from providers.contract import ReferenceFormat

OURS: Final = "x"  # in a layout: a character that we choose

# Where a provider wants UUIDs of version 4 (RFC 9562, section 5.4): hexadecimal digits around version and variant.
UUID4: Final = ReferenceFormat(alphabet="0123456789abcdef", length=36, layout="xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx")


def make(form: ReferenceFormat, operation_id: UUID) -> str:
    """The reference of an operation: always the same for the same id, and exactly `form.length` characters."""
    layout = _layout(form)
    head = _prefix_length(len(form.alphabet))
    digest = int.from_bytes(hashlib.sha256(operation_id.bytes).digest())
    rest = _write(digest, form.alphabet, layout.count(OURS) - head)
    ours = iter(_write(operation_id.bytes[-1], form.alphabet, head) + rest)
    return "".join(next(ours) if place == OURS else place for place in layout)


def logical_partition(form: ReferenceFormat, reference: str) -> int | None:
    """The logical partition that a reference of this form carries, or None when it cannot be one of ours."""
    layout = _layout(form)
    if len(reference) != len(layout):
        return None
    ours = [character for character, place in zip(reference, layout, strict=True) if place == OURS]
    given = all(place in (OURS, character) for character, place in zip(reference, layout, strict=True))
    if not given or not set(ours) <= set(form.alphabet):
        return None
    value = 0
    for character in ours[: _prefix_length(len(form.alphabet))]:
        value = value * len(form.alphabet) + form.alphabet.index(character)
    return value if value < 256 else None


def _layout(form: ReferenceFormat) -> str:
    return form.layout or OURS * form.length


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
