"""The kinds of payments of which the load is made: by provider, what its payers do, and their shares."""

import random
from dataclasses import dataclass

ACTED = ("otp", "redirect")  # the cases in which a payer does something
SHORT_S = 60  # the least that a payment may be given: those that nobody will ever pay
AMOUNT_MOST = 100_000  # minor units; Standard Bank Pay's simulator takes no more
KENYA = "daraja"  # in shillings, without cents


@dataclass(frozen=True)
class Case:
    """A kind of payment: provider, what the payer does (digits or token), and its share of the load."""

    name: str
    provider: str
    digits: str
    token: str | None
    weight: float
    short: bool = False  # ends by its expiry only: not made towards the end


def currency_of(provider: str) -> str:
    """Of the provider's country."""
    return "KES" if provider == KENYA else "LSL"


def amount_at(provider: str, dice: random.Random) -> int:
    """In minor units."""
    amount = dice.randrange(1, AMOUNT_MOST)
    return amount - amount % 100 or 100 if provider == KENYA else amount


def wallet(provider: str, digits: str, dice: random.Random) -> dict[str, str]:
    """A wallet whose last digits choose what happens. (At Daraja the two before them are a reversal's.)"""
    number = f"+2547{dice.randrange(1000):03d}00" if provider == KENYA else f"+26658{dice.randrange(1000):03d}"
    return {"type": "mobile_money", "phone": number + digits}


