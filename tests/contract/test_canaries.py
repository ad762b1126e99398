"""Group 47: secrets go through every operation and every refusal, and are then found nowhere.

Two things are kept as a caller wrote them, because they name things: `reference` and `Idempotency-Key`; and what a
provider calls back, because it is evidence. No canary is put there.
"""

import json
import random
import re
import time
import uuid
from typing import Any, Final

import httpx
import pytest
from msgspec import Struct

from gateway.processes import free_port
from tests.api import people
from tests.api.tenants import Tenant
from tests.contract.api import Operation, operations
from tests.contract.sinks import holds, sinks
from tests.support.installation import Installation

WITHIN_S: Final = 60
chance = random.SystemRandom()


def card_number() -> str:
    """A number of 16 digits whose check digit is true, and which stands nowhere else."""
    digits = [4, *(chance.randrange(10) for _ in range(14))]
    doubled = (digit * 2 if place % 2 == 0 else digit for place, digit in enumerate(digits))
    total = sum(digit - 9 if digit > 9 else digit for digit in doubled)
    return "".join(map(str, digits)) + str(-total % 10)


class Canaries(Struct):
    """What must be found nowhere, by what it is; each is a regular expression too."""

    found: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.found[name]

    @property
    def all_of_them(self) -> str:
        """One text with every one of them, as a careless client might send it."""
        return json.dumps({**self.found, "cvv": self.cvv})

    @property
    def cvv(self) -> str:
        return self.found["cvv"].rpartition("}")[2]


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    cvv = f"{chance.randrange(1000, 10_000)}"
    return Canaries({
        "pan": card_number(),
        "cvv": rf"(?i)cv[vc]\W{{0,8}}{cvv}",
        "password": uuid.uuid4().hex,
        "otp": f"{chance.randrange(10**11, 10**12)}",
        "credential": f"canary-{uuid.uuid4().hex}",
        "webhook_secret": f"whsec_{uuid.uuid4().hex}",
        "unknown_key": f"sk_live_{uuid.uuid4().hex}",
        "unknown_jwt": f"eyJhbGciOiJIUzI1NiJ9.{uuid.uuid4().hex}.{uuid.uuid4().hex}",
    })  # fmt: skip


def headers(**more: str) -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex, **more}


def careless(operation: Operation, canaries: Canaries) -> list[dict[str, Any]]:
    """Requests with canaries where no secret belongs."""
    path = re.sub(r"\{\w+\}", canaries["unknown_key"], operation.path)
    text = canaries.all_of_them
    card = {"number": canaries["pan"], "cvv": canaries.cvv}
    bodies = [text, text[:-1], json.dumps({**(operation.body or {}), "card": card, "otp": canaries["otp"]})]
    bodies += [
        json.dumps({**(operation.body or {}), name: text[:90]}) for name in operation.body or {} if name != "reference"
    ]
    sent: list[dict[str, Any]] = [{"url": path, "content": body} for body in bodies]
    sent.append({"url": path, "content": text, "headers": headers(**{"Content-Type": f"text/{canaries['pan']}"})})
    sent.append({"url": path, "params": {"api_key": canaries["unknown_key"], "card": canaries["pan"]}})
    sent += [{"url": path, "params": {name: canaries["pan"]}} for name in operation.filters if name != "reference"]
    sent.append({"url": path, "headers": headers(Cookie=f"s={text}", Prefer=text, Forwarded=text, Origin=text)})
    sent.append({"url": path, "headers": headers(**{"Request-Id": canaries["unknown_key"], "User-Agent": text})})
    return sent


def everything_refused(client: httpx.Client, described: list[Operation], canaries: Canaries) -> int:
    """Send all of it; how many requests that were."""
    sent = 0
    for operation in described:
        for request in careless(operation, canaries):
            content = {"headers": headers(**{"Content-Type": "application/json"}), **request}
            answer = client.request(operation.method, **content)
            assert answer.status_code < 500, answer.text
            sent += 1
    return sent


def strangers(mypay: Installation, canaries: Canaries) -> None:
    """Credentials that do not work, and places that are not there."""
    for credential in (canaries["unknown_key"], canaries["unknown_jwt"], canaries["pan"]):
        for sent in (
            {"Authorization": f"Bearer {credential}"},
            {"X-API-Key": credential},
            {"Authorization": credential},
        ):
            assert httpx.get(f"{mypay.base_url}/v1/payments", headers=sent).status_code == 401
        for path in (
            f"/{credential}",
            f"/callbacks/sandbox/{credential}",
            f"/errors/{credential}",
            f"/return/{credential}",
        ):
            answer = httpx.post if path.startswith("/callbacks") else httpx.get
            assert answer(f"{mypay.base_url}{path}").status_code == 404


