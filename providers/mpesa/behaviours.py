"""How the simulator's payers and payees behave, and the sandbox's documented numbers. Of the simulator alone."""

from typing import Final, Literal, NamedTuple

from providers.mpesa.portal import said
from providers.simulation import HANG, RESET, Reply, html

Callbacks = Literal["none", "one", "five", "forged"]


class Step(NamedTuple):
    """What happens `after_s` seconds after a request came: how it ends, and the callbacks about it."""

    after_s: float
    code: str | None
    callbacks: Callbacks = "one"


class Behaviour(NamedTuple):
    """What becomes of a request: its end at once (None: it is only accepted), how it is answered, what comes later."""

    code: str | None = "INS-0"
    reply: Reply | None = None
    kept: bool = True  # False: nothing is done and nothing remembered
    delay_s: float = 0
    steps: tuple[Step, ...] = ()


FIREWALL: Final = html(
    "<html><title>Request Rejected</title>The requested URL was rejected. Your support ID is: 1</html>"
)
OTHERS: Final = Behaviour()
BEHAVIOURS: Final = {
    "001": Behaviour(None, steps=(Step(1, "INS-0"),)),
    "002": Behaviour("INS-2006"),
    "003": Behaviour(None, steps=(Step(1, "INS-6"),)),
    "004": Behaviour(None),
    "005": Behaviour(reply=HANG),
    "006": Behaviour(reply=said("INS-1")),
    "007": Behaviour(reply=said("INS-16"), kept=False),
    "008": Behaviour(reply=RESET),
    "009": Behaviour(reply=said("INS-0", output_TransactionID="OTHER00001", output_ThirdPartyConversationID="OTHER")),
    "010": Behaviour(reply=FIREWALL),
    "012": Behaviour(None, steps=(Step(1, "INS-0", "five"),)),
    "013": Behaviour(None, steps=(Step(1, "INS-0", "none"),)),
    "014": Behaviour(None, steps=(Step(1, "INS-6"), Step(3, "INS-0"))),
    "015": Behaviour(None, delay_s=2, steps=(Step(0, "INS-0"),)),
    "016": Behaviour(None, steps=(Step(1, None, "forged"), Step(5, "INS-0", "none"))),
}

# The sandbox's own, by the last digit of 00000000000N (of a reversal: of the 13 digits of the transaction id).
CUSTOMERS: Final = dict(zip("123456789", ["0", "9", "9", "6", "1", "6", "15", "2006", "16"], strict=True))
PAYEES: Final = dict(zip("1234567", ["0", "1", "6", "9", "15", "2006", "16"], strict=True))
REVERSED: Final = dict(zip("1234567", ["0", "1", "6", "15", "2006", "35", "16"], strict=True))
ASKED: Final = {  # by the length of the QueryReference, and its last digit
    12: {"1": "0", "2": "1", "3": "6", "7": "16"},
    21: dict(zip("12345", ["0", "20", "1", "6", "16"], strict=True)),  # 1: it was reversed
}


def behaviour(digits: str) -> Behaviour:
    """Of a number, by its last three digits."""
    return BEHAVIOURS.get(digits, OTHERS)


def triggered(code: str) -> Behaviour:
    """Of a number of the sandbox, by the code that is documented for it: what did not come to an end was not done."""
    return Behaviour(
        f"INS-{code}", kept=code not in ("1", "9", "16"), reply=None if code == "0" else said(f"INS-{code}")
    )
