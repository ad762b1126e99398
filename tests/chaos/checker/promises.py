"""What is promised for each case of the load: how its payment may end. From the HTTP contract, not from the code.

An end is (status, failure code, review reason). Whoever cannot be reached, for three sends that provably were none,
fails with `provider_unavailable` whatever the payer would have done; the ledger then shows no charge.
"""

End = tuple[str, str | None, str | None]

SUCCEEDED: End = ("succeeded", None, None)
EXPIRED: End = ("expired", "expired", None)
UNAVAILABLE: End = ("failed", "provider_unavailable", None)
UNKNOWN: End = ("processing", None, "unknown_outcome")


def failed(code: str) -> End:
    """Declined, with this code."""
    return ("failed", code, None)


# The provider says both words; whichever is heard last, a person is asked to look, unless only one was heard.
LATE_SUCCESS: tuple[End, ...] = (
    SUCCEEDED,
    ("succeeded", None, "late_success"),
    ("succeeded", None, "contradicted"),
)
ENDS: dict[tuple[str, str], tuple[End, ...]] = {
    ("sandbox", "ok"): (SUCCEEDED,),
    ("sandbox", "later"): (SUCCEEDED,),
    ("sandbox", "insufficient_funds"): (failed("insufficient_funds"),),
    ("sandbox", "canceled"): (failed("payer_canceled"),),
    ("sandbox", "never"): (EXPIRED,),
    ("sandbox", "timeout_charged"): (SUCCEEDED,),
    ("sandbox", "error_charged"): (SUCCEEDED,),
    ("sandbox", "error_not_charged"): (),
    ("sandbox", "reset_charged"): (SUCCEEDED,),
    ("sandbox", "wrong_amount"): (("processing", None, "amount_mismatch"),),
    ("sandbox", "redirect"): (SUCCEEDED, failed("payer_canceled")),
    ("sandbox", "otp"): (SUCCEEDED, failed("invalid_otp")),
    ("sandbox", "duplicate_callbacks"): (SUCCEEDED,),
    ("sandbox", "no_callback"): (SUCCEEDED,),
    ("sandbox", "late_success"): LATE_SUCCESS,
    ("sandbox", "slow"): (SUCCEEDED,),
    ("sandbox", "forged_callback"): (SUCCEEDED,),
    ("cpay", "ok"): (SUCCEEDED,),
    ("cpay", "denied"): (failed("declined"),),
    ("cpay", "canceled"): (failed("payer_canceled"),),
    ("cpay", "never"): (EXPIRED,),
    ("cpay", "timeout_charged"): (SUCCEEDED,),
    ("cpay", "error_charged"): (SUCCEEDED,),
    ("cpay", "no_callback"): (SUCCEEDED,),
    ("cpay", "three_callbacks"): (SUCCEEDED,),
    ("cpay", "no_wallet"): (failed("invalid_payer"),),
    ("mpesa", "ok"): (SUCCEEDED,),
    ("mpesa", "later"): (SUCCEEDED,),
    ("mpesa", "insufficient_funds"): (failed("insufficient_funds"), failed("declined")),  # a query tells no reason
    ("mpesa", "declined"): (failed("declined"),),
    ("mpesa", "never"): (EXPIRED,),
    ("mpesa", "timeout_charged"): (SUCCEEDED,),
    ("mpesa", "error_charged"): (SUCCEEDED,),
    ("mpesa", "error_not_charged"): (),
    ("mpesa", "reset_charged"): (SUCCEEDED,),
    ("mpesa", "other_answer"): (SUCCEEDED,),
    ("mpesa", "firewall"): (SUCCEEDED,),
    ("mpesa", "duplicate_callbacks"): (SUCCEEDED,),
    ("mpesa", "no_callback"): (SUCCEEDED,),
    ("mpesa", "late_success"): LATE_SUCCESS,
    ("mpesa", "early_callback"): (SUCCEEDED,),
    ("mpesa", "forged_callback"): (SUCCEEDED,),
    ("daraja", "ok"): (SUCCEEDED,),
    ("daraja", "insufficient_funds"): (failed("insufficient_funds"),),
    ("daraja", "canceled"): (failed("payer_canceled"),),
    ("daraja", "never"): (EXPIRED,),
    ("daraja", "timeout_charged"): (SUCCEEDED,),
    ("daraja", "error_charged"): (SUCCEEDED,),
    ("daraja", "error_not_charged"): (),
    ("daraja", "reset_charged"): (SUCCEEDED,),
    # The callback states a shilling more than was taken; a query states no amount, and may be the first to be heard.
    ("daraja", "wrong_amount"): (
        SUCCEEDED,
        *((status, None, "amount_mismatch") for status in ("processing", "succeeded")),
    ),
    ("daraja", "duplicate_callbacks"): (SUCCEEDED,),
    ("daraja", "no_callback"): (SUCCEEDED,),
    ("daraja", "late_success"): LATE_SUCCESS,
    ("daraja", "slow"): (SUCCEEDED,),
    ("daraja", "forged_callback"): (SUCCEEDED,),
    ("daraja", "wrong_pin"): (failed("authentication_failed"),),
    ("daraja", "busy"): (),
    ("pawapay", "ok"): (SUCCEEDED,),
    ("pawapay", "insufficient_funds"): (failed("insufficient_funds"),),
    ("pawapay", "not_approved"): (failed("payer_timeout"),),
    ("pawapay", "rejected"): (),
    ("pawapay", "never"): (EXPIRED,),
    ("pawapay", "timeout_charged"): (SUCCEEDED,),
    ("pawapay", "error_charged"): (SUCCEEDED,),
    ("pawapay", "reset_charged"): (SUCCEEDED,),
    ("pawapay", "wrong_amount"): (("processing", None, "amount_mismatch"),),
    ("pawapay", "duplicate_callbacks"): (SUCCEEDED,),
    ("pawapay", "no_callback"): (SUCCEEDED,),
    ("pawapay", "late_success"): LATE_SUCCESS,
    ("pawapay", "slow"): (SUCCEEDED,),
    ("pawapay", "forged_callback"): (SUCCEEDED,),
    ("standard_bank_pay", "ok"): (SUCCEEDED,),
    ("standard_bank_pay", "later"): (SUCCEEDED,),
    ("standard_bank_pay", "declined"): (failed("declined"),),
    ("standard_bank_pay", "canceled"): (failed("payer_canceled"),),
    ("standard_bank_pay", "never"): (EXPIRED,),
    ("standard_bank_pay", "timeout_charged"): (SUCCEEDED,),
    ("standard_bank_pay", "error_charged"): (SUCCEEDED,),
    ("standard_bank_pay", "error_not_charged"): (),
    ("standard_bank_pay", "reset_charged"): (SUCCEEDED,),
    ("standard_bank_pay", "duplicate_callbacks"): (SUCCEEDED,),
    ("standard_bank_pay", "no_callback"): (SUCCEEDED,),
    ("standard_bank_pay", "late_success"): LATE_SUCCESS,
    ("standard_bank_pay", "forged_callback"): (SUCCEEDED,),
    ("standard_bank_pay", "redirect"): (SUCCEEDED, failed("declined")),
}

