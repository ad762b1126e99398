"""pawaPay's tables: its settings, networks, paths, words and promises (Merchant API v2, docs.pawapay.io/v2).

Ids are ours, and the same one again has no second effect. Limits are each account's own; pawaPay refuses beyond them.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from providers.contract import Declined, Limit, Outcome, Pending, Secret, Succeeded, Uncertainty, Verb
from providers.declines import DeclineCode
from providers.message_signatures import public_keys


class PawaPayAccount(Struct, frozen=True, kw_only=True):
    """An account at pawaPay; sandbox and live have tokens of their own. Its dashboard is told the callback URL.

    `signing`: "required" once the dashboard signs callbacks: then they are proof, by `public_key`, which is pawaPay's
    (PEM; two, one after the other, while it changes). "optional": callbacks only make us ask.
    """

    api_token: Secret
    signing: Literal["required", "optional"]
    public_key: str | None = None
    base_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse settings with which no callback could be verified."""
        if isinstance(self.public_key, str):
            public_keys(self.public_key)
        elif self.signing == "required" and self.public_key is None:
            raise ValueError("signing is required: write pawaPay's public_key too")


BASE_URLS: Final = {False: "https://api.sandbox.pawapay.io", True: "https://api.pawapay.io"}
IDENTITY: Final = frozenset({"base_url"})

# By calling code: pawaPay's name of the network and its currency, where one network serves every number of a country.
NETWORKS: Final = {
    "251": ("MPESA_ETH", "ETB"),
    "254": ("MPESA_KEN", "KES"),
    "266": ("MPESA_LSO", "LSL"),
}
COUNTRIES: Final = frozenset({"ET", "KE", "LS"})
CURRENCIES: Final = frozenset(currency for _, currency in NETWORKS.values())
LIMITS: Final = dict.fromkeys(sorted(CURRENCIES), Limit(min=1, max=10**15))
TRIGGER_PHONES: Final = r"266\d{9}"  # the sandbox's numbers of Lesotho have a digit more than real ones
MESSAGE_LENGTHS: Final = range(4, 23)  # of customerMessage: letters, digits and spaces

# "DUPLICATE_IGNORED" for an id that was received; "NOT_FOUND" is final fifteen minutes after sending.
BY_ID: Final = Uncertainty(idempotency="reference", lookup="authoritative", absence_after_s=15 * 60)

COLLECTIONS: Final = {  # of each verb: where it is, and what its id is called
    Verb.CHARGE: ("/v2/deposits", "depositId"),
    Verb.REFUND: ("/v2/refunds", "refundId"),
    Verb.PAYOUT: ("/v2/payouts", "payoutId"),
}

STATUSES: Final[Mapping[str, type[Outcome]]] = {
    **dict.fromkeys(("ACCEPTED", "PROCESSING", "ENQUEUED", "IN_RECONCILIATION", "SUBMITTED"), Pending),
    "DUPLICATE_IGNORED": Pending,  # a query tells what became of it
    "COMPLETED": Succeeded,
    "FAILED": Declined,
    "REJECTED": Declined,
}

# docs.pawapay.io/v2/docs/failure_codes, but for UNKNOWN_ERROR, of which they say "do not assume failure".
_FAILURES: Final = {
    DeclineCode.CONFIGURATION: """NO_AUTHENTICATION AUTHENTICATION_ERROR AUTHORISATION_ERROR HTTP_SIGNATURE_ERROR
        DEPOSITS_NOT_ALLOWED PAYOUTS_NOT_ALLOWED REFUNDS_NOT_ALLOWED""",
    DeclineCode.INVALID_REQUEST: """INVALID_INPUT MISSING_PARAMETER UNSUPPORTED_PARAMETER INVALID_PARAMETER
        DUPLICATE_METADATA_FIELD INVALID_AMOUNT INVALID_PHONE_NUMBER INVALID_CURRENCY INVALID_PROVIDER NOT_FOUND
        INVALID_STATE""",
    DeclineCode.AMOUNT_OUT_OF_RANGE: "AMOUNT_OUT_OF_BOUNDS AMOUNT_TOO_LARGE",
    DeclineCode.DUPLICATE: "DEPOSIT_ALREADY_REFUNDED",
    # What may be possible a few minutes later: one refund of a deposit, one payment of a wallet at a time.
    DeclineCode.PROVIDER_UNAVAILABLE: """PROVIDER_TEMPORARILY_UNAVAILABLE REFUND_IN_PROGRESS PAYMENT_IN_PROGRESS
        TRANSACTION_ALREADY_IN_PROCESS""",
    DeclineCode.PAYER_TIMEOUT: "PAYMENT_NOT_APPROVED",
    DeclineCode.INSUFFICIENT_FUNDS: "INSUFFICIENT_BALANCE PAWAPAY_WALLET_OUT_OF_FUNDS",
    DeclineCode.INVALID_PAYER: "PAYER_NOT_FOUND RECIPIENT_NOT_FOUND",
    DeclineCode.LIMIT_EXCEEDED: "PAYER_LIMIT_REACHED RECIPIENT_LIMIT_REACHED WALLET_LIMIT_REACHED",
    DeclineCode.CANCELED: "MANUALLY_CANCELLED",
    DeclineCode.DECLINED: "UNSPECIFIED_FAILURE",
}
FAILURES: Final = {word: code for code, words in _FAILURES.items() for word in words.split()}
IN_DOUBT: Final = "UNKNOWN_ERROR"
