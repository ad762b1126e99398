"""What the portal documents of requests and answers: fields and their patterns, codes. Of the simulator alone."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from uuid import uuid4

from providers.simulation import Reply, Request, json

MARKETS: Final = {
    "vodacomLES": ("LES", "LSL"),
    "vodacomTZN": ("TZN", "TZS"),
    "vodacomMOZ": ("MOZ", "MZN"),
    "vodacomDRC": ("DRC", "USD"),
    "vodafoneGHA": ("GHA", "GHS"),
}
SANDBOX_SHORTCODE: Final = "000000"
TEXT: Final = "[0-9a-zA-Z ]"
FIELDS: Final = {  # the pattern of each, and the code of the answer that refuses it
    "Amount": (r"\d*\.?\d+", "INS-15"),
    "ReversalAmount": (r"\d*\.?\d+", "INS-15"),
    "CustomerMSISDN": ("[0-9]{11,14}", "INS-2051"),
    "ServiceProviderCode": ("[0-9A-Za-z]{4,12}", "INS-13"),
    "TransactionReference": (TEXT + "{1,20}", "INS-17"),
    "ThirdPartyConversationID": (TEXT + "{1,40}", "INS-28"),
    "PurchasedItemsDesc": (TEXT + "{1,256}", "INS-30"),
    "PaymentItemsDesc": (TEXT + "{1,256}", "INS-31"),
    "TransactionID": ("[0-9A-Za-z]{1,20}", "INS-18"),
    "QueryReference": ("[0-9A-Za-z]{1,32}", "INS-21"),
}
COMMON: Final = ("Country", "ServiceProviderCode", "ThirdPartyConversationID")
AMOUNTS: Final = ("Amount", "ReversalAmount")
PAYING: Final = ("Amount", "Currency", "CustomerMSISDN", "TransactionReference", *COMMON)
DESCRIPTIONS: Final = {
    "INS-0": "Request processed successfully",
    "INS-1": "Internal Error",
    "INS-6": "Transaction Failed",
    "INS-9": "Request timeout",
    "INS-10": "Duplicate Transaction",
    "INS-13": "Invalid Shortcode Used",
    "INS-15": "Invalid Amount Used",
    "INS-16": "Unable to handle the request due to a temporary overloading",
    "INS-17": "Invalid Transaction Reference. Length Should Be Between 1 and 20.",
    "INS-18": "Invalid TransactionID Used",
    "INS-20": "Not All Parameters Provided. Please try again.",
    "INS-21": "Parameter validations failed. Please try again.",
    "INS-23": "Transaction not found. Contact M-Pesa Support",
    "INS-26": "Invalid Currency Used",
    "INS-28": "Invalid ThirdPartyConversationID Used",
    "INS-30": "Invalid Purchased Items Description Used",
    "INS-31": "Invalid Payment Items Description Used",
    "INS-35": "This transaction do not belong to you",
    "INS-989": "Session Creation Failed",
    "INS-998": "Invalid Market",
    "INS-2006": "Insufficient balance",
    "INS-2051": "MSISDN invalid.",
}
STATUSES: Final = {
    "INS-0": 201,
    "INS-1": 500,
    "INS-6": 401,
    "INS-9": 408,
    "INS-10": 409,
    "INS-16": 503,
    "INS-2006": 422,
}  # every other code: 400


def said(code: str, *, status: int | None = None, **members: str) -> Reply:
    """An answer with a response code."""
    body = {"output_ResponseCode": code, "output_ResponseDesc": DESCRIPTIONS[code], **members}
    return json(body, status or STATUSES.get(code, 400))


def problem(code: str, given: Mapping[str, str]) -> Reply:
    """An answer that refuses a request of these `fields`."""
    reference = given.get("ThirdPartyConversationID", "")
    return said(code, output_TransactionID="N/A", output_ThirdPartyConversationID=reference)


def state(given: Mapping[str, str], word: str, name: str, is_reversed: bool) -> Reply:
    """The answer to a query of these `fields`, about a transaction of this name."""
    return said(
        "INS-0",
        status=200,
        output_ResponseTransactionStatus=word,
        output_ConversationID=uuid4().hex,
        output_ThirdPartyConversationID=given["ThirdPartyConversationID"],
        output_OriginalTransactionID=name,
        output_Reversed=str(is_reversed),
    )


def origin_is_refused(request: Request) -> bool:
    """Whether a request comes from no trusted source: without an Origin, or "not-allowed"."""
    return request.headers.get("origin", "not-allowed") == "not-allowed"


def fields(members: Mapping[str, str]) -> dict[str, str]:
    """The fields of a request, without "input_"."""
    return {name.removeprefix("input_"): value for name, value in members.items()}


def wrong(given: Mapping[str, str], wanted: tuple[str, ...], environment: str, market: str) -> str | None:
    """The code of what is wrong with a request, if anything is."""
    if market not in MARKETS:
        return "INS-998"
    if any(not given.get(name) for name in wanted):
        return "INS-20"
    for name, (pattern, code) in FIELDS.items():
        if name in given and not re.fullmatch(pattern, given[name]):
            return code
    country, currency = MARKETS[market]
    if given["Country"] != country:
        return "INS-21"
    if environment == "sandbox" and given["ServiceProviderCode"] != SANDBOX_SHORTCODE:
        return "INS-13"
    if given.get("Currency", currency) != currency:
        return "INS-26"
    return "INS-15" if any(not _payable(given[name], currency) for name in AMOUNTS if name in given) else None


def _payable(amount: str, currency: str) -> bool:
    units = Decimal(amount) if currency == "TZS" else Decimal(amount) * 100
    return units > 0 and units == units.to_integral_value()


def minor(amount: str) -> int:
    """An amount in hundredths, as our ledger holds it, Tanzania's too."""
    return int(Decimal(amount) * 100)
