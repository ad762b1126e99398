"""What the sandbox's behaviours promise, and a payment of each lived to its end."""

import html
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.e2e.shop import Shop, card, phone

RETURN_URL = "https://shop.example/thanks?order=7&lang=st"


class Promise(NamedTuple):
    """How a behaviour ends. `charges` is what the simulator's ledger must hold; a charge is `sent` that often."""

    token: str
    status: str
    events: str  # after "created processing"
    failure: str | None = None
    review: str | None = None
    charges: int = 1
    sent: int = 1


PROMISES = {
    "000": Promise("tok_ok", "succeeded", "succeeded"),
    "001": Promise("tok_later", "succeeded", "succeeded"),
    "002": Promise("tok_insufficient_funds", "failed", "failed", failure="insufficient_funds", charges=0),
    "003": Promise("tok_canceled", "failed", "failed", failure="payer_canceled", charges=0),
    "004": Promise("tok_never", "expired", "expired", failure="expired", charges=0),
    "005": Promise("tok_timeout_charged", "succeeded", "succeeded"),
    "006": Promise("tok_error_charged", "succeeded", "succeeded"),
    "007": Promise("tok_error_not_charged", "failed", "failed", failure="provider_unavailable", charges=0, sent=3),
    "008": Promise("tok_reset_charged", "succeeded", "succeeded"),
    "009": Promise("tok_wrong_amount", "processing", "review", review="amount_mismatch"),
    "010": Promise("tok_redirect", "succeeded", "requires_action succeeded"),
    "011": Promise("tok_otp", "succeeded", "requires_action succeeded"),
    "012": Promise("tok_duplicate_callbacks", "succeeded", "succeeded"),
    "013": Promise("tok_no_callback", "succeeded", "succeeded"),
    "014": Promise("tok_late_success", "succeeded", "failed succeeded review", review="late_success"),
    "015": Promise("tok_slow", "succeeded", "succeeded"),
    "016": Promise("tok_forged_callback", "succeeded", "succeeded"),
}


async def live(merchant: Shop, digits: str, way: str) -> dict[str, Any]:
    """One payment from its creation to its end, with what its payer does."""
    promise = PROMISES[digits]
    method = phone(digits) if way == "phone" else card(promise.token)
    payment = str((await merchant.pay(method, return_url=RETURN_URL))["id"])
    if digits == "004":
        await merchant.expire_in(payment, 1)
    if digits == "010":
        waiting = await merchant.until(payment, waits)
        await press(merchant, waiting, "succeeded")
    if digits == "011":
        await merchant.until(payment, waits)
        assert (await merchant.confirm(payment, "123456")).status_code == 200
    return await merchant.until(payment, lambda shown: is_at_its_end(shown, promise))


def waits(shown: dict[str, Any]) -> bool:
    return bool(shown["status"] == "requires_action")


def is_at_its_end(shown: dict[str, Any], promise: Promise) -> bool:
    review = shown["review"] and shown["review"]["reason"]
    return (shown["status"], review) == (promise.status, promise.review)


async def press(merchant: Shop, waiting: dict[str, Any], outcome: str) -> tuple[str, dict[str, str]]:
    """Press a button of the redirect's page; where the payer is in the end, and what that address tells."""
    url = waiting["next_action"]["url"]
    page = await merchant.client.get(url)
    assert page.headers["content-type"].startswith("text/html")
    actions = [html.unescape(each) for each in re.findall(r'action="([^"]+)"', page.text)]
    (action,) = (each for each in actions if outcome in each)
    decided = await merchant.client.post(f"http://{urlsplit(url).netloc}{action}")
    assert decided.status_code == 303
    back = await merchant.client.get(decided.headers["location"])
    assert back.status_code == 303
    onward = urlsplit(back.headers["location"])
    return onward._replace(query="").geturl(), dict(parse_qsl(onward.query))
