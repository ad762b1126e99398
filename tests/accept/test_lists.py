"""Lists of payments: pages, filters, and what is no filter."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway import ids
from gateway.http import cursors
from tests.accept.answers import answered, decoded, flood
from tests.accept.twins import BODY, Api, Merchant, Twins

pytestmark = pytest.mark.xdist_group("twins")


def listed(api: Api, **query: Any) -> dict[str, Any]:
    """A page of payments."""
    return dict(decoded(api.get(f"/v1/payments?{urlencode(query, doseq=True)}")))


def names(page: dict[str, Any]) -> list[str]:
    """The references of a page's payments, in its order."""
    return [each["reference"] for each in page["data"]]


def test_pages_have_neither_gaps_nor_repetitions_while_others_come_in(twins: Twins, merchant: Merchant) -> None:
    first, second = twins.both(merchant)
    mine = [decoded(first.pay(body={**BODY, "reference": f"old-{number}"}))["id"] for number in range(45)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 10}
    sizes = []
    while True:
        page = listed(second, **query)
        seen += [each["id"] for each in page["data"]]
        sizes.append(len(page["data"]))
        assert answered(flood([(api, api.payment()) for api in (first, second)] * 3, connections=3))
        if not page["has_more"]:
            break
        query["after"] = page["next"]
    assert sizes == [10, 10, 10, 10, 5]
    assert page["next"] is None
    assert len(set(seen)) == 45
    assert set(seen) == set(mine)
    assert seen == sorted(seen, reverse=True)
    assert names(listed(first, limit=1)) == [None]


def test_the_default_is_twenty_and_other_merchants_and_modes_are_not_shown(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    assert listed(first) == {"object": "list", "data": [], "has_more": False, "next": None}
    for _ in range(21):
        first.pay()
    page = listed(first)
    assert (len(page["data"]), page["has_more"]) == (20, True)
    assert len(listed(first, after=page["next"])["data"]) == 1
    assert len(listed(first, limit=100)["data"]) == 21
    assert listed(twins.first(merchant, live=True))["data"] == []
    assert listed(twins.first(twins.new_merchant()))["data"] == []
    last = page["data"][0]
    assert decoded(first.get(f"/v1/payments/{last['id']}")) == last


def test_every_filter(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    bodies: dict[str, dict[str, Any]] = {
        "plain": {},
        "cpay": {"provider": "cpay"},
        "rand": {"currency": "ZAR"},
        "big": {"amount": 99},
        "phone": {"method": {"type": "mobile_money", "phone": "+26658999999"}},
        "card": {"method": {"type": "card", "token": "tok_ok"}},
    }
    made = {name: decoded(first.pay(body=BODY | more | {"reference": name})) for name, more in bodies.items()}
    review = '{"reason": "late_success", "since": "2026-11-25T00:00:00.000Z"}'
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    for order, name in enumerate(bodies):
        made_at = at + timedelta(hours=order)
        lp = ids.lp_of(ids.read(ids.PAYMENT, made[name]["id"]) or ids.NIL)
        twins.database.fetch(
            "update payments set id = $6, created_at = $3, status = $4, review = $5"
            " where merchant_id = $1 and reference = $2",
            merchant.id,
            name,
            made_at,
            {"big": "succeeded", "card": "failed"}.get(name, "pending"),
            review if name == "big" else None,
            ids.new(lp, at_ms=int(made_at.timestamp() * 1000)),  # as accepting makes it: of the same time
        )
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["card", "phone", "big", "rand", "cpay", "plain"]),
        ({"status": "succeeded"}, ["big"]),
        ({"status": ["succeeded", "failed"]}, ["card", "big"]),
        ({"status": "expired"}, []),
        ({"provider": "cpay"}, ["cpay"]),
        ({"provider": "CPAY"}, []),
        ({"account": merchant.accounts["cpay"]}, ["cpay"]),
        ({"account": merchant.live_account}, []),
        ({"account": "acc_nonsense"}, []),
        ({"account": made["plain"]["id"]}, []),
        ({"reference": "rand"}, ["rand"]),
        ({"reference": "ran"}, []),
        ({"phone": "+26658999999"}, ["phone"]),
        ({"phone": "+266 5899-9999"}, ["phone"]),
        ({"currency": "ZAR"}, ["rand"]),
        ({"amount": 99}, ["big"]),
        ({"review": "late_success"}, ["big"]),
        ({"review": "contradicted"}, []),
        ({"created_from": "2026-11-25T14:00:00Z"}, ["card", "phone", "big", "rand"]),
        ({"created_to": "2026-11-25T14:00:00Z"}, ["cpay", "plain"]),
        ({"created_from": "2026-11-25T15:00:00+02:00", "created_to": "2026-11-25T14:00:00.001Z"}, ["rand", "cpay"]),
        ({"created_from": "0001-01-01T00:00:00+23:59", "created_to": "1969-12-31T23:59:59Z"}, []),
        ({"created_from": "9999-12-31T23:59:59-23:59"}, []),
        (
            {"created_from": "0135-04-14T14:54:25+10:39", "created_to": "9999-12-31T23:59:59.999Z", "status": "failed"},
            ["card"],
        ),
        ({"status": "pending", "currency": "LSL", "provider": "sandbox"}, ["phone", "plain"]),
        ({"status": "pending", "limit": 2}, ["phone", "rand"]),
    ]
    for query, references in expected:
        assert names(listed(first, **query)) == references, query
    assert names(decoded(first.get("/v1/payments?phone=+26658999999"))) == ["phone"]  # a plus that was not escaped
    page = listed(first, status="pending", limit=2)
    assert names(listed(first, status="pending", limit=2, after=page["next"])) == ["cpay", "plain"]


