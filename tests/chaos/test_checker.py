"""The checker finds every kind of broken promise planted in clean evidence, and imports nothing of the product."""

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.chaos.checker.evidence import Evidence, Row, public
from tests.chaos.checker.invariants import INVARIANTS, check
from tests.chaos.checker.report import report

CHECKOUT = Path(__file__).parents[2]
MERCHANT = "01900000-0000-7000-8000-00000000000a"
NIL = "00000000-0000-0000-0000-000000000000"
AT = "2026-01-01T00:00:00+00:00"
IDS = {name: f"01900000-0000-7000-8000-0000000001{n:02d}" for n, name in enumerate(("ok", "cpay", "denied", "otp"))}
OBJECT = "01900000-0000-7000-8000-000000000200"
PAY = {name: public("pay", uuid) for name, uuid in IDS.items()}


def clean() -> Evidence:
    """Four payments that went as promised: two succeeded, one at C-Pay was denied, one needed a code."""
    seen = Evidence(relay={"next_position": 1, "published_position": 0, "fence": 1})
    seen.run = {
        "command": "test", "seed": 1, "began": 0.0, "machine": "none", "skews": {}, "clients": 1, "seconds": 1.0,
        "pace": 1.0, "acknowledged": 4, "calls": {}, "quiet_after_s": 1.0, "aged": 0, "brought_forward": 0,
        "faults": {"kill": 1}, "deaths": {"api-1": 1}, "crash_points": {}, "poison": ["mark-1"], "wipes": 0, "lag": {},
        "observed_to_the_end": True, "listened_to_the_end": True, "ended": 2_000_000_000.0,
        "links": {"kafka": {"reset": 0, "drop_reply": 0}},
        "resources_before": {"postgres": {"connections": 10}, "api-1": {"fds": 40, "rss_kb": 100_000}},
        "resources_after": {"postgres": {"connections": 20}, "api-1": {"fds": 50, "rss_kb": 110_000}},
    }  # fmt: skip
    _add(seen, "ok", "sandbox", "ok", "succeeded")
    _add(seen, "cpay", "cpay", "ok", "succeeded")
    _add(seen, "denied", "cpay", "denied", "failed", failure="declined")
    _add(seen, "otp", "sandbox", "otp", "succeeded", story=("created", "processing", "requires_action", "succeeded"))
    seen.dead_letters.append({"topic": "t", "partition": 0, "offset": 0, "value": "… mark-1"})
    return seen


def _add(
    seen: Evidence,
    name: str,
    provider: str,
    case: str,
    status: str,
    failure: str | None = None,
    story: tuple[str, ...] = (),
) -> None:
    payment, uuid = PAY[name], IDS[name]
    reference, paid = f"reference-{name}", status == "succeeded"
    names = story or ("created", "processing", status)
    seen.payments[payment] = {
        "id": uuid, "merchant_id": MERCHANT, "livemode": False, "status": status, "amount": 500, "currency": "LSL",
        "amount_captured": 500 if paid else 0, "amount_refunded": 0, "provider": provider, "case": case,
        "provider_reference": f"ch-{name}", "reference": name, "sequence": len(names), "failure": failure,
        "review": None,
    }  # fmt: skip
    charge = {
        "id": f"op-{name}", "verb": "charge", "state": status, "reference": reference, "sends": 1, "created_at": AT,
        "sent_at": AT, "provider": provider,
    }  # fmt: skip
    seen.operations[payment].append(charge)
    for sequence, kind in enumerate(names, 1):
        position = sum(map(len, seen.events.values())) + 1
        event = f"01900000-0000-7000-8000-{position:012d}"
        row = {"id": event, "type": f"payment.{kind}", "sequence": sequence, "position": position, "digest": event}
        seen.events[payment].append(row)
        shown = {**seen.payments[payment], "sequence": sequence}
        seen.observed.append({"log": 0, "key": payment, **row, "id": public("evt", event), "object": shown})
        seen.streamed.append({"id": public("evt", event), "type": row["type"], "digest": event})
        seen.hooks.append({"id": public("evt", event), "digest": event, "signed": True, "taken": True})
        seen.relay |= {"next_position": position + 1, "published_position": position}
    seen.keys.append({"merchant_id": MERCHANT, "livemode": False, "root_id": NIL, "key": name, "object_id": uuid})
    seen.callbacks.append({"id": "c", "operation_id": f"op-{name}", "state": "processed", "result": "applied"})
    path = "/v1/charges" if provider == "sandbox" else "/api/cpaypayments/payment"
    request = {"method": "POST", "path": path, "reference": reference, "operation": None, "kind": "requests"}
    seen.requests[payment].append({**request, "provider": provider})
    if paid:
        money = {"kind": "charges", "id": f"ch-{name}", "reference": reference, "amount": 500, "currency": "LSL"}
        seen.money[payment].append(money)
    wish = {"amount": 500, "provider": provider}
    seen.history += [
        {"type": "invoke", "call": "create", "key": name, "request": wish},
        {"type": "answer", "call": "create", "key": name, "status": 201, "id": payment, "digest": "d", "waited": False},
        {"type": "ok", "call": "create", "key": name, "id": payment},
        {"type": "answer", "call": "read", "payment": payment, "status": 200},
    ]


