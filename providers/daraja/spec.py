"""Daraja's tables: settings, paths, words and promises.

Safaricom's portal is behind a login. What is here agrees between mpesakit 2.2.0, daraja-mcp and nkap (which noted what
it observed in 2026); what only one of them says is not promised.
"""

from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Final, Literal

from msgspec import Struct

from providers.contract import (
    Ambiguous,
    ConfigurationMissing,
    Limit,
    Outcome,
    Pending,
    QuerySchedule,
    ReferenceFormat,
    Secret,
    Succeeded,
    Throttled,
    Uncertainty,
)
from providers.declines import DeclineCode


class DarajaAccount(Struct, frozen=True, kw_only=True):
    """A paybill, or a till (`party_b`) and its store number, at Safaricom Kenya.

    Payouts, refunds, and proof of what was paid from a handset unasked need the API operator: `initiator_name`,
    `initiator_password`, and `certificate` (Safaricom's for the environment, PEM). The account's check registers its
    callback URL for such payments: Safaricom takes that once in production, and only its support can change it.
    """

    environment: Literal["sandbox", "live"]
    consumer_key: Secret
    consumer_secret: Secret
    shortcode: str
    passkey: Secret
    transaction_type: Literal["paybill", "till"]
    party_b: str | None = None
    initiator_name: str | None = None
    initiator_password: Secret | None = None
    certificate: str | None = None
    base_url: str | None = None


