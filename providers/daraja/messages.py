"""What Daraja's simulator takes, remembers and sends: bodies of requests, transactions, callbacks."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from providers.daraja.behaviours import BEHAVIOURS, NORMAL, Behaviour
from providers.simulation import Callback

Msisdn = Annotated[str, Meta(pattern=r"^254[17]\d{8}$")]
Whole = Annotated[int, Meta(ge=1)]


class Push(Struct, frozen=True):
    """The body of a push."""

    BusinessShortCode: str
    Password: str
    Timestamp: Annotated[str, Meta(pattern=r"^20\d{12}$")]
    TransactionType: Annotated[str, Meta(pattern="^Customer(PayBill|BuyGoods)Online$")]
    Amount: Whole
    PartyA: Msisdn
    PartyB: str
    PhoneNumber: Msisdn
    CallBackURL: str
    AccountReference: Annotated[str, Meta(max_length=12)]
    TransactionDesc: Annotated[str, Meta(max_length=13)]


class PushQuery(Struct, frozen=True):
    """The body of a push's query."""

    BusinessShortCode: str
    Password: str
    Timestamp: str
    CheckoutRequestID: str


class Late(Struct, frozen=True, kw_only=True):
    """What everything has in common that is answered later."""

    SecurityCredential: str
    CommandID: str
    Remarks: Annotated[str, Meta(max_length=100)]
    ResultURL: str
    QueueTimeOutURL: str


class Payout(Late, frozen=True, kw_only=True):
    """The body of a payout."""

    OriginatorConversationID: str
    InitiatorName: str
    Amount: Whole
    PartyA: str
    PartyB: Msisdn


class Reversal(Late, frozen=True, kw_only=True):
    """The body of a reversal."""

    Initiator: str
    TransactionID: str
    Amount: Whole
    ReceiverParty: str
    RecieverIdentifierType: str


class StatusQuery(Late, frozen=True, kw_only=True):
    """The body of a question about a transaction."""

    Initiator: str
    PartyA: str
    IdentifierType: str
    TransactionID: str = ""
    OriginalConversationID: str = ""


class Registration(Struct, frozen=True):
    """The body of a registration."""

    ShortCode: str
    ResponseType: str
    ConfirmationURL: str
    ValidationURL: str


class Handset(Struct, frozen=True):
    """The body of a simulated payment from a handset."""

    ShortCode: str
    CommandID: str
    Amount: Whole
    Msisdn: str
    BillRefNumber: str = ""


class Transaction(Struct, kw_only=True):
    """Anything that moves money, or is to; `id` is its CheckoutRequestID or ConversationID."""

    kind: str  # charges (a push), handset, payouts, refunds, or urls (registered for a shortcode)
    id: str
    originator: str = ""
    reference: str = ""
    receipt: str = ""
    original: str = ""  # of a refund: the receipt of what it reverses
    phone: str = ""
    amount: int = 0
    shortcode: str = ""
    url: str = ""
    late_url: str = ""
    at: float
    code: str | None = None  # ResultCode, once there is one
    reversed: bool = False

    @property
    def behaviour(self) -> Behaviour:
        """What the wallet's number chooses."""
        digits = "0" + self.phone[-5:-3] if self.kind == "refunds" else self.phone[-3:]
        return NORMAL if self.kind == "handset" else BEHAVIOURS.get(digits, NORMAL)


def is_meant(one: Transaction, body: StatusQuery) -> bool:
    """Whether a question is about this transaction."""
    by_receipt = bool(body.TransactionID) and (one.receipt, one.code) == (body.TransactionID, "0")
    return by_receipt or (bool(body.OriginalConversationID) and one.originator == body.OriginalConversationID)


def accepted(one: Transaction) -> dict[str, Any]:
    """The acknowledgement of what is answered later."""
    return {
        "ConversationID": one.id,
        "OriginatorConversationID": one.originator,
        "ResponseCode": "0",
        "ResponseDescription": "Accept the service request successfully.",
    }


def push_accepted(one: Transaction, number: int) -> dict[str, Any]:
    """The acknowledgement of a push."""
    return {
        "MerchantRequestID": f"{number}-1",
        "CheckoutRequestID": one.id,
        "ResponseCode": "0",
        "ResponseDescription": "Success. Request accepted for processing",
        "CustomerMessage": "Success. Request accepted for processing",
    }


