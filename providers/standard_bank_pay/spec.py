"""Standard Bank Pay's tables: its settings, paths, words and promises.

No bank publishes this contract. What stands here is what MyPay's first users have; where a real bank differs, an
account's settings say so (`paths`, `status_words`, how it authorizes and signs), without code. Nothing is documented
about a repeated request id or about "not found", hence nothing is ever sent twice and absence proves nothing.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from providers.contract import (
    ActionRequired,
    Declined,
    Limit,
    Outcome,
    Pending,
    Reversed,
    Secret,
    Succeeded,
    Uncertainty,
)
from providers.declines import DeclineCode

Meaning: TypeAlias = Literal[
    "succeeded",
    "pending",
    "requires_action",
    "reversed",
    "declined",
    "insufficient_funds",
    "payer_canceled",
    "payer_timeout",
    "limit_exceeded",
]

# Paths of the address (with {reference}), then where values stand in JSON: in our request, in answers, in callbacks.
# Dots go into objects and lists ("data.items.0.state"); an empty path means that it is nowhere.
PATHS: Final = {
    "initiate": "/api/v1/payments/initiate",
    "status": "/api/v1/payments/{reference}/status",
    "token": "/oauth2/token",
    "request_amount": "amount_cents",
    "request_currency": "currency",
    "request_phone": "customer.msisdn",
    "request_callback_url": "callback_url",
    "request_reference": "",
    "reference": "sbp_txn_ref",
    "state": "processing_state",
    "approval_url": "approval_url",
    "error": "error",
    "amount": "",
    "currency": "",
    "callback_reference": "sbp_txn_ref",
    "callback_state": "event_type",
    "callback_amount": "",
    "callback_currency": "",
}

# Of answers, callbacks and errors. What a user of the mock saw, and what to expect of a bank beyond it.
WORDS: Final[Mapping[str, Meaning]] = {
    "SETTLED": "succeeded",
    "PAYMENT_SETTLED": "succeeded",
    "AWAITING_CUSTOMER": "requires_action",
    "DECLINED": "declined",
    "FAILED": "declined",
    "REJECTED": "declined",
    "EXPIRED": "payer_timeout",
    "CANCELLED": "payer_canceled",
    "REVERSED": "reversed",
    "REFUNDED": "reversed",
    "Amount exceeds daily limit": "limit_exceeded",
}


class StandardBankPayAccount(Struct, frozen=True, kw_only=True):
    """A merchant at the bank. `api_key` is a bearer token, or the client's secret for basic and client_credentials.

    With `webhook_secret`, callbacks are proof: signed as Standard Webhooks, as Stripe's (timestamped) or by HMAC of the
    body alone, the latter two in `signature_header`. `paths` and `status_words` replace single entries of the tables.
    """

    base_url: str
    api_key: Secret
    client_id: str
    authorization: Literal["bearer", "basic", "client_credentials"] = "bearer"
    amounts: Literal["minor", "major"] = "minor"  # 15000, or "150.00"
    webhook_secret: Secret | None = None
    signature_scheme: Literal["standard_webhooks", "timestamped", "body"] = "standard_webhooks"
    signature_header: str = "x-sbp-signature"
    status_words: dict[str, Meaning] = {}
    paths: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse paths that nobody would look at."""
        unknown = self.paths.keys() - PATHS if isinstance(self.paths, dict) else ()
        if unknown:
            raise ValueError(f"there is no path {min(unknown)!r}; there are {', '.join(PATHS)}")

    def path(self, name: str) -> str:
        """Where something is, at this account's bank."""
        return self.paths.get(name, PATHS[name])

    def meaning(self, word: str) -> Meaning | None:
        """What a word means, at this account's bank."""
        return self.status_words.get(word, WORDS.get(word))


def base_url(settings: StandardBankPayAccount, livemode: bool) -> str:
    """The bank's address; users wrote it with the beginning of every path."""
    begins = settings.path("initiate").startswith("/api/v1/")
    return settings.base_url.rstrip("/").removesuffix("/api/v1" if begins else "")


USUAL: Final = StandardBankPayAccount(base_url="", api_key=Secret(""), client_id="")  # a bank that changes nothing
CURRENCIES: Final = frozenset({"LSL", "ZAR"})
LIMITS: Final = dict.fromkeys(sorted(CURRENCIES), Limit(min=1, max=10**15))
NEVER_TWICE: Final = Uncertainty(idempotency="none", lookup="authoritative")


def kind(means: Meaning) -> type[Outcome]:
    """The outcome of a meaning; whatever is not one of its own is a decline's reason."""
    kinds: dict[str, type[Outcome]] = {"succeeded": Succeeded, "pending": Pending, "reversed": Reversed}
    return {**kinds, "requires_action": ActionRequired}.get(means, Declined)


STATUSES: Final[Mapping[str, type[Outcome]]] = {word: kind(means) for word, means in WORDS.items() if word.isupper()}
DECLINES: Final = {word: DeclineCode(means) for word, means in WORDS.items() if kind(means) is Declined}

# HTTP statuses of a request that was refused: 400 and 422 by the contract, 401 and 403 by RFC 9110, section 15.5.
REFUSALS: Final = {400: DeclineCode.INVALID_REQUEST, 422: DeclineCode.DECLINED} | dict.fromkeys(
    (401, 403), DeclineCode.CONFIGURATION
)
