"""Card numbers (PAN) are never accepted: what looks like one is refused, wherever a person may have written it.

Whoever stores a number must follow PCI DSS 3 with all that stores it; so nothing of a request that has one is kept.
A card's token is looked at strictly. In other text only the forms in which people write numbers count, with a true
check digit, and standing alone: 15 digits of American Express, 16 of the other brands (ISO/IEC 7812-1).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from gateway.payments.errors import FieldError, MyPayError

_PAN: Final = re.compile(r"\d{12,19}")
_SEPARATORS: Final = re.compile(r"[\W_]")  # whatever people write between the digits of a card number
_WRITTEN: Final = re.compile(
    r"(?<!\w)(?:(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|35\d\d|6\d{3})(?:[ -]?\d{4}){3}|3[47]\d\d[ -]?\d{6}[ -]?\d{5})(?!\w)",
    re.ASCII,
)
_SHORTEST: Final = 15
# Not looked at: a shop's own number for a payment, which may have 16 digits, and one in ten of those has a true check
# digit; credentials, which are sealed or hashed; and a card's token, at which `is_number` looks.
_UNLOOKED: Final = frozenset({"/reference", "/settings", "/password", "/method/token"})


def is_number(token: str) -> bool:
    """Whether a card's token is no token but a number."""
    digits = _SEPARATORS.sub("", token)
    return _PAN.fullmatch(digits) is not None and _luhn(digits)


def refuse(body: dict[str, Any]) -> None:
    """Raises `card_number_refused`, pointing at the member, where a text of the body holds a card number."""
    for pointer, text in _texts(body, ""):
        if any(_luhn(re.sub(r"[ -]", "", found)) for found in _WRITTEN.findall(text)):
            raise MyPayError("card_number_refused", errors=[FieldError(pointer, "invalid", "Leave card numbers out.")])


def _texts(members: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """The names and the texts that are long enough, and where they are."""
    for name, value in members.items():
        pointer = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if pointer in _UNLOOKED:
            continue
        if isinstance(value, dict):
            yield from _texts(value, pointer)
        elif isinstance(value, str) and len(value) >= _SHORTEST:
            yield pointer, value
        if len(name) >= _SHORTEST:
            yield path, name


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if n % 2 else 1) for n, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
