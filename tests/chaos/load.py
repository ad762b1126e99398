"""The load: clients in a closed loop over both APIs, and the payers behind them.

A client makes a payment, repeats the same key until it is answered, reads it back from the other API and goes on. Now
and then it sends one request twice at once, or uses a key again for another amount. Payers enter their codes and press
the buttons of the provider's page.
"""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from tests.chaos.cases import (
    ACTED,
    CASES,
    GIVEN_BACK,
    GIVING_BACK,
    SHORT_S,
    Case,
    amount_at,
    currency_of,
    wallet,
)
from tests.chaos.clients import FINAL, Merchant, Payer, Wish
from tests.chaos.history import History

REFUND_P = 0.15  # of the payments that can be given back
PAYOUT_P = 0.06  # after a payment
LATE_SUCCESS = 14  # the last three digits


class Load:
    """`run` until `stop`; then `payers` go on until `close`."""

    def __init__(
        self,
        ports: list[int],
        api_key: str,
        history: History,
        seed: int,
        cases: tuple[Case, ...] = CASES,
        rate: float = 0.0,
    ) -> None:
        self._ports, self._api_key, self._history, self._seed, self._cases = ports, api_key, history, seed, cases
        self._gap_s, self._next = 1 / rate if rate else 0.0, 0.0
        self._payers: set[asyncio.Task[None]] = set()
        self.acknowledged = 0
        self.stopping = False
        self.no_short = False
        self.pause = asyncio.Event()
        self.pause.set()

    async def run(self, clients: int) -> None:
        """All clients, until `stopping`."""
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    async def close(self) -> None:
        """Send the payers home."""
        for task in list(self._payers):
            task.cancel()
        await asyncio.gather(*self._payers, return_exceptions=True)

    async def _client(self, number: int) -> None:
        dice = random.Random(f"{self._seed}/client/{number}")
        client = Merchant(self._ports, self._api_key, self._history, dice, f"client-{number}")
        for count in range(10**9):
            await self.pause.wait()
            await self._turn()
            if self.stopping:
                return
            wish = self._wish(dice, f"{number}-{count}")
            found = await client.create(wish)
            if found is None:
                continue
            self.acknowledged += 1
            await client.read_back(found)
            if wish.case.name in ACTED:
                payer = Payer(self._ports, self._api_key, self._history, random.Random(wish.key), found)
                self._beside(payer.run())
            elif _is_given_back(wish.case, wish.body["amount"]) and dice.random() < REFUND_P:
                self._beside(self._give_back(found, wish))
            if dice.random() < PAYOUT_P:
                await client.pay_out(f"{wish.key}-payout", dice)

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._payers.add(task)
        task.add_done_callback(self._payers.discard)

    async def _give_back(self, payment: str, wish: Wish) -> None:
        """Give a payment back once it has succeeded: all of it, or where that is possible a part."""
        dice = random.Random(f"{wish.key}/refund")
        client = Merchant(self._ports, self._api_key, self._history, dice, "refunds")
        try:
            while not self.stopping:
                await asyncio.sleep(1 + dice.random())
                found = await client.read_back(payment)
                if found is not None and (found["status"] in FINAL or found["review"]):
                    break
            if not self.stopping and found is not None and found["status"] == "succeeded" and not found["review"]:
                await client.refund(payment, wish, dice)
        finally:
            client.close()

    async def _turn(self) -> None:
        """Wait for the next moment at which a payment may begin."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + self._gap_s, now)
        await asyncio.sleep(self._next - now)

    def _wish(self, dice: random.Random, name: str) -> Wish:
        cases = [case for case in self._cases if not (case.short and self.no_short)]
        case = dice.choices(cases, [case.weight for case in cases])[0]
        method: dict[str, Any] = wallet(case.provider, case.digits, dice)
        if case.token and dice.random() < 0.5:
            method = {"type": "card", "token": case.token}
        body: dict[str, Any] = {
            "amount": amount_at(case.provider, dice),
            "currency": currency_of(case.provider),
            "provider": case.provider,
            "method": method,
            "reference": f"{self._seed}-{name}",
            "metadata": {"case": case.name},
        }
        if case.short:
            body["expires_in"] = SHORT_S
        return Wish(f"{self._seed}-{name}", case, body)


def _is_given_back(case: Case, amount: int) -> bool:
    """Not what M-Pesa's simulator, which looks at a reversal's amount, would first decline and then perform."""
    possible = case.name in GIVEN_BACK and case.provider in GIVING_BACK
    return possible and not (case.provider == "mpesa" and amount % 1000 == LATE_SUCCESS)
