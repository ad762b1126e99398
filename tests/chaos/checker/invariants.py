"""The invariants: each is a function from the evidence to its violations. Numbers are those of docs/proof.md."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from re import fullmatch

from tests.chaos.checker.evidence import Evidence, Row, public
from tests.chaos.checker.promises import BESIDE, FINAL, FOLLOWS, NEVER_TWICE, REVERSAL, SENDS, ends

ASKED_AGAIN_S = 60.0
NIL = "00000000-0000-0000-0000-000000000000"
ENDED = frozenset({"declined", "not_sent", "lapsed", "late_succeeded"})
PROBLEM = "application/problem+json"
KNOWN = ("status", "amount", "amount_captured", "amount_refunded", "sequence", "failure", "review")
PROMPT = "ws_CO_"  # Daraja's name of a prompt, which a payment keeps where no callback told the receipt's
HEARD = ("applied", "asked")  # what became of a callback that was taken for the provider's word
LATER_PAID = ("declined", "payer_canceled")  # the word before the last one, in the cases "late_success"
FDS_MORE, RSS_TIMES, RSS_MORE_KB, CONNECTIONS_MOST = 120, 1.5, 65_536, 60


@dataclass(frozen=True)
class Violation:
    """A broken promise: of which invariant, about which payment (if about one), and what was seen."""

    invariant: str
    payment: str | None
    what: str


Found = Iterator[tuple[str | None, str]]


def acknowledged_is_there(seen: Evidence) -> Found:
    """I1: every acknowledged payment exists as it was asked for, and was readable at once from any API."""
    asked = {line["key"]: line["request"] for line in seen.calls("invoke", "create")}
    for line in seen.calls("ok", "create"):
        row, wish = seen.payments.get(line["id"]), asked[line["key"]]
        if row is None:
            yield line["id"], f"acknowledged under key {line['key']}, and not in the database"
        elif (row["amount"], row["reference"], row["provider"]) != (wish["amount"], line["key"], wish["provider"]):
            yield line["id"], f"acknowledged under key {line['key']}, and is another payment"
    for line in (*seen.calls("ok", "refund"), *seen.calls("ok", "payout")):
        if line["id"] not in seen.objects:
            yield line["id"], f"acknowledged under key {line['key']}, and not in the database"
    for line in seen.calls("answer", "read"):
        if line.get("status") == 404:
            yield line["payment"], "a read after the acknowledgement was answered 404"


def one_payment_per_key(seen: Evidence) -> Found:
    """I2: one payment per (merchant, mode, key), one answer per key, and no use of a key for another request."""
    rows = [row for row in seen.keys if row["root_id"] == NIL]
    for key, times in Counter((row["merchant_id"], row["livemode"], row["key"]) for row in rows).items():
        if times > 1:
            yield None, f"{times} payments under the key {key[2]}"
    for reference, times in Counter(row["reference"] for row in seen.payments.values()).items():
        if times > 1:
            yield None, f"{times} payments for one wish of a client, {reference}"
    owned = {row["object_id"] for row in rows}
    for payment, row in seen.payments.items():
        if row["id"] not in owned:
            yield payment, "no idempotency key names this payment"
    yield from _answers_agree(seen)


def _answers_agree(seen: Evidence) -> Found:
    ids: dict[str, set[str]] = defaultdict(set)
    digests: dict[str, set[str]] = defaultdict(set)
    for line in seen.calls("answer", "create"):
        if line.get("status") == 201:
            ids[line["key"]].add(line["id"])
            if not line["waited"]:
                digests[line["key"]].add(line["digest"])
    for key, found in ids.items():
        if len(found) > 1:
            yield min(found), f"the key {key} was answered with {len(found)} payments: {sorted(found)}"
        elif len(digests[key]) > 1:
            yield min(found), f"the key {key} was answered with {len(digests[key])} different bodies"
    for line in seen.calls("answer", "reuse"):
        if (line.get("status") or 503) < 300:
            yield line["id"], f"the key {line['key']} was accepted for another amount"


def everything_ends(seen: Evidence) -> Found:
    """I3: every payment, refund and payout has ended or waits for a person, and nothing of it is still to be done."""
    for payment, row in seen.objects.items():
        if row["status"] not in FINAL and row["review"] is None:
            yield payment, f"is still {row['status']}"
        if row["review"] is None:
            for one in seen.operations.get(payment, []):
                if one["state"] in ("prepared", "sent") and not _asked_again(seen, row, one):
                    yield payment, f"its {one['verb']} is still {one['state']}"


def _asked_again(seen: Evidence, row: Row, operation: Row) -> bool:
    """An appointment after the end: what was closed because nobody knew it is asked about again, also at the moment at
    which the evidence is collected."""
    age_s = seen.run["ended"] - datetime.fromisoformat(operation["created_at"]).timestamp()
    return operation["verb"] == "query" and row["status"] in FINAL and age_s < ASKED_AGAIN_S


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


def events_tell_the_story(seen: Evidence) -> Found:
    """I7: events are numbered 1..n without gaps, each follows from the one before, and the last is what is."""
    for payment, row in seen.objects.items():
        events = seen.events.get(payment, [])
        if [event["sequence"] for event in events] != list(range(1, row["sequence"] + 1)):
            yield payment, f"is at sequence {row['sequence']}, its events at {[e['sequence'] for e in events]}"
            continue
        names = [event["type"].partition(".")[2] for event in events]
        story = [name for name in names if name not in BESIDE]
        for before, after in pairwise(story):
            if after not in FOLLOWS.get(before, ()):
                yield payment, f"went from {before} to {after}"
        last = "pending" if story[-1] == "created" else story[-1]
        if last != row["status"]:
            yield payment, f"is {row['status']}, and its last event says {last}"
        late = any(before in FINAL for before, _ in pairwise(story))
        if late and "review" not in names and payment not in seen.refunds:
            yield payment, "succeeded after it had ended, and nobody was asked to look"
    for payment in seen.events.keys() - seen.objects.keys():
        yield payment, "has events, and does not exist"


def events_reach_the_topic(seen: Evidence) -> Found:
    """I8: every event is on the topic, with one id and one body, in order for each payment; and no other is."""
    if not seen.run["observed_to_the_end"]:
        yield None, "the reader of the topic did not come to its end: what is on it is not known"
        return
    rows = {public("evt", row["id"]): (payment, row) for payment, rows in seen.events.items() for row in rows}
    got: set[str] = set()
    for record in seen.observed:
        payment, row = rows.get(record["id"], (None, None))
        if row is None:
            yield None, f"the topic has the event {record['id']}, of which there is no row"
        elif (record["digest"], record["key"], record["type"]) != (row["digest"], seen.root(payment), row["type"]):
            yield payment, f"the event {record['id']} is another one on the topic"
        got.add(record["id"])
    for name in rows.keys() - got:
        yield rows[name][0], f"the event {name} ({rows[name][1]['type']}) never came to the topic"
    positions = sorted(row["position"] or 0 for _, row in rows.values())
    if positions != list(range(1, len(rows) + 1)):
        yield None, f"positions are not 1..{len(rows)} each once"
    yield from _first_deliveries(seen, {name: payment for name, (payment, _) in rows.items()})


def webhooks_arrive(seen: Evidence) -> Found:
    """I8d: whatever has ended was told to the merchant's server and taken by it, signed, with one id and one body."""
    rows = {public("evt", row["id"]): (name, row) for name, rows in seen.events.items() for row in rows}
    taken: set[str] = set()
    for line in seen.hooks:
        name, row = rows.get(line["id"], (None, None))
        if row is None or row["digest"] != line["digest"] or not line["signed"]:
            yield name, f"the webhook {line['id']} is no event of ours, or not as it was, or not signed"
        elif line["taken"]:
            taken.add(line["id"])
    for event, (name, row) in rows.items():
        if row["type"].partition(".")[2] in ("succeeded", "failed") and event not in taken:
            yield name, f"no webhook told of {row['type']} ({event})"


