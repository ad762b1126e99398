"""Standard Bank Pay's tables: its settings, paths, words and promises.

No bank publishes this contract. What stands here is what MyPay's first users have; where a real bank differs, an
account's settings say so (`paths`, `status_words`, how it authorizes and signs), without code. Nothing is documented
about a repeated request id or about "not found", hence nothing is ever sent twice and absence proves nothing.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

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
    "invalid_payer",
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
        unknown = sorted(self.paths.keys() - PATHS) if isinstance(self.paths, dict) else []
        if unknown:
            raise ValueError(f"there is no path {unknown[0]!r}; there are {', '.join(PATHS)}")


class Dialect(NamedTuple):
    """How a bank speaks: the tables, with an account's changes."""

    paths: Mapping[str, str] = PATHS
    words: Mapping[str, Meaning] = WORDS
    amounts: Literal["minor", "major"] = "minor"


def dialect(account: StandardBankPayAccount) -> Dialect:
    """How an account's bank speaks."""
    return Dialect({**PATHS, **account.paths}, {**WORDS, **account.status_words}, account.amounts)


def base_url(settings: StandardBankPayAccount, livemode: bool) -> str:
    """The bank's address; users wrote it with the beginning of every path."""
    begins = dialect(settings).paths["initiate"].startswith("/api/v1/")
    address = settings.base_url.rstrip("/")
    return address.removesuffix("/api/v1") if begins else address


IDENTITY: Final = frozenset({"base_url", "client_id"})
COUNTRIES: Final = frozenset({"LS", "ZA"})
CURRENCIES: Final = frozenset({"LSL", "ZAR"})
LIMITS: Final = dict.fromkeys(CURRENCIES, Limit(min=1, max=10**15))
NEVER_TWICE: Final = Uncertainty(idempotency="none", lookup="authoritative")

_OUTCOMES: Final[Mapping[str, type[Outcome]]] = {
    "succeeded": Succeeded,
    "pending": Pending,
    "requires_action": ActionRequired,
    "reversed": Reversed,
}
STATUSES: Final[Mapping[str, type[Outcome]]] = {
    word: _OUTCOMES.get(means, Declined) for word, means in WORDS.items() if word.isupper()
}
DECLINES: Final = {word: DeclineCode(means) for word, means in WORDS.items() if means not in _OUTCOMES}

# HTTP statuses of a request that was refused: 400 and 422 by the contract, the others by RFC 9110, section 15.5.
REFUSALS: Final = {
    400: DeclineCode.INVALID_REQUEST,
    401: DeclineCode.CONFIGURATION,
    403: DeclineCode.CONFIGURATION,
    422: DeclineCode.DECLINED,
}