def push_stands(one: Transaction) -> dict[str, Any]:
    """The answer to a question about a push that is over, or will never be."""
    return {
        "ResponseCode": "0",
        "ResponseDescription": "The service request has been accepted successfully",
        "MerchantRequestID": "1-1",
        "CheckoutRequestID": one.id,
        "ResultCode": one.code or "4999",
        "ResultDesc": words(one.code),
    }


def result(one: Transaction) -> Callback:
    """What became of it."""
    amount = one.amount + one.behaviour.added
    if one.kind == "charges":
        return push_callback(one.id, one.code, one.receipt, amount, one.phone)
    return result_callback(one, one.code, one.receipt, {"TransactionAmount": amount} if one.code == "0" else {})


def forged(one: Transaction) -> Callback:
    """What somebody sends who knows the address, and not the provider's names."""
    if one.kind == "charges":
        return push_callback("ws_CO_forged", "0", "FORGED0001", one.amount, one.phone)
    fake = msgspec.structs.replace(one, id="AG_forged", originator="1-1-1")
    return result_callback(fake, "0", "FORGED0001", {"TransactionAmount": one.amount})


def status(asked: Transaction, found: Transaction | None) -> Callback:
    """The answer to a question about a transaction."""
    if found is None:
        return result_callback(asked, "2032", "", {})
    stated = {
        "TransactionStatus": {None: "Pending", "0": "Completed"}.get(found.code, "Declined"),
        "ReceiptNo": found.receipt,
        "Amount": float(found.amount),
        "OriginatorConversationID": found.originator,
        "ConversationID": found.id,
        "TransactionReason": None,
    }
    return result_callback(asked, "0", "SIM0000000", stated)


def payment(one: Transaction, *, balance: str) -> Callback:
    """A payment to the paybill: `balance` is empty before it is made."""
    said = {
        "TransactionType": "Pay Bill",
        "TransID": one.receipt,
        "TransTime": stamp("%Y%m%d%H%M%S"),
        "TransAmount": f"{one.amount}.00",
        "BusinessShortCode": one.shortcode,
        "BillRefNumber": one.reference,
        "InvoiceNumber": "",
        "OrgAccountBalance": balance,
        "ThirdPartyTransID": "",
        "MSISDN": one.phone,
        "FirstName": "Wanjiku",
    }
    return callback(said)


def push_callback(checkout: str, code: str | None, receipt: str, amount: int, phone: str) -> Callback:
    """What became of a push; `Balance` has no value, as seen."""
    items: list[dict[str, Any]] = [
        {"Name": "Amount", "Value": float(amount)},
        {"Name": "MpesaReceiptNumber", "Value": receipt},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": int(stamp("%Y%m%d%H%M%S"))},
        {"Name": "PhoneNumber", "Value": int(phone)},
    ]
    number = int(code) if code is not None and code.isdigit() else code
    said = {"MerchantRequestID": "1-1", "CheckoutRequestID": checkout, "ResultCode": number, "ResultDesc": words(code)}
    return callback({"Body": {"stkCallback": said | ({"CallbackMetadata": {"Item": items}} if code == "0" else {})}})


def result_callback(one: Transaction, code: str | None, receipt: str, stated: dict[str, Any]) -> Callback:
    """A result; a single parameter comes without the list, one without a value has none."""
    rows = [{"Key": key} if value is None else {"Key": key, "Value": value} for key, value in stated.items()]
    result: dict[str, Any] = {
        "ResultType": 0,
        "ResultCode": int(code) if code is not None and code.isdigit() else code,
        "ResultDesc": words(code),
        "OriginatorConversationID": one.originator,
        "ConversationID": one.id,
        "TransactionID": receipt,
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": one.late_url}},
    }
    if rows:
        result["ResultParameters"] = {"ResultParameter": rows[0] if len(rows) == 1 else rows}
    return callback({"Result": result})


def callback(body: object) -> Callback:
    """A callback: JSON, and no signature."""
    return Callback(msgspec.json.encode(body), {"content-type": "application/json"})


def words(code: str | None) -> str:
    """The words for a ResultCode."""
    return "The service request is processed successfully." if code == "0" else f"Result {code}"


def conversation() -> str:
    """A new ConversationID."""
    return f"AG_{stamp('%Y%m%d')}_{secrets.token_hex(10)}"


def stamp(form: str) -> str:
    """Now, in Nairobi."""
    return (datetime.now(UTC) + timedelta(hours=3)).strftime(form)