def _pay_out(seen: Evidence, status: str, *paid: int) -> None:
    """A payout of 500, and what the provider paid."""
    row = {**seen.payments[OK], "id": OBJECT, "status": status, "sequence": 1, "amount_captured": 0}
    _beside(seen, "pout", "payout", {**row, "reference": "payout"}, seen.payouts)
    seen.money[public("pout", OBJECT)] += [
        {"kind": "payouts", "id": "po", "amount": n, "currency": "LSL"} for n in paid
    ]


def _refund(seen: Evidence, status: str, *given: int) -> None:
    """A refund of 200, and what the provider gave back."""
    row = {
        "id": OBJECT,
        "payment": OK,
        "status": status,
        "amount": 200,
        "currency": "LSL",
        "review": None,
        "sequence": 1,
    }
    _beside(seen, "ref", "refund", row, seen.refunds)
    refunded = seen.payments[OK]["amount_refunded"] = 200 if status == "succeeded" else 0
    for record in seen.observed:
        if record["key"] == OK and "object" in record:
            record["object"]["amount_refunded"] = refunded
    seen.money[OK] += [{"kind": "refunds", "amount": n, "currency": "LSL"} for n in given]


def _beside(seen: Evidence, prefix: str, kind: str, row: Row, rows: dict[str, Row]) -> None:
    """One more object, whose one event says how it ended."""
    name, position = public(prefix, OBJECT), seen.relay["next_position"]
    event = f"01900000-0000-7000-8000-{position:012d}"
    told = {"id": event, "type": f"{kind}.{row['status']}", "sequence": 1, "position": position, "digest": event}
    rows[name] = row
    seen.events[name].append(told)
    seen.observed.append({"log": 0, "key": seen.root(name), **told, "id": public("evt", event)})
    seen.streamed.append({"id": public("evt", event), "type": told["type"], "digest": event})
    seen.hooks.append({"id": public("evt", event), "digest": event, "signed": True, "taken": True})
    seen.relay |= {"next_position": position + 1, "published_position": position}


def found(seen: Evidence) -> set[str]:
    """The invariants that are violated."""
    return {violation.invariant for violation in check(seen)}


def test_clean_evidence_is_clean() -> None:
    assert check(clean()) == []


Plant = Callable[[Evidence], object]
OK, CPAY, DENIED, OTP = PAY["ok"], PAY["cpay"], PAY["denied"], PAY["otp"]
CONFIRM = {"id": "x", "verb": "confirm", "state": "succeeded", "reference": "r", "sends": 1}
QUESTION = {"id": "q", "verb": "query", "state": "prepared", "created_at": AT, "sent_at": None}
TWO_CONFIRMS = [{**CONFIRM, "created_at": f"{AT[:-7]}{n}", "sent_at": f"{AT[:-7]}9"} for n in (1, 2)]

