"""Invariants about events: their story, and that it reached the topic, the stream and the merchant's server."""

from itertools import pairwise

from tests.chaos.checker.evidence import Evidence, Found, Row, public
from tests.chaos.checker.promises import BESIDE, FINAL, FOLLOWS

KNOWN = ("status", "amount", "amount_captured", "amount_refunded", "sequence", "failure", "review")


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
