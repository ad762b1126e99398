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
    # The provider says both words; whichever is heard last, a person is asked to look, unless only one was heard.
    ("sandbox", "late_success"): (
        SUCCEEDED,
        ("succeeded", None, "late_success"),
        ("succeeded", None, "contradicted"),
    ),
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
}


def ends(provider: str, case: str) -> tuple[End, ...]:
    """Every end that the contract allows: C-Pay answers nothing about what it does not know, and then a person does."""
    return (*ENDS[provider, case], UNAVAILABLE, *((UNKNOWN,) if provider == "cpay" else ()))


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
BESIDE = frozenset({"review", "review_resolved"})
FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
