"""Who uses the API in the load: merchants, who repeat a key until it is answered, and payers."""

import asyncio
import hashlib
import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.cases import ACTED, CASES, PAYEES, Case, amount_at, currency_of, wallet
from tests.chaos.history import History
from tests.chaos.http_client import Answer, Client, NoAnswer

TRIES = 12
PATIENT_TRIES = 100  # for what only a payer can end, who must know of it
PAUSE_MOST_S = 2.5
TWICE_P = 0.03
REUSED_P = 0.01
PARTLY = ("sandbox", "pawapay")
WAIT_P = 0.05
IMPATIENT_P = 0.3  # of the payers enter a code twice at once
FINAL = ("succeeded", "failed", "canceled", "expired")


@dataclass(frozen=True)
class Wish:
    """One payment that a client wants, whatever it takes."""

    key: str
    case: Case
    body: dict[str, Any]

    @property
    def content(self) -> bytes:
        """The request's bytes."""
        return json.dumps(self.body).encode()


class Merchant:
    """One client with a connection to each API."""

    def __init__(self, ports: list[int], api_key: str, history: History, dice: random.Random, name: str) -> None:
        self._clients = [Client(port) for port in ports]
        self._api_key, self._history, self._dice, self.name = api_key, history, dice, name

    def _headers(self, key: str | None = None, **more: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._api_key}", "Content-Type": "application/json", **more}
        return headers if key is None else {**headers, "Idempotency-Key": key}

    async def create(self, wish: Wish) -> str | None:
        """Make the payment; its id once it is acknowledged, or None."""
        self._history.add("invoke", "create", who=self.name, key=wish.key, request=wish.body)
        if self._dice.random() < TWICE_P:
            twin = Merchant([c.port for c in self._clients], self._api_key, self._history, self._dice, self.name)
            both = [self._until_answered(wish, 0), twin._until_answered(wish, 1)]
            found = next((one for one in await asyncio.gather(*both) if one), None)
            twin.close()
        else:
            found = await self._until_answered(wish, self._dice.randrange(2))
        if found and self._dice.random() < REUSED_P:
            await self._reuse(wish)
        return found

    async def pay_out(self, key: str, dice: random.Random) -> None:
        """Pay somebody."""
        provider, digits = dice.choice(PAYEES)
        body = {
            "amount": amount_at(provider, dice),
            "currency": currency_of(provider),
            "provider": provider,
            "destination": wallet(provider, digits, dice),
            "reference": key,
        }
        await self._insist("payout", "/v1/payouts", key, body)

    async def refund(self, payment: str, wish: Wish, dice: random.Random) -> None:
        """Give back."""
        body: dict[str, Any] = {"payment": payment}
        if wish.case.provider in PARTLY and dice.random() < 0.5:
            body["amount"] = dice.randrange(1, wish.body["amount"] + 1)
        await self._insist("refund", "/v1/refunds", f"{wish.key}-refund", body)

    async def _insist(self, call: str, path: str, key: str, body: dict[str, Any]) -> None:
        """Repeat the same key until it is answered."""
        self._history.add("invoke", call, who=self.name, key=key, request=body)
        wish = Wish(key, CASES[0], body)
        for attempt in range(TRIES):
            answer = await self._ask(call, attempt % 2, "POST", path, wish, {})
            if answer is not None and answer.status == 201:
                self._history.add("ok", call, who=self.name, key=key, id=json.loads(answer.body)["id"])
                return
            if answer is not None and answer.status not in (409, 429) and answer.status < 500:
                self._history.add("fail", call, who=self.name, key=key, status=answer.status)
                return
            await asyncio.sleep(min(0.2 * (attempt + 1), PAUSE_MOST_S) * (0.5 + self._dice.random()))
        self._history.add("info", call, who=self.name, key=key)

    async def _until_answered(self, wish: Wish, first: int) -> str | None:
        headers = {"Prefer": "wait=3"} if self._dice.random() < WAIT_P else {}
        status = 0
        for attempt in range(PATIENT_TRIES if wish.case.name in ACTED else TRIES):
            answer = await self._ask("create", (first + attempt) % 2, "POST", "/v1/payments", wish, headers)
            status = 0 if answer is None else answer.status
            if answer is not None and status == 201:
                found: str = json.loads(answer.body)["id"]
                self._history.add("ok", "create", who=self.name, key=wish.key, id=found)
                return found
            if answer is not None and status not in (409, 429) and status < 500:
                self._history.add("fail", "create", who=self.name, key=wish.key, status=status)
                return None
            await asyncio.sleep(min(0.2 * (attempt + 1), PAUSE_MOST_S) * (0.5 + self._dice.random()))
        self._history.add("info", "create", who=self.name, key=wish.key, status=status)
        return None

    async def _ask(
        self, call: str, which: int, method: str, path: str, wish: Wish, more: dict[str, str]
    ) -> Answer | None:
        try:
            answer = await self._clients[which].ask(method, path, self._headers(wish.key, **more), wish.content)
        except NoAnswer as error:
            self._history.add("answer", call, who=self.name, key=wish.key, error=str(error))
            return None
        self._note(call, answer, key=wish.key, waited="Prefer" in more)
        return answer

    def _note(self, call: str, answer: Answer, **fields: Any) -> None:
        fields["content_type"] = answer.headers.get("content-type", "")
        if answer.status < 300:
            fields["id"] = json.loads(answer.body)["id"]
            fields["digest"] = hashlib.sha256(answer.body).hexdigest()[:16]
            fields["replayed"] = answer.headers.get("idempotency-replayed") == "true"
        elif answer.body:
            fields["code"] = json.loads(answer.body).get("code")
        self._history.add("answer", call, who=self.name, status=answer.status, **fields)

    async def _reuse(self, wish: Wish) -> None:
        """The same key for another amount: refused, whatever happens around it."""
        other = Wish(wish.key, wish.case, {**wish.body, "amount": wish.body["amount"] + 1})
        for attempt in range(TRIES):
            answer = await self._ask("reuse", attempt % 2, "POST", "/v1/payments", other, {})
            if answer is not None and answer.status < 500 and answer.status != 409:
                return
            await asyncio.sleep(0.3)

    async def read_back(self, payment: str) -> dict[str, Any] | None:
        """Read the payment from an API that need not be the one that acknowledged it."""
        for attempt in range(3):
            which = self._dice.randrange(2)
            try:
                answer = await self._clients[which].ask("GET", f"/v1/payments/{payment}", self._headers())
            except NoAnswer:
                await asyncio.sleep(0.2 * (attempt + 1))
                continue
            self._note("read", answer, payment=payment)
            if answer.status == 200:
                found: dict[str, Any] = json.loads(answer.body)
                return found
            if answer.status < 500:
                return None
        return None

    async def confirm(self, payment: str, otp: str, key: str) -> None:
        """Enter a code, once per key."""
        wish = Wish(key, CASES[0], {"otp": otp})
        for attempt in range(TRIES):
            answer = await self._ask("confirm", attempt % 2, "POST", f"/v1/payments/{payment}/confirm", wish, {})
            if answer is not None and answer.status < 500:
                return
            await asyncio.sleep(0.3)

    def close(self) -> None:
        """Drop the connections."""
        for client in self._clients:
            client.close()


