"""How C-Pay's payers behave, and what the simulator remembers of a payment. Of the simulator alone."""

from typing import Any, Final, NamedTuple

from msgspec import Struct

from providers.simulation import HANG, Reply, json


class Behaviour(NamedTuple):
    """How a payer ends a payment, how the provider answers meanwhile, and how often it calls back."""

    status: str | None = "PROCESSED"  # None: never ends
    reply: Reply | None = None
    callbacks: int = 1
    reversed: bool = False  # a second after it succeeded


APPROVES: Final = Behaviour()
BEHAVIOURS: Final = {
    "000": APPROVES,
    "002": Behaviour("DENIED"),
    "003": Behaviour("CANCELED"),
    "004": Behaviour(None),
    "005": Behaviour(reply=HANG),
    "006": Behaviour(reply=json({"statusCode": "500", "description": "Internal server error"}, 500)),
    "013": Behaviour(callbacks=0),
    "017": Behaviour(callbacks=3),
    "019": Behaviour(reversed=True),
}
NO_WALLET: Final = "018"
IN_FRAME: Final = "020"

PAGE: Final = """<!doctype html><html lang="en"><title>C-Pay</title><h1>C-Pay</h1><p>Pay M {amount}?</p>
<form method="post" action="/card/{id}?pay=yes"><button>Pay</button></form>
<form method="post" action="/card/{id}?pay=no"><button>Cancel</button></form></html>"""


class TransactionRequest(Struct, frozen=True, rename="camel"):
    """The inner body of all three calls."""

    ext_transaction_id: str
    client_code: str
    msisdn: str
    amount: str
    currency: str
    checksum: str
    redirect_url: str
    otp: str = ""
    short_description: str = ""
    additional_data: dict[str, Any] = {}


class Body(Struct, frozen=True, rename="camel"):
    """The body of all three calls."""

    transaction_request: TransactionRequest


class PayoutBody(Struct, frozen=True, rename="camel"):
    """The body of a payout: wrapped twice."""

    transaction_request: Body


class Payment(Struct, kw_only=True):
    """A payment or payout, as the simulator remembers it, under its own id: references may repeat."""

    id: str
    request: TransactionRequest
    at: float
    status: str
    wallet: str | None = None  # a payout's, with its operator: "CPAY 58123456"

    @property
    def behaviour(self) -> Behaviour:
        """What the payer's number chooses."""
        return BEHAVIOURS.get(self.request.msisdn[-3:], APPROVES)