def _first_deliveries(seen: Evidence, objects: dict[str, str]) -> Found:
    """In each log, an object whose story begins there is told in order; the first log tells every one from the start.

    (A wiped broker loses the beginnings of what is under way; they come back when the operator republishes.)
    """
    told: dict[tuple[int, str], int] = {}
    broken: set[tuple[int, str]] = set()
    for record in seen.observed:
        place = (record["log"], objects.get(record["id"], record["key"]))
        if place in broken:
            continue
        last = told.get(place, 0)
        if record["sequence"] <= last:
            continue  # a repetition
        if record["sequence"] == last + 1:
            told[place] = record["sequence"]
            continue
        broken.add(place)
        if last > 0 or record["log"] == 0:
            yield place[1], f"the topic told event {record['sequence']} after {last} in log {record['log']}"


def events_reach_the_stream(seen: Evidence) -> Found:
    """I8b: who follows the stream from process to process sees every event once, one body, in the order of the feed."""
    if not seen.run["listened_to_the_end"]:
        yield None, "the reader of the stream did not see as many events as there are"
    rows = {public("evt", row["id"]): (payment, row) for payment, rows in seen.events.items() for row in rows}
    ordered = sorted(rows, key=lambda name: rows[name][1]["position"] or 0)
    got = [record["id"] for record in seen.streamed]
    if got != ordered:
        place = next(
            (n for n, (one, other) in enumerate(zip(got, ordered, strict=False)) if one != other), len(ordered)
        )
        yield None, f"the stream differs from the feed at event {place + 1}: {len(got)} seen of {len(ordered)}"
    for record in seen.streamed:
        payment, row = rows.get(record["id"], (None, None))
        if row is not None and (record["digest"], record["type"]) != (row["digest"], row["type"]):
            yield payment, f"the event {record['id']} is another one on the stream"


