"""A hook of schemathesis: bodies that get past the rules which no schema can tell, so that links lead to objects.

Which of them it is follows from what schemathesis chose, so that it can still look for what breaks something.
"""

from collections.abc import Callable
from typing import Any, Final

import schemathesis

PHONES: Final = tuple(f"+26658123{ends}" for ends in ("000", "001", "002", "005", "008", "010", "011", "012"))
TOKENS: Final = ("tok_ok", "tok_later", "tok_insufficient_funds", "tok_otp", "tok_redirect", "tok_reset_charged")


def payment(body: dict[str, Any]) -> dict[str, Any]:
    """A payment that an account takes, by one of the sandbox's triggers."""
    chosen = _number(body.get("amount"))
    method: dict[str, str] = {"type": "mobile_money", "phone": PHONES[chosen % len(PHONES)]}
    if chosen % 3 == 0:
        method = {"type": "card", "token": TOKENS[chosen % len(TOKENS)]}
    kept = {name: body[name] for name in ("capture", "description", "metadata", "reference") if name in body}
    return {**kept, "amount": 1 + chosen, "currency": ("LSL", "ZAR")[chosen % 2], "method": method}


def payout(body: dict[str, Any]) -> dict[str, Any]:
    """A payout that an account takes."""
    made = payment(body)
    destination = {"type": "mobile_money", "phone": PHONES[made["amount"] % len(PHONES)]}
    return {"amount": made["amount"], "currency": made["currency"], "destination": destination}


def with_amount(body: dict[str, Any]) -> dict[str, Any]:
    """A part of what was captured, or all of it."""
    return body if body.get("amount") is None else {**body, "amount": 1 + _number(body["amount"]) % 10}


GOOD: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "POST /v1/payments": payment,
    "POST /v1/payouts": payout,
    "POST /v1/refunds": with_amount,
    "POST /v1/payments/{payment_id}/capture": with_amount,
    "POST /v1/payments/{payment_id}/confirm": lambda body: {"otp": "123456"},
    "POST /v1/accounts": lambda body: {**body, "provider": "sandbox", "settings": {}},
    "POST /v1/api_keys": lambda body: {"name": "k", "resources": {"payments": "read"}},
    "POST /v1/webhook_endpoints": lambda body: {"url": "https://shop.example/hooks", "events": ["payment.*"]},
    "PATCH /v1/accounts/{account_id}": lambda body: {**body, "settings": {}, "enabled": True},
}


def _number(amount: object) -> int:
    return amount % 1000 if isinstance(amount, int) else 0


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """The body that is sent."""
    better = None if context.operation is None else GOOD.get(context.operation.label)
    return body if better is None or not isinstance(body, dict) else better(body)
