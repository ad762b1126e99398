"""The merchant's accounts at the simulators, and what a provider's portal or dashboard would be told about them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from providers.daraja.cases import CERTIFICATE
from tests.chaos.http_client import Client, NoAnswer

PASSKEY = "the-passkey"
SECRET = "whsec_5bAnb8CjQ8Y6ZNRbzgLLEc2/F0CtxnQUbRCg1pJZ5Mg="
TOLD_EVERY_S = 1.0
HOOKED = [f"{kind}.{end}" for kind in ("payment", "refund", "payout") for end in ("succeeded", "failed")]


class Told(NamedTuple):
    """A request to a simulator's control endpoint."""

    provider: str
    path: str
    body: dict[str, Any]


async def open_accounts(api_port: int, api_key: str, ports: dict[str, int], at: dict[str, str]) -> list[Told]:
    """An account at each provider that the demo does not have; what their simulators must be told is told.

    `ports` are the simulators' own, `at` the addresses at which the product calls them. Returns what they forget.
    """
    mpesa_key = (await _ask(ports["mpesa"], "GET", "/_simulator/public_key"))["public_key"]
    pawapay_key = (await _ask(ports["pawapay"], "GET", "/v2/public-key/http"))[0]["key"]
    urls = {}
    for provider, settings in _settings(mpesa_key, pawapay_key, at):
        headers = {"authorization": f"Bearer {api_key}", "idempotency-key": f"account-{provider}"}
        made = await _ask(api_port, "POST", "/v1/accounts", {"provider": provider, "settings": settings}, headers)
        urls[provider] = made["callback_url"]
    for one in (
        Told("mpesa", "/_simulator/secrets", {"api_key": "mpesa-key", "secret": urls["mpesa"]}),
        Told("daraja", "/_simulator/secrets", {"api_key": "600610", "secret": PASSKEY}),
        Told("standard_bank_pay", "/_simulator/secrets", {"api_key": "sbp-key", "secret": SECRET}),
    ):
        await _ask(ports[one.provider], "POST", one.path, one.body)
    return [Told("pawapay", "/_simulator/callbacks", {"api_key": "pawapay-token", "url": urls["pawapay"]})]


async def open_endpoint(api_port: int, api_key: str, url: str) -> str:
    """A webhook endpoint for what has ended; its secret."""
    headers = {"authorization": f"Bearer {api_key}"}
    made = await _ask(api_port, "POST", "/v1/webhook_endpoints", {"url": url, "events": HOOKED}, headers)
    secret: str = made["secret"]
    return secret


async def keep_telling(told: list[Told], ports: dict[str, int]) -> None:
    """Tell it again and again: a simulator that was killed has forgotten it."""
    while True:
        for one in told:
            try:
                await _ask(ports[one.provider], "POST", one.path, one.body)
            except NoAnswer:
                continue
        await asyncio.sleep(TOLD_EVERY_S)


def _settings(mpesa_key: str, pawapay_key: str, at: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        "mpesa",
        {
            "environment": "sandbox",
            "market": "vodacomLES",
            "api_key": "mpesa-key",
            "public_key": mpesa_key,
            "service_provider_code": "000000",
            "base_url": at["mpesa"],
        },
    )
    yield (
        "daraja",
        {
            "environment": "sandbox",
            "consumer_key": "key",
            "consumer_secret": "secret",
            "shortcode": "600610",
            "passkey": PASSKEY,
            "transaction_type": "paybill",
            "initiator_name": "api",
            "initiator_password": "password",
            "certificate": CERTIFICATE,
            "base_url": at["daraja"],
        },
    )
    yield (
        "pawapay",
        {"api_token": "pawapay-token", "signing": "required", "public_key": pawapay_key, "base_url": at["pawapay"]},
    )
    yield (
        "standard_bank_pay",
        {
            "base_url": f"{at['standard_bank_pay']}/api/v1",
            "api_key": "sbp-key",
            "client_id": "sbp-client-001",
            "webhook_secret": SECRET,
        },
    )


async def _ask(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    client = Client(port)
    try:
        content = b"" if body is None else json.dumps(body).encode()
        answer = await client.ask(method, path, {"content-type": "application/json", **(headers or {})}, content)
    finally:
        client.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path} was answered {answer.status}: {answer.body.decode()}")
    return json.loads(answer.body)
