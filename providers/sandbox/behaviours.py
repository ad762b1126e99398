"""How the sandbox's payers behave: the table that phones and card tokens choose from. Of the simulator alone."""

from typing import Final, Literal, NamedTuple

from providers.simulation import HANG, RESET, Reply, json

Callbacks = Literal["none", "one", "five", "forged"]


class Step(NamedTuple):
    """What happens `after_s` seconds after a charge came: its new status, and the callbacks about it."""

    after_s: float
    status: str | None
    callbacks: Callbacks = "one"
    decline_code: str | None = None


class Behaviour(NamedTuple):
    """How one kind of payer behaves: the charge's first status, how the request is answered, and what comes later."""

    token: str
    status: str | None = "succeeded"  # None: nothing is charged and nothing remembered
    reply: Reply | None = None  # None: the charge
    decline_code: str | None = None
    delay_s: float = 0
    added: int = 0  # minor units charged beyond the amount
    steps: tuple[Step, ...] = ()


ERROR: Final = json({"error": "internal_error"}, 500)
UNAVAILABLE: Final = json({"error": "unavailable"}, 503)

BEHAVIOURS: Final = {
    "000": Behaviour("tok_ok"),
    "001": Behaviour("tok_later", "pending", steps=(Step(1, "succeeded"),)),
    "002": Behaviour("tok_insufficient_funds", "declined", decline_code="insufficient_funds"),
    "003": Behaviour("tok_canceled", "pending", steps=(Step(1, "declined", decline_code="payer_canceled"),)),
    "004": Behaviour("tok_never", "pending"),
    "005": Behaviour("tok_timeout_charged", reply=HANG),
    "006": Behaviour("tok_error_charged", reply=ERROR),
    "007": Behaviour("tok_error_not_charged", None, reply=UNAVAILABLE),
    "008": Behaviour("tok_reset_charged", reply=RESET),
    "009": Behaviour("tok_wrong_amount", added=1),
    "010": Behaviour("tok_redirect", "requires_action"),
    "011": Behaviour("tok_otp", "requires_action"),
    "012": Behaviour("tok_duplicate_callbacks", "pending", steps=(Step(1, "succeeded", "five"),)),
    "013": Behaviour("tok_no_callback", "pending", steps=(Step(1, "succeeded", "none"),)),
    "014": Behaviour(
        "tok_late_success",
        "pending",
        steps=(Step(1, "declined", decline_code="do_not_honor"), Step(3, "succeeded")),
    ),
    "015": Behaviour("tok_slow", delay_s=20),
    "016": Behaviour("tok_forged_callback", "pending", steps=(Step(1, None, "forged"), Step(5, "succeeded", "none"))),
}
OTP_DIGITS: Final = "011"
REDIRECT_DIGITS: Final = "010"
OTHERS: Final = "000"
_BY_TOKEN: Final = {behaviour.token: digits for digits, behaviour in BEHAVIOURS.items()}


def digits_of(method: str, phone: str, token: str) -> str:
    """The row that a payer chooses: by the phone's last three digits or the token; a redirect is always a redirect."""
    if method == "redirect":
        return REDIRECT_DIGITS
    digits = _BY_TOKEN.get(token, OTHERS) if token else phone[-3:]
    return digits if digits in BEHAVIOURS else OTHERS
