"""A payment's timeline in a whole installation: all that happened, in causal order, masked; and nobody else's."""

import json
import time
from collections.abc import Callable
from typing import Any

from gateway import ids
from tests.api.tenants import Tenant, code, pointers
from tests.support.installation import Installation

ENDS_WITHIN_S = 60


def until(found: Callable[[], Any]) -> Any:
    """What `found` returns once it is true."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def entries(tenant: Tenant, payment_id: str) -> list[dict[str, Any]]:
    answer = tenant.test.get(f"/v1/payments/{payment_id}/timeline").json()
    assert (answer["has_more"], answer["next"]) == (False, None)
    return list(answer["data"])


def settled_by_callback(working: Installation) -> list[dict[str, Any]]:
    """The timeline of a payment that a callback settled, and not a query that was due at the same time."""
    for _ in range(8):
        tenant = Tenant(working)
        payment_id = tenant.payment(method={"type": "mobile_money", "phone": "+26658123001"})["id"]

        def handled(tenant: Tenant = tenant, payment_id: str = payment_id) -> bool:
            processed = tenant.test.get("/v1/callbacks?state=processed").json()["data"]
            return bool(processed) and tenant.test.get(f"/v1/payments/{payment_id}").json()["status"] == "succeeded"

        until(handled)
        told = entries(tenant, payment_id)
        kinds = {(each["kind"], (each["evidence"] or {}).get("source")) for each in told}
        if ("outcome", "callback") in kinds and not any("query" in str(each["evidence"]) for each in told):
            return told
    raise AssertionError("no payment was settled by its callback")


def test_what_happened_in_the_order_in_which_it_happened(working: Installation) -> None:
    told = settled_by_callback(working)
    assert all(each["object"] == "timeline_entry" for each in told)
    assert [each["at"] for each in told] == sorted(each["at"] for each in told)
    assert [(each["kind"], each["summary"]) for each in told if each["kind"] == "event"] == [
        ("event", "payment.created"),
        ("event", "payment.processing"),
        ("event", "payment.succeeded"),
    ]
    of_charge = [each for each in told if each["kind"] not in ("event", "route")]
    charge = of_charge[0]["operation"]
    kinds = [each["kind"] for each in of_charge if each["operation"] == charge]
    assert kinds == ["operation", "exchange", "callback", "outcome"]
    assert [each["kind"] for each in told][:3] == ["route", "operation", "event"]
    outcome = next(each for each in of_charge if each["kind"] == "outcome" and each["operation"] == charge)
    assert outcome["evidence"]["source"] == "callback"
    assert outcome["evidence"]["outcome"]["type"] == "succeeded"
    callback = next(each for each in told if each["kind"] == "callback")
    assert callback["evidence"]["result"] == "applied"
    settled = next(each for each in told if each["summary"] == "payment.succeeded")
    assert settled["evidence"]["status"] == "succeeded"
    assert told.index(callback) < told.index(outcome) < told.index(settled)


def test_what_was_said_to_the_provider_and_back_is_in_it_masked(working: Installation) -> None:
    tenant = Tenant(working)
    secret = "canary-api-key-42"
    tenant.test.patch(tenant_account(tenant), json={"settings": {"api_key": secret}})
    payment_id = tenant.payment(method={"type": "mobile_money", "phone": "+26658123007"})["id"]  # three times 503
    failed = "charge: POST /v1/charges, HTTP 503"
    until(lambda: [each["summary"] for each in entries(tenant, payment_id)].count(failed) == 3)
    told = entries(tenant, payment_id)
    sent = [each for each in told if each["summary"] == failed]
    evidence = sent[0]["evidence"]
    assert evidence["duration_ms"] >= 0
    request = json.loads(evidence["request"])
    assert (request["payment"], request["amount"]) == (payment_id, 15000)
    assert request["method"]["phone"] == "+266***007"
    assert request["callback_url"].startswith(f"{working.base_url}/callbacks/sandbox/***/op_")
    assert request["return_url"] == f"{working.base_url}/return/***"
    shown = json.dumps(told)
    callback_token = tenant.test.get(tenant_account(tenant)).json()["callback_url"].rpartition("/")[2]
    assert not [each for each in (secret, callback_token, "58123007") if each in shown]
    assert [each["at"] for each in told] == sorted(each["at"] for each in told)
    kinds = [each["kind"] for each in told if each["operation"] == sent[0]["operation"]]
    assert kinds[:2] == ["operation", "exchange"]


def test_a_card_and_a_code_are_not_kept(working: Installation) -> None:
    tenant = Tenant(working)
    payment_id = tenant.payment(method={"type": "card", "token": "tok_otp"})["id"]
    until(lambda: tenant.test.get(f"/v1/payments/{payment_id}").json()["status"] == "requires_action")
    url = f"/v1/payments/{payment_id}/confirm"
    tenant.test.post(url, json={"otp": "654321"}, headers={"Idempotency-Key": "k"})
    until(lambda: [e for e in entries(tenant, payment_id) if e["summary"].startswith("confirm: POST")])
    sent = [each["evidence"] for each in entries(tenant, payment_id) if "response" in each["evidence"]]
    shown = json.dumps(sent)
    assert not [each for each in ("tok_otp", "654321") if each in shown]
    assert any(each["request"] == '{"otp":"***"}' for each in sent)


def tenant_account(tenant: Tenant) -> str:
    """The address of the tenant's only account."""
    return f"/v1/accounts/{tenant.test.get('/v1/accounts').json()['data'][0]['id']}"


