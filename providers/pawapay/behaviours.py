"""How pawaPay's simulator behaves: by the last three digits of the wallet's number.

The rows with a failure, and 129, are the sandbox's (docs.pawapay.io/v2/docs/test_numbers); the faults are ours.
"""

from typing import Final, Literal, NamedTuple

from providers.simulation import HANG, RESET, Reply, json

SETTLES_S: Final = 1.0


class Behaviour(NamedTuple):
    """How a transaction ends and how the provider answers and calls back."""

    ends: str | None = "COMPLETED"  # None: never
    failure: str | None = None
    meanwhile: str = "PROCESSING"
    reply: Reply | None = None  # instead of ACCEPTED; what happens has then happened at once
    delay_s: float = 0  # of the answer
    after_s: float = SETTLES_S
    added: int = 0  # minor units
    callbacks: Literal["none", "one", "many", "forged", "der"] = "one"
    rejected: str | None = None
    then: bool = False  # completes two seconds after it failed
    nothing: bool = False  # nothing happens at all


COMPLETES: Final = Behaviour()
ERROR: Final = json({"failureReason": {"failureCode": "UNKNOWN_ERROR", "failureMessage": "internal"}}, 500)
STAYS: Final = Behaviour(None, meanwhile="SUBMITTED")
FAULTS: Final = {
    "005": Behaviour(reply=HANG),
    "006": Behaviour(reply=ERROR),
    "007": Behaviour(reply=ERROR, nothing=True),
    "008": Behaviour(reply=RESET),
    "009": Behaviour(added=1),
    "012": Behaviour(callbacks="many"),
    "013": Behaviour(callbacks="none"),
    "014": Behaviour("FAILED", "UNSPECIFIED_FAILURE", then=True),
    "015": Behaviour(delay_s=20),
    "016": Behaviour(callbacks="forged", after_s=5),
    "018": Behaviour(rejected="PROVIDER_TEMPORARILY_UNAVAILABLE"),
    "021": Behaviour(callbacks="der"),
    "129": STAYS,
}
OUTGOING: Final = {
    **FAULTS,
    "089": Behaviour("FAILED", "RECIPIENT_NOT_FOUND"),
    "099": Behaviour("FAILED", "WALLET_LIMIT_REACHED"),
    "109": Behaviour("FAILED", "RECIPIENT_LIMIT_REACHED"),
    "119": Behaviour("FAILED", "UNSPECIFIED_FAILURE"),
    "139": Behaviour(meanwhile="ENQUEUED"),
}
BEHAVIOURS: Final = {
    "deposits": {
        **FAULTS,
        "019": Behaviour("FAILED", "PAYER_LIMIT_REACHED"),
        "029": Behaviour("FAILED", "PAYER_NOT_FOUND"),
        "039": Behaviour("FAILED", "PAYMENT_NOT_APPROVED"),
        "049": Behaviour("FAILED", "INSUFFICIENT_BALANCE"),
        "069": Behaviour("FAILED", "UNSPECIFIED_FAILURE"),
    },
    "payouts": OUTGOING,
    "refunds": OUTGOING,
}
