"""What the sandbox remembers: transactions, what they may still be used for, and what they count for in the ledger."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from providers.sandbox.behaviours import BEHAVIOURS, Behaviour


class Method(Struct, frozen=True):
    """How the payer pays, or where a payout goes: a phone, a token, or neither (redirect)."""

    type: str
    phone: str = ""
    token: str = ""


class New(Struct, frozen=True):
    """The body of a request: with a `method`, or `of` what it captures, voids or refunds (id or reference)."""

    reference: Annotated[str, Meta(pattern=r"^\w{1,100}$")]
    payment: str
    amount: Annotated[int, Meta(ge=1)]
    currency: str
    callback_url: str
    method: Method | None = None
    of: str | None = None
    payee: str | None = None
    description: str | None = None
    return_url: str = ""


class Kind(Struct, frozen=True):
    """A type of transaction: the prefix of its ids, the status in which it has succeeded, its list in the ledger."""

    prefix: str
    done: str = "succeeded"
    ledger: str | None = None
    follows: frozenset[str] = frozenset()  # the collections that it can be `of`


KINDS: Final[Mapping[str, Kind]] = {
    "charges": Kind("ch_", ledger="charges"),
    "authorizations": Kind("au_", "authorized", "authorizations"),
    "captures": Kind("cp_", ledger="charges", follows=frozenset({"authorizations"})),
    "voids": Kind("vd_", follows=frozenset({"authorizations"})),
    "refunds": Kind("rf_", ledger="refunds", follows=frozenset({"charges", "authorizations"})),
    "payouts": Kind("po_", ledger="payouts"),
}


class Transaction(Struct, kw_only=True):
    """Anything that was asked for, as the simulator remembers it. `type` is its collection."""

    id: str
    type: str
    key: str  # the idempotency key
    api_key: str
    base_url: str  # of the simulator, as the client called it: of the redirect's page
    at: float  # Unix seconds
    digits: str  # of BEHAVIOURS
    new: New
    status: str
    decline_code: str | None = None
    steps_taken: int = 0
    steps_told: list[int] = []  # those whose callbacks were delivered, or given up
    wrong_otps: list[str] = []  # the operations that brought them

    @property
    def kind(self) -> Kind:
        """What it is."""
        return KINDS[self.type]

    @property
    def behaviour(self) -> Behaviour:
        """The row of the table that was chosen."""
        return BEHAVIOURS[self.digits]

    @property
    def amount(self) -> int:
        """What is moved, in minor units: not always what was asked."""
        return self.new.amount + self.behaviour.added

    def view(self) -> dict[str, Any]:
        """As the protocol shows it, but for what the payer must do."""
        return {
            "id": self.id,
            "reference": self.new.reference,
            "status": self.status,
            "amount": self.amount,
            "currency": self.new.currency,
            "decline_code": self.decline_code,
        }


def is_possible(new: New, collection: str, of: Transaction | None, others: Iterable[Transaction]) -> bool:
    """Whether `of` can be captured, voided or refunded by so much; `others` are what was asked of it before."""
    if of is None or of.type not in KINDS[collection].follows or of.status != of.kind.done:
        return False
    used = [each for each in others if each.status != "declined"]
    captured = sum(each.amount for each in used if each.type == "captures")
    voided = any(each.type == "voids" for each in used)
    refunded = sum(each.amount for each in used if each.type == "refunds")
    if collection == "voids":
        return captured == 0 and not voided
    if collection == "captures":
        return captured + new.amount <= of.amount and not voided
    return refunded + new.amount <= (of.amount if of.type == "charges" else captured)
