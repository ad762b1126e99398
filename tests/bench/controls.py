"""Accepting with all that a merchant in earnest has on: a restricted live key, limits in Redis, routing rules."""

from collections.abc import Iterator

import httpx

from tests.bench.load import measure
from tests.bench.report import Row
from tests.bench.servers import MYPAY, server, shown
from tests.support.installation import Installation
from tests.support.parts import Parts

CONNECTIONS = 64
RAISED = 1_000_000  # a limit that nobody reaches still costs its question


def rows(parts: Parts, *, seconds: float) -> Iterator[Row]:
    """Both, on servers of their own."""
    with server(parts, MYPAY) as (made, port):
        without = measure(port, made.api_key, connections=CONNECTIONS, seconds=seconds)
    limits = {"RATE_LIMIT_PER_KEY": str(RAISED), "RATE_LIMIT_PER_IP": str(RAISED), "REDIS_HOST": parts.redis_host}
    with server(parts, MYPAY, environment=limits) as (made, port):
        key = restricted(made)
        measure(port, key, connections=16, seconds=2)  # warm
        controlled = measure(port, key, connections=CONNECTIONS, seconds=seconds)
    ratio = controlled["per_second"] / without["per_second"]
    yield Row("accept, a full test key, no limits, no rules", shown(without))
    yield Row("accept, a restricted live key, limits in Redis, three routing rules", shown(controlled))
    yield Row("accept: with ÷ without", f"{ratio:.2f}", "≥ 0.85", ratio >= 0.85)


def restricted(made: Installation) -> str:
    """A live key that may only take payments, of a merchant with a live account and rules."""
    with httpx.Client(base_url=made.base_url, timeout=30) as client:

        def asked(method: str, path: str, token: str, body: object) -> dict[str, str]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = client.request(method, path, json=body, headers=headers)
            return dict(answer.raise_for_status().json())

        person = asked("POST", "/v1/auth/token", "", {"email": made.email, "password": made.password})["access_token"]
        listed = client.get("/v1/auth/merchants", headers={"Authorization": f"Bearer {person}"}).json()
        merchant = listed["data"][0]["id"]
        live = {"name": "live", "merchant": merchant, "livemode": True}
        full = asked("POST", "/v1/api_keys", person, live)["key"]
        account = asked("POST", "/v1/accounts", full, {"provider": "sandbox", "settings": {}})["id"]
        conditions = ({"currency": ["ZAR"]}, {"method": ["card"]}, {"currency": ["LSL"], "amount_max": 10**6})
        rules = [{"when": when, "accounts": [account]} for when in conditions]
        asked("PUT", "/v1/routing", full, {"version": 0, "rules": rules})
        return asked("POST", "/v1/api_keys", full, {"name": "pos", "resources": {"payments": "write"}})["key"]