BAD_QUERIES: dict[str, tuple[str, str]] = {
    "limit=0": ("/limit", "out_of_range"),
    "limit=101": ("/limit", "out_of_range"),
    "limit=-1": ("/limit", "out_of_range"),
    "limit=": ("/limit", "wrong_type"),
    "limit=ten": ("/limit", "wrong_type"),
    "limit=1.5": ("/limit", "wrong_type"),
    "limit=1&limit=2": ("/limit", "duplicate"),
    "reference=a&reference=a": ("/reference", "duplicate"),
    "merchant_id=1": ("/merchant_id", "unknown_field"),
    "livemode=true": ("/livemode", "unknown_field"),
    "status=lost": ("/status/0", "invalid"),
    "status=pending&status=lost": ("/status/1", "invalid"),
    "status=": ("/status/0", "invalid"),
    "review=boredom": ("/review", "invalid"),
    "amount=0": ("/amount", "out_of_range"),
    "amount=9223372036854775808": ("/amount", "out_of_range"),
    "created_from=yesterday": ("/created_from", "invalid"),
    "created_from=2026-11-25": ("/created_from", "invalid"),
    "created_to=2026-11-25T12:00:00": ("/created_to", "invalid"),
    "reference=%00": ("", "invalid"),
    "reference=%ff": ("", "invalid"),
}


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_bad_query(twins: Twins, merchant: Merchant, query: str) -> None:
    answer = twins.first(merchant).get(f"/v1/payments?{query}")
    assert (answer.status, answer.code, answer.error) == (400, "invalid_request", BAD_QUERIES[query])


def test_a_bad_cursor(twins: Twins, merchant: Merchant) -> None:
    first = twins.first(merchant)
    good = cursors.encode(cursors.AfterId(ids.new()))
    other = cursors.encode(cursors.AfterPosition(1))
    for text in ("", "x", "1", good[:-1], good + "A", good.swapcase(), other, "A" * 10_000, str(ids.new())):
        answer = first.get(f"/v1/payments?after={text}")
        assert (answer.status, answer.code) == (400, "invalid_cursor"), text
    assert first.get(f"/v1/payments?after={good}").status == 200