def signs_in(mypay: Installation, canaries: Canaries) -> None:
    """A person with this password comes, comes again, and goes; and somebody guesses."""
    owner = people.client(mypay, people.signed_in(mypay, mypay.email, mypay.password)["access_token"])
    email = f"canary-{uuid.uuid4().hex[:8]}@example.test"
    made = owner.post("/v1/admin/users", json={"email": email, "role": "viewer", "password": canaries["password"]})
    assert made.status_code == 201, made.text
    tokens = people.signed_in(mypay, email, canaries["password"])
    canaries.found |= {name: re.escape(tokens[name]) for name in ("access_token", "refresh_token")}
    refresh = {"refresh_token": tokens["refresh_token"]}
    renewed = httpx.post(f"{mypay.base_url}/v1/auth/refresh", json=refresh).json()
    canaries.found |= {f"new_{name}": re.escape(renewed[name]) for name in ("access_token", "refresh_token")}
    assert httpx.post(f"{mypay.base_url}/v1/auth/refresh", json=refresh).status_code == 401
    assert people.ask_token(mypay, email, canaries["webhook_secret"]).status_code == 401
    assert people.ask_token(mypay, canaries["pan"], canaries["password"]).status_code == 400


def configures(tenant: Tenant, canaries: Canaries) -> str:
    """An account with these credentials, changed, checked and refused; the id."""
    settings = {"api_key": canaries["credential"], "webhook_secret": canaries["webhook_secret"]}
    made = tenant.test.post("/v1/accounts", json={"provider": "sandbox", "settings": settings, "priority": 0})
    assert made.status_code == 201, made.text
    account = str(made.json()["id"])
    path = f"/v1/accounts/{account}"
    assert tenant.test.patch(path, json={"settings": settings, "label": "second"}).status_code == 200
    assert tenant.test.post(f"{path}/check", json={}).status_code == 200
    for bad in ({**settings, "nonsense": canaries["credential"]}, {"api_key": [canaries["credential"]]}):
        assert tenant.test.patch(path, json={"settings": bad}).status_code == 400
    return account


def listens(tenant: Tenant, canaries: Canaries) -> None:
    """A webhook endpoint that nobody answers, with a secret that is replaced."""
    body = {"url": f"http://127.0.0.1:{free_port()}/hooks", "events": ["*"]}
    made = tenant.test.post("/v1/webhook_endpoints", json=body).json()
    renewed = tenant.test.post(f"/v1/webhook_endpoints/{made['id']}/rotate_secret").json()
    canaries.found |= {"endpoint": re.escape(made["secret"]), "new_endpoint": re.escape(renewed["secret"])}
    assert tenant.test.post(f"/v1/webhook_endpoints/{made['id']}/test").status_code == 200


def pays(tenant: Tenant, account: str, canaries: Canaries) -> str:
    """Payments through an account that the provider refuses, and with a code that is wrong; the id of one."""
    refused = tenant.payment(account=account, method={"type": "card", "token": "tok_ok"})["id"]
    waiting = tenant.payment(method={"type": "card", "token": "tok_otp"}, account=tenant.account())["id"]
    until(tenant, waiting, "requires_action")
    for otp in (canaries["otp"], canaries["otp"]):
        answer = tenant.test.post(
            f"/v1/payments/{waiting}/confirm", json={"otp": otp}, headers=headers(Prefer="wait=20")
        )
        assert answer.status_code in (200, 409), answer.text
    pan = canaries["pan"]
    money = {"amount": 15000, "currency": "LSL", "method": {"type": "card", "token": "tok_ok"}}
    for members in (
        {"method": {"type": "card", "token": pan}},
        {"description": f"Card {pan}"},
        {"metadata": {"card": " ".join(re.findall("....", pan))}},
        {"metadata": {pan: "x"}},
        {"customer": {"name": pan}},
    ):
        answer = tenant.test.post("/v1/payments", json={**money, **members}, headers=headers())
        assert (answer.status_code, answer.json()["code"]) == (400, "card_number_refused"), answer.text
    return str(refused)


def until(tenant: Tenant, payment: str, status: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while tenant.test.get(f"/v1/payments/{payment}").json()["status"] != status:
        assert time.monotonic() < deadline, payment
        time.sleep(0.05)


def test_47_no_secret_is_found_anywhere(mypay: Installation, canaries: Canaries) -> None:
    tenant = Tenant(mypay)
    credential = tenant.test.headers["authorization"].removeprefix("Bearer sk_test_")
    canaries.found["api_key"] = credential[4:]  # the first of them are shown as the key's prefix
    account = configures(tenant, canaries)
    listens(tenant, canaries)
    signs_in(mypay, canaries)
    payment = pays(tenant, account, canaries)
    strangers(mypay, canaries)
    described = operations(mypay)
    assert everything_refused(tenant.test, described, canaries) > 5 * len(described)
    everything_refused(httpx.Client(base_url=mypay.base_url), described[:10], canaries)
    marker = f"last-{uuid.uuid4().hex}"
    tenant.test.get("/v1/payments", headers={"Request-Id": marker})
    deadline = time.monotonic() + WITHIN_S
    while marker not in mypay.processes["api"].log:  # lines are written after the answers
        assert time.monotonic() < deadline
        time.sleep(0.05)
    searched = sinks(mypay)
    assert {where for where, text in searched.items() if payment in text} >= {
        "topic " + mypay.settings.kafka_prefix + "payments.commands.sandbox"
    }
    assert {"table payments", "table accounts", "metrics", "redis", "log api", "log worker-1"} <= set(searched)
    found = [
        (name, where)
        for name, canary in canaries.found.items()
        for where, text in searched.items()
        if holds(text, canary)
    ]
    assert found == [], found
