"""The invariants: each is a function from the evidence to its violations. Numbers are those of docs/proof.md."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tests.chaos.checker.events import (
    events_reach_the_stream,
    events_reach_the_topic,
    events_tell_the_story,
    topic_tells_the_truth,
    webhooks_arrive,
)
from tests.chaos.checker.evidence import Evidence, Found, Row
from tests.chaos.checker.money import (
    amounts_are_bounded,
    charged_at_most_once,
    money_agrees,
    money_out_agrees,
    one_live_at_a_time,
    promised_ends,
    sent_no_more_than_allowed,
)
from tests.chaos.checker.promises import FINAL

ASKED_AGAIN_S = 60.0
NIL = "00000000-0000-0000-0000-000000000000"
PROBLEM = "application/problem+json"
FDS_MORE, RSS_TIMES, RSS_MORE_KB, CONNECTIONS_MOST = 120, 1.5, 65_536, 60


@dataclass(frozen=True)
class Violation:
    """A broken promise: of which invariant, about which payment (if about one), and what was seen."""

    invariant: str
    payment: str | None
    what: str


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
