"""Template Pay's tables: its settings, paths and words (name the document they come from)."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from providers.contract import Declined, Outcome, Pending, ReferenceFormat, Secret, Succeeded
from providers.declines import DeclineCode


class TemplatePayAccount(Struct, frozen=True, kw_only=True):
    """One merchant's account at Template Pay."""

    base_url: str
    api_key: Secret


REFERENCE: Final = ReferenceFormat(alphabet="0123456789abcdefghijklmnopqrstuvwxyz", length=24)

CHARGE_PATH: Final = "/payments"
STATUS_PATH: Final = "/payments/status"

# What each documented word says about a payment. A word that is not here is Pending, and makes us ask.
STATUSES: Final[Mapping[str, type[Outcome]]] = {
    "PAID": Succeeded,
    "OPEN": Pending,
    "REFUSED": Declined,
}
# Why no money moved, by the word for it.
DECLINES: Final = {"NO_FUNDS": DeclineCode.INSUFFICIENT_FUNDS}
# HTTP statuses that are documented to mean that our request was not carried out.
REFUSALS: Final = {401: DeclineCode.CONFIGURATION}