PLANTED: list[tuple[str, str, Plant]] = [
    ("an acknowledged payment is gone", "I1", lambda seen: seen.payments.pop(OK)),
    ("an acknowledged payment is another", "I1", lambda seen: seen.payments[OK].update(amount=501)),
    ("a read after the acknowledgement was 404", "I1", lambda seen: seen.history[3].update(status=404)),
    ("a key made two payments", "I2", lambda seen: seen.keys.append({**seen.keys[0], "object_id": IDS["cpay"]})),
    ("a wish made two payments", "I2", lambda seen: seen.payments[CPAY].update(reference="ok")),
    ("a payment without its key", "I2", lambda seen: seen.keys.pop(0)),
    ("a key answered with two payments", "I2", lambda seen: seen.history.append({**seen.history[1], "id": CPAY})),
    ("a key answered with two bodies", "I2", lambda seen: seen.history.append({**seen.history[1], "digest": "e"})),
    ("a key taken for another amount", "I2", lambda seen: seen.history.append({**seen.history[1], "call": "reuse"})),
    ("a payment that never ends", "I3", lambda seen: seen.payments[OK].update(status="processing")),
    ("an operation that nobody sends", "I3", lambda seen: seen.operations[OK][0].update(state="prepared")),
    ("a question that nobody asks", "I3", lambda seen: seen.operations[DENIED].append(QUESTION)),
    ("a payer charged twice", "I4", lambda seen: seen.money[OK].append({**seen.money[OK][0], "id": "ch-2"})),
    ("success without a charge", "I5", lambda seen: seen.money.pop(OK)),
    ("a charge of what failed", "I5", lambda seen: seen.money[DENIED].append({**seen.money[CPAY][0], "id": "x"})),
    ("another amount at the provider", "I5", lambda seen: seen.money[OK][0].update(amount=501)),
    ("another reference at the provider", "I5", lambda seen: seen.money[OK][0].update(reference="not ours")),
    ("a charge under another name", "I5", lambda seen: seen.payments[OK].update(provider_reference="ch-x")),
    ("money for a payment that is not", "I5", lambda seen: seen.money["pay_none"].append(dict(seen.money[OK][0]))),
    ("another end than promised", "I5b", lambda seen: seen.payments[DENIED].update(failure="insufficient_funds")),
    ("refunded more than captured", "I6", lambda seen: seen.payments[OK].update(amount_refunded=501)),
    ("given back more than taken", "I6", lambda seen: seen.money[OK].append({"kind": "refunds", "amount": 501})),
    ("a gap in the sequence", "I7", lambda seen: seen.events[OK].pop(1)),
    ("a step that is not allowed", "I7", lambda seen: seen.events[OK][1].update(type="payment.failed")),
    ("an end that no event tells", "I7", lambda seen: seen.payments[OTP].update(status="failed")),
    ("events of nothing", "I7", lambda seen: seen.events["pay_none"].append(dict(seen.events[OK][0]))),
    ("an event that never came", "I8", lambda seen: seen.observed.pop(0)),
    ("a topic that was not read to its end", "I8", lambda seen: seen.run.update(observed_to_the_end=False)),
    ("an event without a row", "I8", lambda seen: seen.observed.append({**seen.observed[0], "id": "evt_none"})),
    ("another body on the topic", "I8", lambda seen: seen.observed[0].update(digest="x")),
    ("an event that the stream left out", "I8b", lambda seen: seen.streamed.pop(2)),
    ("an event twice on the stream", "I8b", lambda seen: seen.streamed.insert(1, seen.streamed[0])),
    ("the stream out of order", "I8b", lambda seen: seen.streamed.insert(0, seen.streamed.pop(1))),
    ("another body on the stream", "I8b", lambda seen: seen.streamed[0].update(digest="x")),
    ("a stream that was not read to its end", "I8b", lambda seen: seen.run.update(listened_to_the_end=False)),
    ("another status on the topic", "I8c", lambda seen: seen.observed[-1]["object"].update(status="failed")),
    ("events out of order", "I8", lambda seen: seen.observed.insert(0, seen.observed.pop(1))),
    ("a position given twice", "I8", lambda seen: seen.events[OK][1].update(position=1)),
    ("an event without a position", "I11", lambda seen: seen.events[OK][1].update(position=None)),
    ("a relay that lags", "I11", lambda seen: seen.relay.update(published_position=1)),
    ("a callback that nobody read", "I11", lambda seen: seen.callbacks[0].update(state="received", received_at=AT)),
    ("a consumer that lags", "I11", lambda seen: seen.run["lag"].update({"group topic 0": 3})),
    ("a dead letter too many", "I11", lambda seen: seen.dead_letters.append({**seen.dead_letters[0], "value": "x"})),
    ("a poison that vanished", "I11", lambda seen: seen.dead_letters.pop()),
    ("a poison buried twice", "I11", lambda seen: seen.dead_letters.append(seen.dead_letters[0])),
    ("an internal error", "I12", lambda seen: seen.history[3].update(status=500, who="c")),
    ("an error that is no problem", "I12", lambda seen: seen.history[3].update(status=502, content_type="text/html")),
    ("descriptors that leak", "I13", lambda seen: seen.run["resources_after"]["api-1"].update(fds=500)),
    ("memory that leaks", "I13", lambda seen: seen.run["resources_after"]["api-1"].update(rss_kb=900_000)),
    ("connections that leak", "I13", lambda seen: seen.run["resources_after"]["postgres"].update(connections=90)),
    ("a second send to C-Pay", "S", lambda seen: [seen.requests[CPAY].append(seen.requests[CPAY][0]),
                                                  seen.operations[CPAY][0].update(sends=2)]),
    ("a send that nobody claimed", "S", lambda seen: seen.requests[OK].append(seen.requests[OK][0])),
    ("another idempotency key", "S", lambda seen: [seen.requests[OK].append({**seen.requests[OK][0], "operation": "o"}),
                                                   seen.operations[OK][0].update(sends=2)]),
    ("a foreign reference", "S", lambda seen: seen.requests[OK][0].update(reference="not ours")),
    ("a webhook that nobody took", "I8d", lambda seen: seen.hooks[2].update(taken=False)),
    ("a webhook that was not signed", "I8d", lambda seen: seen.hooks[2].update(signed=False)),
    ("a webhook of another body", "I8d", lambda seen: seen.hooks[2].update(digest="other")),
    ("a webhook of no event", "I8d", lambda seen: seen.hooks[2].update(id="evt_0")),
    ("a payout that was paid twice", "I6b", lambda seen: _pay_out(seen, "succeeded", 500, 500)),
    ("a payout of which nothing came", "I6b", lambda seen: _pay_out(seen, "succeeded")),
    ("a failed payout that was paid", "I6b", lambda seen: _pay_out(seen, "failed", 500)),
    ("a refund of which nothing came", "I6b", lambda seen: _refund(seen, "succeeded")),
    ("a failed refund that was given", "I6b", lambda seen: _refund(seen, "failed", 200)),
    ("a refund that was given twice", "I6b", lambda seen: _refund(seen, "succeeded", 200, 200)),
    ("two live charges", "L", lambda seen: seen.operations[OK].append(dict(seen.operations[OK][0]))),
    ("two live confirms", "L", lambda seen: seen.operations[OTP].extend(TWO_CONFIRMS)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "invariant", "plant"), PLANTED, ids=[name for name, *_ in PLANTED])