IDENTITY: Final = frozenset({"environment", "shortcode", "transaction_type", "party_b", "base_url"})
CURRENCY: Final = "KES"
LIMITS: Final = {CURRENCY: Limit(min=1_00, max=250_000_00)}  # the operator's policy, which changes
REFERENCE: Final = ReferenceFormat(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", length=12)  # an AccountReference
RECEIPTS: Final = r"[0-9A-Z]{8,20}"  # MpesaReceiptNumber, TransID, TransactionID. Names of requests have _, / or -
TEST_PHONE: Final = "254708374149"  # of the sandbox: nobody answers its prompts
TIME_ZONE: Final = timezone(timedelta(hours=3), "Africa/Nairobi")  # no summer time
DESCRIPTION_LENGTH: Final = 13
REMARKS_LENGTH: Final = 100

# Two pushes with one AccountReference are two prompts. A push is asked about by its CheckoutRequestID; "does not exist"
# is no information, and where no answer came there is no id to ask by: then only a callback can bring it.
PUSH_PROMISES: Final = Uncertainty(idempotency="none", lookup="authoritative")
# A repeated OriginatorConversationID is refused as a duplicate (v3).
PAYOUT_PROMISES: Final = Uncertainty(idempotency="reference", lookup="authoritative")
# "Already reversed" is an answer that was seen, not a promise.
REFUND_PROMISES: Final = Uncertainty(idempotency="none", lookup="authoritative")
# A query that keeps failing for more than ten minutes is for a person to look at, and never a failure.
QUERIES: Final = QuerySchedule(delays_s=(30, 40, 60, 120), end_s=30 * 60)

BASES: Final = {"sandbox": "https://sandbox.safaricom.co.ke", "live": "https://api.safaricom.co.ke"}
LOGIN_PATH: Final = "/oauth/v1/generate"
PUSH_PATH: Final = "/mpesa/stkpush/v1/processrequest"
PUSH_QUERY_PATH: Final = "/mpesa/stkpushquery/v1/query"
PAYOUT_PATH: Final = "/mpesa/b2c/v3/paymentrequest"
REVERSAL_PATH: Final = "/mpesa/reversal/v1/request"
STATUS_PATH: Final = "/mpesa/transactionstatus/v1/query"
REGISTER_PATH: Final = "/mpesa/c2b/v1/registerurl"
TRANSACTION_TYPES: Final = {"paybill": "CustomerPayBillOnline", "till": "CustomerBuyGoodsOnline"}

# What a callback is about: the query string of the address that we give for it (for a push, none).
PAID_OUT, REVERSED, STATUS = "payout", "reversal", "status"
LATE = "-late"  # after one of them: there was no result in time
CONFIRMATION, VALIDATION = "confirmation", "validation"

# ResultCode of a push, from query and callback alike. 0 is success.
PUSH_PENDING: Final = "4999"
PUSH: Final[Mapping[str, DeclineCode]] = {
    "1": DeclineCode.INSUFFICIENT_FUNDS,
    "17": DeclineCode.LIMIT_EXCEEDED,
    "26": DeclineCode.PROVIDER_UNAVAILABLE,  # busy; the payer was not debited
    "1001": DeclineCode.PROVIDER_UNAVAILABLE,  # another transaction of the payer's is under way
    "1019": DeclineCode.PAYER_TIMEOUT,
    "1025": DeclineCode.PROVIDER_UNAVAILABLE,  # the prompt could not be sent
    "9999": DeclineCode.PROVIDER_UNAVAILABLE,  # the same
    "1032": DeclineCode.PAYER_CANCELED,
    "1037": DeclineCode.PAYER_TIMEOUT,
    "2001": DeclineCode.AUTHENTICATION_FAILED,  # wrong PIN
    "SFC_IC0003": DeclineCode.CONFIGURATION,
}
# ResultCode of a payout or reversal. 0 is success.
RESULT_DUPLICATE: Final = "15"  # an earlier one landed, and must be asked about
RESULTS: Final[Mapping[str, DeclineCode]] = {
    "1": DeclineCode.INSUFFICIENT_FUNDS,  # of the merchant's float
    "2": DeclineCode.AMOUNT_OUT_OF_RANGE,
    "3": DeclineCode.AMOUNT_OUT_OF_RANGE,
    "4": DeclineCode.LIMIT_EXCEEDED,
    "8": DeclineCode.LIMIT_EXCEEDED,  # the recipient would hold too much
    "11": DeclineCode.CONFIGURATION,
    "21": DeclineCode.CONFIGURATION,
    "2001": DeclineCode.CONFIGURATION,
    "2006": DeclineCode.DECLINED,
    "2028": DeclineCode.CONFIGURATION,
    "2040": DeclineCode.INVALID_PAYER,
    "8006": DeclineCode.CONFIGURATION,
    "SFC_IC0003": DeclineCode.CONFIGURATION,
    "R000001": DeclineCode.DUPLICATE,  # reversed already
    "R000002": DeclineCode.INVALID_REQUEST,  # there is no such payment
}
RESULT_UNSURE: Final = ("21", REVERSED)  # seen with words of success
COMPLETED: Final = "Completed"  # the only documented TransactionStatus

# errorCode of what was refused before processing. The token's: log in again. Then spike arrest, and quota.
TOKEN_ERRORS: Final = frozenset({"404.001.03", "400.003.01", "401.002.01"})
THROTTLES: Final = (*sorted(TOKEN_ERRORS), "500.003.02", "500.003.03")
ERRORS: Final[Mapping[str, DeclineCode]] = {
    "400.002.02": DeclineCode.INVALID_REQUEST,
    "400.002.05": DeclineCode.INVALID_REQUEST,
    "404.001.01": DeclineCode.CONFIGURATION,
    "404.001.04": DeclineCode.CONFIGURATION,
    "405.001": DeclineCode.CONFIGURATION,
}
# errorCodes that mean several things. Of BUSY, some messages (a part, in lower case) are refusals; all else is unknown.
BUSY, DUPLICATE, INTERNAL = "500.001.1001", "500.002.1001", "500.003.1001"
MESSAGES: Final[Mapping[str, DeclineCode]] = {
    "wrong credentials": DeclineCode.CONFIGURATION,
    "merchant does not exist": DeclineCode.CONFIGURATION,
    "unable to lock subscriber": DeclineCode.PROVIDER_UNAVAILABLE,
}
PROCESSING: Final = "being processed"  # a message of BUSY that says something about the push; the others say nothing
REGISTERED: Final = "already registered"  # a message of INTERNAL, where the callback URL is

STATUSES: Final[Mapping[str, type[Outcome]]] = {
    **dict.fromkeys(("0", COMPLETED), Succeeded),
    PUSH_PENDING: Pending,
    **dict.fromkeys((RESULT_DUPLICATE, BUSY, DUPLICATE, INTERNAL), Ambiguous),
    **dict.fromkeys(THROTTLES, Throttled),
}


def base_url(settings: DarajaAccount, livemode: bool) -> str:
    """Where the environment is. A test account never reaches the live one, nor a live account the sandbox."""
    if settings.base_url is not None:
        return settings.base_url
    if (settings.environment == "live") != livemode:
        raise ConfigurationMissing("environment is live on live accounts, and sandbox on test accounts")
    return BASES[settings.environment]