def test_a_replayed_callback_is_handled_again(working: Installation) -> None:
    tenant = Tenant(working)
    payment_id = tenant.payment(method={"type": "mobile_money", "phone": "+26658123001"})["id"]
    first = until(lambda: tenant.test.get("/v1/callbacks?state=processed").json()["data"])[0]
    assert tenant.test.post(f"/v1/callbacks/{first['id']}/replay").json()["state"] == "received"
    again = until(lambda: tenant.test.get("/v1/callbacks?state=processed").json()["data"])[0]
    assert (again["id"], again["result"]) == (first["id"], "applied")
    assert again["processed_at"] > first["processed_at"]
    assert tenant.test.get(f"/v1/payments/{payment_id}").json()["sequence"] == 3  # it changed nothing


def test_a_review_and_its_end_are_in_it(working: Installation) -> None:
    tenant = Tenant(working)
    payment_id = tenant.payment(method={"type": "mobile_money", "phone": "+26658123009"})["id"]  # a wrong amount
    until(lambda: tenant.test.get(f"/v1/payments/{payment_id}").json()["review"])
    resolution = {"action": "mark_failed", "reason": "the ledger says so"}
    done = tenant.test.post(f"/v1/payments/{payment_id}/resolve", json=resolution, headers={"Idempotency-Key": "k"})
    assert done.status_code == 200, done.text
    told = entries(tenant, payment_id)
    opened = next(each for each in told if each["summary"] == "payment.review")
    assert opened["evidence"]["review"] == "amount_mismatch"
    decided = next(each for each in told if each["kind"] == "review")
    assert decided["evidence"]["changes"] == resolution
    resolved = next(each for each in told if each["summary"] == "payment.review_resolved")
    assert told.index(opened) < told.index(decided) < told.index(resolved)


def test_nobody_reads_anothers_timeline(mypay: Installation, tenant: Tenant, other: Tenant) -> None:
    payment_id = tenant.payment()["id"]
    url = f"/v1/payments/{payment_id}/timeline"
    assert [each["kind"] for each in tenant.test.get(url).json()["data"]] == ["route", "operation", "event"]
    for client in (other.test, tenant.live, other.live):
        assert code(client.get(url), 404) == "not_found"
    assert code(tenant.test.get(f"/v1/payments/{ids.show(ids.PAYMENT, ids.new())}/timeline"), 404) == "not_found"
    assert pointers(tenant.test.get(f"{url}?limit=1")) == ["/limit"]