class Payer:
    """Whoever pays: waits until asked to do something, and does it, rightly or not."""

    def __init__(self, ports: list[int], api_key: str, history: History, dice: random.Random, payment: str) -> None:
        self._merchant = Merchant(ports, api_key, history, dice, "payer")
        self._twin = Merchant(ports[::-1], api_key, history, dice, "impatient payer")
        self._dice, self._payment, self._tries = dice, payment, 0
        self._codes = dice.choice([["123456"], ["123456"], ["000000", "123456"], ["000000"] * 4])
        self._decides = dice.choice(["succeeded", "succeeded", "declined"])

    async def run(self) -> None:
        """Until the payment has ended."""
        try:
            while True:
                await asyncio.sleep(0.5 + self._dice.random())
                found = await self._merchant.read_back(self._payment)
                if found is not None and (found["status"] in FINAL or found["review"]):
                    return
                if found is not None and found["status"] == "requires_action":
                    await self._act(found["next_action"])
        finally:
            self._merchant.close()
            self._twin.close()

    async def _act(self, action: dict[str, Any]) -> None:
        self._tries += 1
        if action["type"] == "otp":
            code = self._codes[min(self._tries, len(self._codes)) - 1]
            key = f"{self._payment}-{self._tries}"
            await asyncio.gather(
                self._merchant.confirm(self._payment, code, key),
                *(
                    [self._twin.confirm(self._payment, code, key + "-again")]
                    if self._dice.random() < IMPATIENT_P
                    else []
                ),
            )
        elif action["type"] == "redirect":
            url = urlsplit(action["url"])
            client = Client(url.port or 80)
            try:
                pay = "yes" if self._decides == "succeeded" else "no"
                await client.ask("POST", f"{url.path}?outcome={self._decides}&pay={pay}", {})
            except NoAnswer:
                return
            finally:
                client.close()
