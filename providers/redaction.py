"""Masking: what may be shown of an exchange with a provider.

Secrets are masked by value and by header name, card numbers (PAN) by their check digit, whatever field they are in.
What a provider says is also made fit to be stored: no U+0000, which no database takes, and not without end.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from providers.contract import Notice, Outcome, Secret
from providers.phones import local_part

MASK: Final = "***"
WORDS_LENGTH: Final = 500  # of a provider's message, which every event repeats
EXCERPT_LENGTH: Final = 2048  # characters of a body that are kept
EXCERPT_WINDOW: Final = 8192  # bytes that are looked at: so that a secret at the excerpt's end is whole
PHONE_LENGTH_MIN: Final = 5  # digits; a shorter one stands everywhere
NAME_LENGTH: Final = 255  # of a provider's name for an operation

# Words in the names of headers and members that say what they hold.
_TELLING: Final = (
    *("auth", "cookie", "key", "token", "session", "secret", "signature", "passw", "credential", "otp"),
    *("pin", "cvv", "cvc"),
)
_WORD: Final = "|".join(_TELLING).replace("pin", "pin(?![a-z])")
_SENSITIVE: Final = re.compile(_WORD, re.IGNORECASE)
# Members of JSON, forms and XML with such a name; a value that is cut off as well.
_NAME: Final = rf"[^\"=&\s<>]{{0,60}}?(?:{_WORD})[^\"=&\s<>]{{0,60}}"
_VALUE: Final = r'(?:"(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|[^\s,}\]{\["]+)'
_NAMED: Final = (
    (re.compile(rf'("{_NAME}"\s*:\s*){_VALUE}', re.IGNORECASE), rf'\1"{MASK}"'),
    (re.compile(rf"((?:^|[?&]){_NAME}=)[^&\s]*", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(<(?!/){_NAME}>)[^<]*", re.IGNORECASE), rf"\1{MASK}"),
)
_DIGITS: Final = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,18}(?!\d)", re.ASCII)  # PANs begin with 2 to 6: ISO/IEC 7812


def secrets_of(settings: Struct) -> tuple[str, ...]:
    """The values of an account's settings that must never be shown."""
    return tuple(value for value in asdict(settings).values() if isinstance(value, Secret) and value)


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with the values of those that authenticate masked."""
    return {name: MASK if is_sensitive(name) else value for name, value in headers.items()}


def is_sensitive(name: str) -> bool:
    """Whether a header or member of this name may authenticate somebody."""
    return _SENSITIVE.search(name) is not None


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets and without card numbers (the last four digits stay)."""
    for secret in sorted(secrets, key=len, reverse=True):  # a secret may be part of another
        text = text.replace(secret, MASK)
    return _DIGITS.sub(_mask_card, text)


Masks: TypeAlias = Sequence[tuple[str, str]]  # texts, and what stands in their place


def masks(secrets: Iterable[str], phone: str | None = None) -> Masks:
    """What must not be shown of one exchange: secrets, as they are and as JSON and forms write them, and a phone.

    Of the phone the last three digits stay. The longest text comes first: one may be part of another.
    """
    plain = [str(secret) for secret in secrets if secret]  # msgspec encodes no `Secret`
    hidden = {form: MASK for secret in plain for form in (secret, _in_json(secret), quote(secret, safe=""))}
    if phone is not None and len(number := local_part(phone)) >= PHONE_LENGTH_MIN:
        hidden[number] = MASK + number[-3:]
    return sorted(hidden.items(), key=lambda each: len(each[0]), reverse=True)


def mask_exchange(content: bytes, hidden: Masks) -> str:
    """The beginning of a body (or of a path) as text that may be stored and shown.

    Masked are `hidden`, members whose names say that they are secret, and card numbers. `content` may be cut at
    `EXCERPT_WINDOW`.
    """
    text = content[:EXCERPT_WINDOW].decode(errors="replace").replace("\x00", "")
    lower = text.lower()
    if any(word in lower for word in _TELLING):
        for pattern, replacement in _NAMED:
            text = pattern.sub(replacement, text)
    for found, replacement in hidden:
        text = text.replace(found, replacement)
    return mask_text(text)[:EXCERPT_LENGTH]


def _in_json(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()


def presentable(outcome: Outcome, secrets: Iterable[str] = ()) -> Outcome:
    """The outcome with the provider's words masked and cut; a name that cannot be kept whole is as good as none."""
    known = asdict(outcome)
    changes = {name: _words(known[name], secrets) for name in _WORDS if known.get(name)}
    if known.get("provider_reference") and not _is_name(known["provider_reference"]):
        changes["provider_reference"] = None
    return replace(outcome, **changes) if changes else outcome


def presentable_notice(notice: Notice, secrets: Iterable[str] = ()) -> Notice:
    """The notice with its outcome presentable, and without names that cannot be kept whole."""
    names = {"provider_reference": notice.provider_reference, "event_id": notice.event_id}
    kept = {field: name if name and _is_name(name) else None for field, name in names.items()}
    return replace(notice, outcome=presentable(notice.outcome, secrets), **kept)


_WORDS: Final = ("provider_code", "provider_message", "detail", "action")


def _words(said: Any, secrets: Iterable[str]) -> Any:
    if isinstance(said, Struct):  # a next action: its texts are the provider's as well
        texts = {name: value.replace("\x00", "") for name, value in asdict(said).items()}
        return replace(said, **texts)
    return mask_text(said.replace("\x00", ""), secrets)[:WORDS_LENGTH]


def _is_name(text: str) -> bool:
    return "\x00" not in text and len(text) <= NAME_LENGTH


def _mask_card(found: re.Match[str]) -> str:
    digits = re.sub(r"[ -]", "", found[0])
    return MASK + digits[-4:] if _luhn(digits) else found[0]


def _luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
