"""The bank's JSON, found by paths, and what it means."""

from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from providers.contract import ActionRequired, Declined, Outcome, Pending, Redirected
from providers.declines import DeclineCode
from providers.money import from_major
from providers.outcomes import stated
from providers.standard_bank_pay import spec
from providers.standard_bank_pay.spec import StandardBankPayAccount

decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Token(Struct, frozen=True):
    """The answer to a login (RFC 6749, section 5.1)."""

    access_token: str
    expires_in: float | None = None


class Said(NamedTuple):
    """What a document says about a payment."""

    reference: str | None
    state: str
    approval_url: str | None = None
    amount: int | None = None  # minor units
    currency: str | None = None


token: Final = msgspec.json.Decoder(Token).decode


def read(document: dict[str, Any], account: StandardBankPayAccount, prefix: str = "") -> Said:
    """What stands at the account's paths; a msgspec error for an amount that cannot be read."""
    currency = text(document, account.path(prefix + "currency"))
    return Said(
        reference=text(document, account.path(prefix + "reference")),
        state=text(document, account.path(prefix + "state")) or "",
        approval_url=text(document, account.path("approval_url")),
        amount=_minor(value(document, account.path(prefix + "amount")), currency, account.amounts),
        currency=currency,
    )


def value(document: Any, path: str) -> Any:
    """What stands at a path, or None."""
    for name in path.split("."):
        if isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            document = document.get(name) if isinstance(document, dict) else None
    return document


def text(document: Any, path: str) -> str | None:
    """The text or whole number at a path, as text; None for anything else."""
    found = value(document, path)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) and found != "" else None


def put(document: dict[str, Any], path: str, what: object) -> None:
    """Write a value at a path; nowhere where that is empty."""
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    if name:
        document[name] = what


def outcome(said: Said, account: StandardBankPayAccount) -> Outcome:
    """What is said about a payment, whoever brings it. An unknown word is Pending."""
    means, url = account.meaning(said.state), said.approval_url or ""
    if means is None:
        return Pending(provider_reference=said.reference, provider_code=said.state)
    kind = spec.kind(means)
    if kind is ActionRequired and not url.startswith(("https://", "http://")):
        return Pending(provider_reference=said.reference, awaits_payer=True)
    known = {"provider_reference": said.reference, "amount": said.amount, "currency": said.currency}
    reason = {"code": DeclineCode(means), "provider_code": said.state} if kind is Declined else {}
    return stated(kind, **known, **reason, action=Redirected(url))


def _minor(amount: Any, currency: str | None, form: str) -> int | None:
    """The bank's currencies all have two decimals, so an amount can be read where the currency is not stated."""
    if amount is None or isinstance(amount, bool):
        return None
    try:
        return int(str(amount)) if form == "minor" else from_major(str(amount), currency or "LSL")
    except ValueError:
        raise msgspec.ValidationError("an amount that cannot be read") from None
