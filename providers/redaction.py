"""Masking: what may be shown of an exchange with a provider.

Secrets are masked by value and by header name, card numbers (PAN) by their check digit, whatever field they are in.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from providers.contract import Secret

MASK: Final = "***"

_SENSITIVE: Final = re.compile(r"auth|cookie|key|token|secret|signature|password|credential|otp", re.IGNORECASE)
_DIGITS: Final = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)", re.ASCII)  # PANs begin with 2 to 6: ISO/IEC 7812


def secrets_of(settings: Struct) -> tuple[str, ...]:
    """The values of an account's settings that must never be shown."""
    return tuple(value for value in asdict(settings).values() if isinstance(value, Secret) and value)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with the values of those that authenticate masked."""
    return {name: MASK if _SENSITIVE.search(name) else value for name, value in headers.items()}


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and without card numbers (the last four digits stay)."""
    for secret in sorted(secrets, key=len, reverse=True):  # a secret may be part of another
        text = text.replace(secret, MASK)
    return _DIGITS.sub(_mask_card, text)


def _mask_card(found: re.Match[str]) -> str:
    digits = re.sub(r"[ -]", "", found[0])
    return MASK + digits[-4:] if _luhn(digits) else found[0]


def _luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
