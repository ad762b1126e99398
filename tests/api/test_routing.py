"""Routing rules: which account is preferred for which payment; versions; and what a preview says, without charging."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway import ids
from gateway.routing.rules import Condition, Rule, Rules, holds, preferred
from tests.api.tenants import Tenant, code, pointers
from tests.api.test_accounts import make as cpay_account

BODY: dict[str, Any] = {
    "amount": 15000,
    "currency": "LSL",
    "method": {"type": "mobile_money", "phone": "+26658123000"},
}


def put(tenant: Tenant, version: int, *rules: dict[str, Any]) -> dict[str, Any]:
    """Replace the rules of a version."""
    answer = tenant.test.put("/v1/routing", json={"version": version, "rules": list(rules)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def preview(tenant: Tenant, **members: Any) -> dict[str, Any]:
    """Where a payment would go."""
    answer = tenant.test.post("/v1/routing/preview", json={**BODY, **members})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def first(tenant: Tenant) -> str:
    """The account that every tenant begins with."""
    return str(tenant.test.get("/v1/accounts").json()["data"][-1]["id"])


def test_without_rules_the_priority_decides(tenant: Tenant) -> None:
    oldest, second = first(tenant), tenant.account()
    assert tenant.test.get("/v1/routing").json() == {
        "object": "routing",
        "livemode": False,
        "version": 0,
        "rules": [],
        "created_at": None,
        "updated_at": None,
    }
    assert preview(tenant) == {
        "object": "route",
        "livemode": False,
        "account": oldest,
        "provider": "sandbox",
        "applied": None,
        "considered": [{"account": second, "provider": "sandbox", "reason": None}],
    }


def test_a_rule_prefers_accounts_for_the_payments_that_it_describes(tenant: Tenant) -> None:
    oldest, second, third = first(tenant), tenant.account(), tenant.account()
    large = {"when": {"amount_min": 100_000, "currency": ["LSL"]}, "accounts": [third]}
    rest = {"accounts": [second, third]}
    made = put(tenant, 0, large, rest)
    empty = {"currency": None, "country": None, "method": None, "amount_min": None, "amount_max": None}
    assert (made["version"], made["created_at"]) == (1, made["updated_at"])
    assert made["rules"] == [
        {"when": {**empty, **large["when"]}, "accounts": [third]},  # type: ignore[dict-item]
        {"when": empty, "accounts": [second, third]},
    ]
    assert tenant.test.get("/v1/routing").json() == made
    found = preview(tenant, amount=100_000)
    assert (found["account"], found["applied"]) == (third, {"version": 1, "rule": 1})
    assert [each["account"] for each in found["considered"]] == [oldest, second]
    found = preview(tenant, amount=99_999)
    assert (found["account"], found["applied"]) == (second, {"version": 1, "rule": 2})
    assert [each["account"] for each in found["considered"]] == [third, oldest]


def test_what_is_previewed_is_what_happens_and_is_recorded(tenant: Tenant) -> None:
    second = tenant.account()
    put(tenant, 0, {"when": {"country": ["LS"], "method": ["mobile_money"]}, "accounts": [second]})
    seen = preview(tenant)
    paid = tenant.payment(**BODY)
    assert paid["account"] == seen["account"] == second
    route = tenant.test.get(f"/v1/payments/{paid['id']}/timeline").json()["data"][0]
    assert route["kind"] == "route"
    assert route["evidence"]["applied"] == seen["applied"] == {"version": 1, "rule": 1}
    assert route["evidence"]["considered"] == seen["considered"]
    assert len(tenant.test.get("/v1/payments").json()["data"]) == 1  # a preview writes nothing


def test_a_rule_makes_no_account_take_what_it_cannot(tenant: Tenant) -> None:
    oldest, cpay = first(tenant), cpay_account(tenant)["id"]
    put(tenant, 0, {"accounts": [cpay]})
    assert preview(tenant)["account"] == cpay
    zar = preview(tenant, currency="ZAR")
    assert (zar["account"], zar["considered"]) == (
        oldest,
        [{"account": cpay, "provider": "cpay", "reason": "currency"}],
    )
    tenant.test.delete(f"/v1/accounts/{cpay}")
    assert preview(tenant)["considered"][0]["reason"] == "disabled"
    assert preview(tenant, account=oldest)["account"] == oldest


def test_nobody_can_take_it(tenant: Tenant) -> None:
    tenant.test.delete(f"/v1/accounts/{first(tenant)}")
    cpay = cpay_account(tenant)["id"]
    refused = tenant.test.post("/v1/routing/preview", json={**BODY, "currency": "ZAR"})
    assert code(refused, 422) == "no_route"
    accepting = tenant.test.post("/v1/payments", json={**BODY, "currency": "ZAR"}, headers={"Idempotency-Key": "k"})
    assert refused.json()["accounts"] == accepting.json()["accounts"]
    assert {"account": cpay, "reason": "currency"} in refused.json()["accounts"]
    missing = tenant.test.post("/v1/routing/preview", json={**BODY, "account": ids.show(ids.ACCOUNT, ids.new())})
    assert code(missing, 404) == "not_found"
    assert pointers(tenant.test.post("/v1/routing/preview", json={**BODY, "amount": 0})) == ["/amount"]


def test_who_knows_an_older_version_changes_nothing(tenant: Tenant) -> None:
    account = first(tenant)
    put(tenant, 0, {"accounts": [account]})
    for version in (0, 2):
        stale = tenant.test.put("/v1/routing", json={"version": version, "rules": []})
        assert code(stale, 409) == "version_conflict"
    assert put(tenant, 1)["version"] == 2

    def race(_: int) -> int:
        return tenant.test.put("/v1/routing", json={"version": 2, "rules": []}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(race, range(8))) == [200] + [409] * 7
    trail = tenant.test.get("/v1/audit_events?action=routing.replace").json()["data"]
    assert [each["changes"]["version"] for each in trail] == [3, 2, 1]
    assert trail[-1]["changes"]["rules"][0]["accounts"] == [account]


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({}, "/rules/0/accounts"),
        ({"accounts": []}, "/rules/0/accounts"),
        ({"accounts": ["A", "A"]}, "/rules/0/accounts"),
        ({"accounts": ["A"], "when": {"currency": ["lsl"]}}, "/rules/0/when/currency/0"),
        ({"accounts": ["A"], "when": {"currency": []}}, "/rules/0/when/currency"),
        ({"accounts": ["A"], "when": {"method": ["cash"]}}, "/rules/0/when/method/0"),
        ({"accounts": ["A"], "when": {"amount_min": 5, "amount_max": 4}}, "/rules/0/when/amount_max"),
        ({"accounts": ["A"], "when": {"amount_min": 1.5}}, "/rules/0/when/amount_min"),
        ({"accounts": ["A"], "when": {"phase": "full"}}, "/rules/0/when/phase"),
    ],
)
def test_bad_rules(tenant: Tenant, rule: dict[str, Any], pointer: str) -> None:
    account = first(tenant)
    named = {**rule, "accounts": [account for _ in rule["accounts"]]} if "accounts" in rule else rule
    assert pointers(tenant.test.put("/v1/routing", json={"version": 0, "rules": [named]})) == [pointer]
    assert tenant.test.get("/v1/routing").json()["version"] == 0


def test_nobody_elses_accounts_nor_rules(tenant: Tenant, other: Tenant) -> None:
    foreign = [first(other), tenant.account(livemode=True), "acc_x", ids.show(ids.ACCOUNT, ids.new())]
    for account in foreign:
        body = {"version": 0, "rules": [{"accounts": [account]}]}
        assert code(tenant.test.put("/v1/routing", json=body), 404) == "not_found"
    put(tenant, 0, {"accounts": [first(tenant)]})
    for client in (other.test, tenant.live):
        assert client.get("/v1/routing").json()["version"] == 0


def test_a_key_needs_to_be_allowed(tenant: Tenant) -> None:
    made = tenant.test.post("/v1/api_keys", json={"name": "k", "resources": {"routing": "read"}}).json()
    reader = tenant.client(made["key"])
    assert reader.get("/v1/routing").status_code == 200
    assert code(reader.put("/v1/routing", json={"version": 0, "rules": []}), 403) == "forbidden"


# --- The rules alone --------------------------------------------------------------------------------------------------


class Payment:
    """What a rule asks about."""

    amount, currency, country, method = 500, "LSL", "LS", "mobile_money"


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (Condition(), True),
        (Condition(currency=("ZAR", "LSL")), True),
        (Condition(currency=("ZAR",)), False),
        (Condition(country=("LS",)), True),
        (Condition(country=("ZA",)), False),
        (Condition(method=("card",)), False),
        (Condition(amount_min=500, amount_max=500), True),
        (Condition(amount_min=501), False),
        (Condition(amount_max=499), False),
        (Condition(currency=("LSL",), amount_min=501), False),
    ],
)
def test_what_holds(when: Condition, expected: bool) -> None:
    assert holds(when, Payment()) is expected


def test_a_payment_without_a_country_is_of_none() -> None:
    payment = Payment()
    payment.country = None  # type: ignore[assignment]
    assert not holds(Condition(country=("LS",)), payment)
    assert holds(Condition(), payment)


def test_the_first_rule_that_holds_decides() -> None:
    one, two = ids.new(), ids.new()
    never = Rule(when=Condition(currency=("ZAR",)), accounts=(one,))
    rules = Rules(version=3, rules=(never, Rule(accounts=(two,)), Rule(accounts=(one,))))
    assert preferred(rules, Payment()) == (2, (two,))
    assert preferred(Rules(version=3, rules=(never,)), Payment()) == (None, ())
