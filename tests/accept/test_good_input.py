"""What POST /v1/payments accepts: any text, kept as it is, and every value that is just good enough."""

import json
import time
from typing import Any

import pytest

from tests.accept.answers import decoded
from tests.accept.bad_bodies import CARD
from tests.accept.twins import BODY, Merchant, Twins

pytestmark = pytest.mark.xdist_group("twins")
LOG_PATIENCE_S = 10


@pytest.fixture(scope="module")
def good(twins: Twins) -> Merchant:
    """One merchant for all of it."""
    return twins.new_merchant()


TEXTS = {
    "right to left": "\u202egnp.exe\u202c \u200f\u05d0",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1f1\U0001f1f8",
    "combining marks": "e\u0301 Z\u0351\u036b\u0343\u036a\u0302",
    "HTML": "<script>alert('1')</script>&amp;",
    "SQL": "'; drop table payments; --",
    "lines": 'a\r\nERROR {"level":"error"}\n\tb\x0b\x0c\x1b[31m\x7f\x85\u2028',
    "a template": "{{7*7}} ${7*7} %s %n {0}",
    "edges": " \ufeff\ufffe\U0010ffff ",
    "500 characters beyond the BMP": "\U0001f4b3" * 500,
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_kept_as_it_is_and_makes_no_line_of_the_log(twins: Twins, good: Merchant, name: str) -> None:
    text = TEXTS[name]
    members = {
        "description": text,
        "reference": text[:100],
        "customer": {"name": text[:200], "email": text[:254]},
        "metadata": {"k": text, text[:40]: "v"},
    }
    client = twins.second(good)
    accepted = client.pay(body=BODY | members, Request_Id=f"text-{name.replace(' ', '-')}")
    read = twins.first(good).get(accepted.headers["location"])
    for answer in (accepted, read):
        assert {member: decoded(answer)[member] for member in members} == members
    wanted = f"text-{name.replace(' ', '-')}"
    deadline = time.monotonic() + LOG_PATIENCE_S  # the line is written after the answer
    while wanted not in twins.handles[1].log and time.monotonic() < deadline:
        time.sleep(0.05)
    log = twins.handles[1].log
    lines = [line for line in log.splitlines() if wanted in line]
    assert len(lines) == 1
    assert json.loads(lines[0])["status"] == 201
    assert all(line.startswith("{") for line in log.split("\n") if line)


# --- What is just good enough -----------------------------------------------------------------------------------------

OPTIONAL = (
    "country", "provider", "account", "reference", "description", "customer", "metadata", "return_url", "expires_in",
)  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "the smallest amount": {"amount": 1},
    "the largest amount": {"amount": 10**15},
    "a currency without decimals": {"currency": "JPY", "provider": "sandbox"},
    "a currency with three": {"currency": "KWD", "provider": "sandbox"},
    "rand in Lesotho": {"currency": "ZAR", "country": "LS"},
    "a local number with its country": {"country": "LS", "method": {"type": "mobile_money", "phone": "5812 3456"}},
    "a card's token": {"method": CARD},
    "a token of digits that is no card number": {"method": {"type": "card", "token": "4111111111111112"}},
    "a short token of digits": {"method": {"type": "card", "token": "41111111118"}},
    "a redirect": {"method": {"type": "redirect"}, "return_url": "http://localhost:8080/back?a=1#top"},
    "an address with an IPv6 host": {"return_url": "https://[2001:db8::1]:8443/back"},
    "an address of 2 048 characters": {"return_url": "https://shop.example/" + "x" * 2027},
    "a minute": {"expires_in": 60},
    "a week": {"expires_in": 604_800},
    "much metadata": {"metadata": {f"{n:02}".ljust(40, "k"): "v" * 123 for n in range(50)}},
    "a long value of metadata": {"metadata": {"k": "\U0001f4b3" * 500}},
    "exactly 8 KiB of metadata": {"metadata": {f"{n:02}": "v" * 500 for n in range(16)} | {"x": "v" * 159}},
    "nulls": dict.fromkeys(OPTIONAL),
    "a key of 255 characters": {},
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_just_good_enough(twins: Twins, good: Merchant, name: str) -> None:
    members = GOOD[name]
    key = "k" * 255 if "255" in name else None
    payment = decoded(twins.first(good).pay(key, BODY | members))
    assert payment["amount"] == members.get("amount", 15000)
    assert payment["currency"] == members.get("currency", "LSL")
    assert payment["metadata"] == (members.get("metadata") or {})
    assert decoded(twins.second(good).get(f"/v1/payments/{payment['id']}")) == payment
