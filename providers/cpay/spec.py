"""C-Pay's tables: its settings, paths and words ("Chaperone Payments Api v1.1").

C-Pay publishes no production address, hence `base_url` is a setting; nor limits, rate limits or what a repeated
`extTransactionId` does, hence nothing is ever sent twice.
"""

from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Final, Literal

from msgspec import Struct

from providers.contract import ActionRequired, Declined, Outcome, Pending, ReferenceFormat, Reversed, Secret, Succeeded
from providers.declines import DeclineCode


class CPayAccount(Struct, frozen=True, kw_only=True):
    """One merchant number at C-Pay. `ca_bundle` is PEM text: the test environment's certificate is self-signed.

    `flow`: the payer approves a USSD prompt (async, which C-Pay recommends), reads us a code (otp), or enters a card on
    C-Pay's page (card). `payout_operator`: to whose wallets its payouts go.
    """

    base_url: str
    api_key: Secret
    client_code: str
    hmac_secret: Secret
    merchant_code: str
    flow: Literal["async", "otp", "card"] = "async"
    payout_operator: Literal["CPAY", "mpesa", "ecocash", "mywallet", "khetsi"] = "CPAY"
    msisdn_format: Literal["local8", "e164"] = "local8"
    ca_bundle: str | None = None


REFERENCE: Final = ReferenceFormat(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", length=20)
TIME_ZONE: Final = timezone(timedelta(hours=2), "Africa/Maseru")  # no summer time since 1944
DESCRIPTION_LENGTH: Final = 20

CHARGE_PATHS: Final = {
    "async": "/api/cpaypayments/paymentrequest/async/transactions",
    "otp": "/api/cpaypayments/payment",
    "card": "/api/cpaypayments/payment",
}
CARD_QUERY: Final = {"cardPayment": "true", "rememberMe": "false"}
CONFIRM_PATH: Final = "/api/cpaypayments/confirm"
STATUS_PATH: Final = "/api/cpaypayments/transaction-status"
PAYOUT_PATH: Final = "/api/disbursements/wallet-topup-advance"
INQUIRY_PATH: Final = "/api/disbursements/payment-inquiry"

# paymentRequestStatus and reasonCode, in capitals since their case varies: what they say about a payment.
STATUSES: Final[Mapping[str, type[Outcome]]] = {
    "SUCCESS": Succeeded,
    "PROCESSED": Succeeded,
    "OPEN": Pending,
    "SCHEDULED": Pending,
    "ACCEPTED": Pending,
    "OTPSEND": ActionRequired,
    "OTPSENT": ActionRequired,
    "PAYMENTINCOMPLETE": ActionRequired,
    "DENIED": Declined,
    "CANCELED": Declined,
    "CANCELLED": Declined,
    "EXPIRED": Declined,
    "FAILED": Declined,
    "REVERSED": Reversed,  # can follow PROCESSED
}
DECLINES: Final = {
    "DENIED": DeclineCode.DECLINED,
    "CANCELED": DeclineCode.PAYER_CANCELED,
    "CANCELLED": DeclineCode.PAYER_CANCELED,
    "EXPIRED": DeclineCode.PAYER_TIMEOUT,
    "FAILED": DeclineCode.DECLINED,
}

# reasonCode and description, in capitals: errors of our own request, which was not carried out.
REQUEST_ERRORS: Final = {
    "CHECKSUMERROR": DeclineCode.CONFIGURATION,
    "VALIDATIONFAILURE": DeclineCode.INVALID_REQUEST,
    "WALLET ACCOUNT DOES NOT EXIST": DeclineCode.INVALID_PAYER,
}
# HTTP statuses that mean the same where the body says nothing we know. 424 and 5xx prove nothing.
REFUSALS: Final = dict.fromkeys((400, 401, 403, 404), DeclineCode.CONFIGURATION)