SANDBOX = (
    Case("ok", "sandbox", "000", "tok_ok", 30),
    Case("later", "sandbox", "001", "tok_later", 8),
    Case("insufficient_funds", "sandbox", "002", "tok_insufficient_funds", 5),
    Case("canceled", "sandbox", "003", "tok_canceled", 4),
    Case("never", "sandbox", "004", "tok_never", 2, short=True),
    Case("timeout_charged", "sandbox", "005", "tok_timeout_charged", 3),
    Case("error_charged", "sandbox", "006", "tok_error_charged", 4),
    Case("error_not_charged", "sandbox", "007", "tok_error_not_charged", 3),
    Case("reset_charged", "sandbox", "008", "tok_reset_charged", 4),
    Case("wrong_amount", "sandbox", "009", "tok_wrong_amount", 2),
    Case("redirect", "sandbox", "010", "tok_redirect", 3),
    Case("otp", "sandbox", "011", "tok_otp", 4),
    Case("duplicate_callbacks", "sandbox", "012", "tok_duplicate_callbacks", 4),
    Case("no_callback", "sandbox", "013", "tok_no_callback", 4),
    Case("late_success", "sandbox", "014", "tok_late_success", 3),
    Case("slow", "sandbox", "015", "tok_slow", 2),
    Case("forged_callback", "sandbox", "016", "tok_forged_callback", 3),
)
CPAY = (
    Case("ok", "cpay", "000", None, 10),
    Case("denied", "cpay", "002", None, 2),
    Case("canceled", "cpay", "003", None, 2),
    Case("never", "cpay", "004", None, 1, short=True),
    Case("timeout_charged", "cpay", "005", None, 2),
    Case("error_charged", "cpay", "006", None, 2),
    Case("no_callback", "cpay", "013", None, 3),
    Case("three_callbacks", "cpay", "017", None, 2),
    Case("no_wallet", "cpay", "018", None, 1),
)
MPESA = (
    Case("ok", "mpesa", "000", None, 8),
    Case("later", "mpesa", "001", None, 4),
    Case("insufficient_funds", "mpesa", "002", None, 1),
    Case("declined", "mpesa", "003", None, 1),
    Case("never", "mpesa", "004", None, 0.5, short=True),
    Case("timeout_charged", "mpesa", "005", None, 1),
    Case("error_charged", "mpesa", "006", None, 1),
    Case("error_not_charged", "mpesa", "007", None, 0.5),
    Case("reset_charged", "mpesa", "008", None, 1),
    Case("other_answer", "mpesa", "009", None, 1),
    Case("firewall", "mpesa", "010", None, 1),
    Case("duplicate_callbacks", "mpesa", "012", None, 1),
    Case("no_callback", "mpesa", "013", None, 2),
    Case("late_success", "mpesa", "014", None, 1),
    Case("early_callback", "mpesa", "015", None, 1),
    Case("forged_callback", "mpesa", "016", None, 1),
)
DARAJA = (
    Case("ok", "daraja", "000", None, 10),
    Case("insufficient_funds", "daraja", "002", None, 1),
    Case("canceled", "daraja", "003", None, 1),
    Case("never", "daraja", "004", None, 0.5, short=True),
    Case("timeout_charged", "daraja", "005", None, 1),
    Case("error_charged", "daraja", "006", None, 1),
    Case("error_not_charged", "daraja", "007", None, 0.5),
    Case("reset_charged", "daraja", "008", None, 1),
    Case("wrong_amount", "daraja", "009", None, 1),
    Case("duplicate_callbacks", "daraja", "012", None, 1),
    Case("no_callback", "daraja", "013", None, 2),
    Case("late_success", "daraja", "014", None, 1),
    Case("slow", "daraja", "015", None, 1),
    Case("forged_callback", "daraja", "016", None, 1),
    Case("wrong_pin", "daraja", "017", None, 1),
    Case("busy", "daraja", "018", None, 1),
)
PAWAPAY = (
    Case("ok", "pawapay", "000", None, 10),
    Case("insufficient_funds", "pawapay", "049", None, 1),
    Case("not_approved", "pawapay", "039", None, 1),
    Case("rejected", "pawapay", "018", None, 1),
    Case("never", "pawapay", "129", None, 0.5, short=True),
    Case("timeout_charged", "pawapay", "005", None, 1),
    Case("error_charged", "pawapay", "006", None, 1),
    Case("reset_charged", "pawapay", "008", None, 1),
    Case("wrong_amount", "pawapay", "009", None, 1),
    Case("duplicate_callbacks", "pawapay", "012", None, 1),
    Case("no_callback", "pawapay", "013", None, 2),
    Case("late_success", "pawapay", "014", None, 1),
    Case("slow", "pawapay", "015", None, 1),
    Case("forged_callback", "pawapay", "016", None, 1),
)
STANDARD_BANK_PAY = (
    Case("ok", "standard_bank_pay", "000", None, 8),
    Case("later", "standard_bank_pay", "001", None, 3),
    Case("declined", "standard_bank_pay", "002", None, 1),
    Case("canceled", "standard_bank_pay", "003", None, 1),
    Case("never", "standard_bank_pay", "004", None, 0.5, short=True),
    Case("timeout_charged", "standard_bank_pay", "005", None, 1),
    Case("error_charged", "standard_bank_pay", "006", None, 1),
    Case("error_not_charged", "standard_bank_pay", "007", None, 0.5),
    Case("reset_charged", "standard_bank_pay", "008", None, 1),
    Case("duplicate_callbacks", "standard_bank_pay", "012", None, 1),
    Case("no_callback", "standard_bank_pay", "013", None, 2),
    Case("late_success", "standard_bank_pay", "014", None, 1),
    Case("forged_callback", "standard_bank_pay", "016", None, 1),
    Case("redirect", "standard_bank_pay", "021", None, 1),
)
# What moves money out: (provider, digits of the payee), and payments of these cases are given back.
PAYEES = (
    *(("sandbox", digits) for digits in ("000", "000", "001", "002", "005", "006", "007", "008", "012", "013", "016")),
    *(("cpay", digits) for digits in ("000", "000", "002", "005", "006")),
    *(("mpesa", digits) for digits in ("000", "000", "001", "002", "005", "006", "008", "010", "012", "013")),
    *(("daraja", digits) for digits in ("000", "000", "002", "003", "005", "006", "008", "012", "013", "016", "019")),
    *(("pawapay", digits) for digits in ("000", "000", "089", "005", "006", "008", "012", "013", "016")),
)
GIVEN_BACK = ("ok", "later", "timeout_charged", "error_charged", "reset_charged", "duplicate_callbacks", "no_callback")
GIVING_BACK = ("sandbox", "mpesa", "daraja", "pawapay")
CASES = (*SANDBOX, *CPAY, *MPESA, *DARAJA, *PAWAPAY, *STANDARD_BANK_PAY)
