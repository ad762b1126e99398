"""Bodies of requests that work, for the OpenAPI document: one for each that has members."""

from typing import Any, Final

from msgspec import Struct

from gateway.http.accounts import CreateAccount
from gateway.http.admin import CreateMerchant, CreateUser
from gateway.http.api_keys import CreateApiKey
from gateway.http.sign_in import SignIn
from gateway.http.webhook_endpoints import CreateWebhookEndpoint, ReplayWebhooks, UpdateWebhookEndpoint
from gateway.payments.requests import (
    CapturePayment,
    ConfirmPayment,
    CreatePayment,
    CreatePayout,
    CreateRefund,
    ResolvePayment,
)
from gateway.usecases.route_payments import PutRouting

_WALLET: Final = {"type": "mobile_money", "phone": "+26658123000"}
_MONEY: Final = {"amount": 15000, "currency": "LSL"}

EXAMPLES: Final[dict[type[Struct], dict[str, Any]]] = {
    CreatePayment: {**_MONEY, "method": _WALLET, "reference": "order-1001", "metadata": {"cart": "77"}},
    CapturePayment: {"amount": 10000},
    ConfirmPayment: {"otp": "123456"},
    ResolvePayment: {"action": "mark_succeeded", "reason": "Seen on the statement of 24 November."},
    CreateRefund: {"payment": "pay_01k3n4rj0sf7dtqmvnj3wj8k7a", "amount": 5000, "reason": "Returned goods"},
    CreatePayout: {**_MONEY, "destination": {**_WALLET, "name": "Thabo Mokoena"}, "reference": "salary-11"},
    CreateAccount: {"provider": "sandbox", "settings": {}, "label": "Counter 1"},
    PutRouting: {"version": 0, "rules": []},
    CreateApiKey: {"name": "shop", "resources": {"payments": "write", "refunds": "read"}},
    SignIn: {"email": "owner@shop.example", "password": "correct horse battery"},
    CreateMerchant: {"name": "Corner shop"},
    CreateUser: {"email": "thabo@shop.example", "role": "operator"},
    CreateWebhookEndpoint: {"url": "https://shop.example/webhooks", "events": ["payment.*", "refund.*"]},
    UpdateWebhookEndpoint: {"status": "enabled"},
    ReplayWebhooks: {"from": "2026-11-23T21:00:00Z", "events": ["payment.succeeded"]},
}