def test_what_is_planted_is_found(name: str, invariant: str, plant: Plant) -> None:
    seen = clean()
    plant(seen)
    assert invariant in found(seen)


AGREES: tuple[Plant, ...] = (
    lambda seen: _pay_out(seen, "succeeded", 500),
    lambda seen: _pay_out(seen, "failed"),
    lambda seen: _refund(seen, "succeeded", 200),
    lambda seen: _refund(seen, "failed"),
)


@pytest.mark.parametrize("plant", AGREES)
def test_what_agrees_with_the_ledger_is_clean(plant: Plant) -> None:
    plant(seen := clean())
    assert check(seen) == []


def test_every_invariant_is_planted() -> None:
    assert {invariant for _, invariant, _ in PLANTED} == INVARIANTS.keys()


def test_a_question_asked_after_the_end_may_be_under_way() -> None:
    seen = clean()
    seen.operations[DENIED].append(QUESTION)
    seen.run["ended"] = datetime.fromisoformat(AT).timestamp() + 5
    assert found(seen) == set()


def test_a_lost_last_word_is_counted_and_not_blamed() -> None:
    """Declined, signed, and then charged in a callback that never came: nobody here can know. If it came, we must."""
    seen = clean()
    seen.payments[DENIED].update(provider="sandbox", case="late_success")
    for line in seen.calls("invoke", "create"):
        if line["key"] == "denied":
            line["request"]["provider"] = "sandbox"
    seen.requests[DENIED][0].update(provider="sandbox")
    seen.money[DENIED].append({**seen.money[CPAY][0], "id": "x", "reference": "reference-denied"})
    assert found(seen) == set()
    assert "nobody here can know" in report(seen, [])
    seen.callbacks.append({"id": "c", "operation_id": "op-denied", "state": "processed", "result": "applied"})
    assert found(seen) == {"I5", "I5b"}


def test_the_report_tells_the_story() -> None:
    seen = clean()
    seen.money[OK].append({**seen.money[OK][0], "id": "ch-2"})
    text = report(seen, check(seen))
    assert f"I4 {OK} charged 2 times" in text
    for witness in ("payment", "operation", "event", "provider", "client"):
        assert f"\n  {witness} " in text


def test_the_checker_knows_nothing_of_the_product() -> None:
    code = (
        "import sys, tests.chaos.checker.__main__, tests.chaos.checker.collect\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'gateway', 'streams', 'providers'}))"
    )
    code = code.replace("tests.chaos.checker.__main__", "tests.chaos.checker.report")
    answer = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
