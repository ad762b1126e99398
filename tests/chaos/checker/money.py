"""Invariants about money: the ledgers of the providers against what we say, and how often anything was sent."""

from collections import Counter, defaultdict
from itertools import pairwise
from re import fullmatch

from tests.chaos.checker.evidence import Evidence, Found, Row
from tests.chaos.checker.promises import FINAL, NEVER_TWICE, REVERSAL, SENDS, ends

ENDED = frozenset({"declined", "not_sent", "lapsed", "late_succeeded"})
PROMPT = "ws_CO_"  # Daraja's name of a prompt, which a payment keeps where no callback told the receipt's
HEARD = ("applied", "asked")  # what became of a callback that was taken for the provider's word
LATER_PAID = ("declined", "payer_canceled")  # the word before the last one, in the cases "late_success"


def charged_at_most_once(seen: Evidence) -> Found:
    """I4: no payer was charged twice for one payment, by the providers' own ledgers."""
    for payment in seen.money:
        charges = seen.charges(payment)
        review = seen.payments.get(payment, {}).get("review")
        if len(charges) > 1 and review != "second_success":
            yield payment, f"charged {len(charges)} times: {[charge['id'] for charge in charges]}"


def money_agrees(seen: Evidence) -> Found:
    """I5: status, amount, currency and reference are what the provider's ledger says."""
    for payment, row in seen.payments.items():
        charges, paid = seen.charges(payment), row["status"] == "succeeded"
        if paid and not charges:
            yield payment, "succeeded, and no provider charged it"
        if charges and not paid and row["review"] is None and not _last_word_lost(seen, payment, row):
            yield payment, f"is {row['status']} without review, and the provider charged it"
        if paid and charges:
            yield from _same_money(seen, payment, row, charges[0])
    for payment in seen.money.keys() - seen.payments.keys() - seen.payouts.keys():
        yield payment, "the provider moved money for a payment that does not exist"


def _last_word_lost(seen: Evidence, payment: str, row: Row) -> bool:
    """The provider declined for good, signed, then charged all the same, and of its two callbacks only one arrived.

    Nobody here can know; the report counts them.
    """
    names = {one["id"] for one in seen.attempts(payment)}
    arrived = [one for one in seen.callbacks if one["operation_id"] in names and one["result"] in HEARD]
    return row["case"] == "late_success" and row["failure"] in LATER_PAID and len(arrived) < 2


def undetectable(seen: Evidence) -> list[str]:
    """Payments that were charged after a final decline, in a callback that never arrived."""
    failed = {payment: row for payment, row in seen.payments.items() if row["failure"] in LATER_PAID}
    return [payment for payment, row in failed.items() if seen.charges(payment) and _last_word_lost(seen, payment, row)]


def _same_money(seen: Evidence, payment: str, row: Row, charge: Row) -> Found:
    if (row["amount_captured"], row["currency"]) != (charge["amount"], charge["currency"]):
        took = f"{charge['amount']} {charge['currency']}"
        yield payment, f"captured {row['amount_captured']} {row['currency']}, and the provider took {took}"
    if row["provider_reference"] != charge["id"] and not str(row["provider_reference"]).startswith(PROMPT):
        yield payment, f"names {row['provider_reference']}, and the provider calls it {charge['id']}"
    if charge["reference"] not in {one["reference"] for one in seen.attempts(payment)}:
        yield payment, f"was charged under a reference that is none of ours: {charge['reference']}"


def promised_ends(seen: Evidence) -> Found:
    """I5b: each kind of payer ends as the contract's table says."""
    doubted = {row["payment"] for row in seen.refunds.values() if row["review"] is not None}
    for payment, row in seen.payments.items():
        end = (row["status"], row["failure"], None if payment in doubted else row["review"])
        settled = row["status"] in FINAL or row["review"] is not None  # else it is I3's
        if settled and end not in ends(row["provider"], row["case"]) and not _last_word_lost(seen, payment, row):
            yield payment, f"case {row['case']} of {row['provider']} ended as {end}"