# By provider: which requests move money, where a repetition has no second effect by its documents, and where nothing is
# promised about what is not found (then an unknown may stay one, and a person is asked).
SENDS = {
    "sandbox": r"/v1/(charges|authorizations|captures|voids|refunds|payouts)",
    "cpay": r"/api/cpaypayments/(paymentrequest/async/transactions|payment)|/api/disbursements/wallet-topup-advance",
    "mpesa": r".*/(c2bPayment/singleStage|b2cPayment|reversal)/",
    "daraja": r"/mpesa/(stkpush/v1/processrequest|b2c/v3/paymentrequest)",
    "pawapay": r"/v2/(deposits|payouts|refunds)",
    "standard_bank_pay": r"/api/v1/payments/initiate",
}
NEVER_TWICE = r"(/api/cpaypayments|/api/disbursements|/mpesa/stkpush|/api/v1/payments/initiate).*"
REVERSAL = "/mpesa/reversal/v1/request"  # Daraja's, which does not carry our name for it, and is never repeated either
UNPROVABLE = ("cpay", "daraja", "standard_bank_pay")


def ends(provider: str, case: str) -> tuple[End, ...]:
    """Every end that the contract allows: where absence proves nothing, a person answers what the provider does not."""
    return (*ENDS[provider, case], UNAVAILABLE, *((UNKNOWN,) if provider in UNPROVABLE else ()))


# Which status may follow which, as events tell it; reviews come and go beside it.
FOLLOWS: dict[str, frozenset[str]] = {
    "created": frozenset({"processing", "requires_action", "authorized", "succeeded", "failed", "canceled", "expired"}),
    "processing": frozenset({"requires_action", "authorized", "succeeded", "failed", "canceled", "expired"}),
    "requires_action": frozenset({"requires_action", "processing", "authorized", "succeeded", "failed", "expired"}),
    "authorized": frozenset({"succeeded", "failed", "canceled"}),
    "succeeded": frozenset(),
    "failed": frozenset({"succeeded"}),
    "canceled": frozenset({"succeeded"}),
    "expired": frozenset({"succeeded"}),
}
BESIDE = frozenset({"review", "review_resolved", "refunded", "captured"})
FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