def topic_tells_the_truth(seen: Evidence) -> Found:
    """I8c: what a subscriber knows of each payment from the topic alone is what the API shows at the end."""
    newest: dict[str, Row] = {}
    for record in seen.observed:
        of_payment = str(record["type"]).startswith("payment.")
        if of_payment and record["sequence"] >= newest.get(record["key"], {"sequence": 0})["sequence"]:
            newest[record["key"]] = record
    for payment, row in seen.payments.items():
        known = newest.get(payment, {"object": {}})["object"]
        if differs := {name: (known.get(name), row[name]) for name in KNOWN if known.get(name) != row[name]}:
            yield payment, f"the topic's last word and the API's differ: {differs}"


def nothing_is_left(seen: Evidence) -> Found:
    """I11: no event without position, no callback unhandled, no consumer behind; dead letters are what was injected."""
    for payment, rows in seen.events.items():
        for row in rows:
            if row["position"] is None:
                yield payment, f"its event {row['sequence']} has no position"
    if seen.relay["published_position"] != seen.relay["next_position"] - 1:
        yield None, f"the relay has not published everything: {seen.relay}"
    for row in seen.callbacks:
        if row["state"] == "received":
            yield None, f"the callback {row['id']} of {row['received_at']} was not handled"
    for place, records in seen.run["lag"].items():
        yield None, f"{place} is {records} records behind"
    yield from _dead_letters(seen)


def _dead_letters(seen: Evidence) -> Found:
    injected = set(seen.run["poison"])
    buried: Counter[str] = Counter()
    for row in seen.dead_letters:
        mark = next((mark for mark in injected if mark in (row["value"] or "")), None)
        if mark is None:
            yield None, f"a dead letter that nobody injected: {row['topic']} {row['offset']} {row['value']!r:.200}"
        else:
            buried[mark] += 1
    if not seen.run["wipes"]:
        for mark in injected - buried.keys():
            yield None, f"the poison {mark} is in no dead letter"
        for mark, times in buried.items():
            if times > 1:
                yield None, f"the poison {mark} was buried {times} times"


def errors_are_problems(seen: Evidence) -> Found:
    """I12: whatever is refused is refused as problem+json, and nothing is an internal error."""
    for line in seen.history:
        status = line.get("status") or 0
        if line["type"] != "answer" or status < 400:
            continue
        if status == 500:
            yield line.get("id") or line.get("payment"), f"500 to {line['call']} of {line['who']} ({line.get('key')})"
        elif PROBLEM not in line.get("content_type", ""):
            yield None, f"{status} without a problem to {line['call']}: {line.get('content_type')!r}"


def resources_come_back(seen: Evidence) -> Found:
    """I13: descriptors, memory and connections are bounded again when it is quiet."""
    before, after = seen.run["resources_before"], seen.run["resources_after"]
    if after["postgres"]["connections"] > CONNECTIONS_MOST:
        yield None, f"{after['postgres']['connections']} connections to PostgreSQL"
    for name in before.keys() - {"postgres"}:
        if after[name]["fds"] > before[name]["fds"] + FDS_MORE:
            yield None, f"{name} has {after[name]['fds']} descriptors, and had {before[name]['fds']}"
        if after[name]["rss_kb"] > before[name]["rss_kb"] * RSS_TIMES + RSS_MORE_KB:
            yield None, f"{name} holds {after[name]['rss_kb']} kB, and held {before[name]['rss_kb']}"


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


INVARIANTS: dict[str, Callable[[Evidence], Found]] = {
    "I1": acknowledged_is_there,
    "I2": one_payment_per_key,
    "I3": everything_ends,
    "I4": charged_at_most_once,
    "I5": money_agrees,
    "I5b": promised_ends,
    "I6": amounts_are_bounded,
    "I6b": money_out_agrees,
    "I7": events_tell_the_story,
    "I8": events_reach_the_topic,
    "I8b": events_reach_the_stream,
    "I8c": topic_tells_the_truth,
    "I8d": webhooks_arrive,
    "I11": nothing_is_left,
    "I12": errors_are_problems,
    "I13": resources_come_back,
    "S": sent_no_more_than_allowed,
    "L": one_live_at_a_time,
}


def check(seen: Evidence) -> list[Violation]:
    """Every violation of every invariant."""
    return [Violation(name, *found) for name, invariant in INVARIANTS.items() for found in invariant(seen)]