def amounts_are_bounded(seen: Evidence) -> Found:
    """I6: refunds ≤ captures ≤ amount, here and in the ledgers."""
    for payment, row in seen.payments.items():
        if not 0 <= row["amount_refunded"] <= row["amount_captured"] <= row["amount"]:
            yield payment, f"refunded {row['amount_refunded']}, captured {row['amount_captured']} of {row['amount']}"
        given_back = sum(one["amount"] for one in seen.moved(payment, "refunds"))
        if given_back > sum(one["amount"] for one in seen.charges(payment)):
            yield payment, f"the provider gave back {given_back}, more than it took"


def money_out_agrees(seen: Evidence) -> Found:
    """I6b: a payout or refund that succeeded moved its money once, and one that failed moved none."""
    for payout, row in seen.payouts.items():
        paid = [(one["amount"], one["currency"]) for one in seen.moved(payout, "payouts")]
        told = [(row["amount"], row["currency"])] if row["status"] == "succeeded" else []
        if len(paid) > 1 or (row["review"] is None and paid != told):
            yield payout, f"is {row['status']}, {row['amount']} {row['currency']}, and the provider paid {paid}"
    refunds: dict[str, list[Row]] = defaultdict(list)
    for row in seen.refunds.values():
        refunds[row["payment"]].append(row)
    for payment, rows in refunds.items():
        root, given = seen.payments[payment], [one["amount"] for one in seen.moved(payment, "refunds")]
        succeeded = [one["amount"] for one in rows if one["status"] == "succeeded"]
        if len(given) > len(rows):
            yield payment, f"{len(rows)} refunds, and the provider gave back {given}"
        elif root["review"] is None and (
            sorted(succeeded) != sorted(given) or sum(succeeded) != root["amount_refunded"]
        ):
            yield payment, f"refunded {root['amount_refunded']} by {succeeded}, and the provider gave back {given}"


def sent_no_more_than_allowed(seen: Evidence) -> Found:
    """S: nothing reaches a provider twice that promises nothing about a repetition; and nothing goes unclaimed."""
    for payment, requests in seen.requests.items():
        sent = [one for one in requests if one["method"] != "GET" and fullmatch(SENDS[one["provider"]], one["path"])]
        attempts = {one["reference"]: one for one in seen.operations.get(payment, []) if one["verb"] != "query"}
        for reference, times in Counter(one["reference"] for one in sent).items():
            path = next(one["path"] for one in sent if one["reference"] == reference)
            attempt = attempts.get(reference)
            if attempt is None:
                yield payment, f"was sent under a reference that is none of ours: {reference}"
            elif times > attempt["sends"]:
                yield payment, f"reached the provider {times} times, and was claimed {attempt['sends']} times"
            elif times > 1 and fullmatch(NEVER_TWICE, path):
                yield payment, f"was sent {times} times, of which a repetition may be another charge"
            if len({one["operation"] for one in sent if one["reference"] == reference}) > 1:
                yield payment, "was sent under several idempotency keys"
        reversals = [one for one in requests if one["path"] == REVERSAL]
        if len(reversals) > len([one for one in seen.operations.get(payment, []) if one["verb"] == "refund"]):
            yield payment, f"{len(reversals)} reversals were asked for"


def one_live_at_a_time(seen: Evidence) -> Found:
    """L: at most one live charge, payout, confirm per payment; an operation is live at least until it is sent."""
    for payout in seen.payouts:
        live = [one for one in seen.operations.get(payout, []) if one["verb"] == "payout" and one["state"] not in ENDED]
        if len(live) > 1:
            yield payout, f"has {len(live)} live payouts"
    for payment in seen.payments:
        live = [one for one in seen.attempts(payment) if one["state"] not in ENDED]
        if len(live) > 1:
            yield payment, f"has {len(live)} live charges"
        confirms = [one for one in seen.operations.get(payment, []) if one["verb"] == "confirm"]
        confirms.sort(key=lambda one: one["created_at"])
        for before, after in pairwise(confirms):
            if before["sent_at"] is not None and after["created_at"] < before["sent_at"]:
                yield (
                    payment,
                    f"a confirm was made at {after['created_at']}, the one before sent at {before['sent_at']}",
                )
