"""The normalised decline codes: what a merchant reads in `failure`, whatever the provider called it."""

from enum import StrEnum
from typing import NamedTuple


class Advice(StrEnum):
    """What the merchant can do about a decline."""

    RETRY_LATER = "retry_later"
    USE_ANOTHER_METHOD = "use_another_method"
    DO_NOT_RETRY = "do_not_retry"
    FIX_REQUEST = "fix_request"


class DeclineCode(StrEnum):
    """Why no money moved. `DECLINES` gives the meaning and the advice of each."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    PAYER_CANCELED = "payer_canceled"
    PAYER_TIMEOUT = "payer_timeout"
    INVALID_PAYER = "invalid_payer"
    INVALID_OTP = "invalid_otp"
    INVALID_CARD = "invalid_card"
    CARD_EXPIRED = "card_expired"
    AUTHENTICATION_FAILED = "authentication_failed"
    LIMIT_EXCEEDED = "limit_exceeded"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    SUSPECTED_FRAUD = "suspected_fraud"
    DUPLICATE = "duplicate"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    CONFIGURATION = "configuration"
    INVALID_REQUEST = "invalid_request"
    EXPIRED = "expired"
    CANCELED = "canceled"
    DECLINED = "declined"


class Decline(NamedTuple):
    """One line of meaning, shown to the merchant, and what to do about it."""

    message: str
    advice: Advice


DECLINES: dict[DeclineCode, Decline] = {
    DeclineCode.INSUFFICIENT_FUNDS: Decline("The payer does not have enough money.", Advice.USE_ANOTHER_METHOD),
    DeclineCode.PAYER_CANCELED: Decline("The payer refused or canceled the request.", Advice.RETRY_LATER),
    DeclineCode.PAYER_TIMEOUT: Decline("The payer did not answer in time.", Advice.RETRY_LATER),
    DeclineCode.INVALID_PAYER: Decline("The payer's account does not exist or cannot pay.", Advice.USE_ANOTHER_METHOD),
    DeclineCode.INVALID_OTP: Decline("The code was wrong too often.", Advice.RETRY_LATER),
    DeclineCode.INVALID_CARD: Decline("The card is not valid.", Advice.USE_ANOTHER_METHOD),
    DeclineCode.CARD_EXPIRED: Decline("The card has expired.", Advice.USE_ANOTHER_METHOD),
    DeclineCode.AUTHENTICATION_FAILED: Decline("The payer could not be authenticated.", Advice.RETRY_LATER),
    DeclineCode.LIMIT_EXCEEDED: Decline("A limit of the payer's account was exceeded.", Advice.USE_ANOTHER_METHOD),
    DeclineCode.AMOUNT_OUT_OF_RANGE: Decline("The provider does not take this amount.", Advice.FIX_REQUEST),
    DeclineCode.SUSPECTED_FRAUD: Decline("The provider refused it as suspicious.", Advice.DO_NOT_RETRY),
    DeclineCode.DUPLICATE: Decline("The provider takes it for a repetition.", Advice.DO_NOT_RETRY),
    DeclineCode.PROVIDER_UNAVAILABLE: Decline("The provider could not be reached; no money moved.", Advice.RETRY_LATER),
    DeclineCode.CONFIGURATION: Decline("The provider refused the account's credentials or set-up.", Advice.FIX_REQUEST),
    DeclineCode.INVALID_REQUEST: Decline("The provider found the request invalid.", Advice.FIX_REQUEST),
    DeclineCode.EXPIRED: Decline("The payment expired before it was sent.", Advice.RETRY_LATER),
    DeclineCode.CANCELED: Decline("The payment was canceled before it was sent.", Advice.DO_NOT_RETRY),
    DeclineCode.DECLINED: Decline("The provider declined, without a reason we know.", Advice.USE_ANOTHER_METHOD),
}
