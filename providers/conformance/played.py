"""Proofs at the simulator: scenarios, with the money that its ledger shows, and the callbacks that it sends."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec.structs import asdict, replace

from providers.conformance.cases import Scenario, Step, about
from providers.conformance.suite import Check, Subject, require
from providers.contract import (
    ActionRequired,
    CallbackRequest,
    CallbackSpec,
    CallbackUnreadable,
    Notice,
    Operation,
    Outcome,
    Redirected,
    SignatureInvalid,
    Verb,
)
from providers.simulation.server import Reply, Request, Server, json
from providers.simulators import simulators
from providers.transport import Caller

PACE: Final = 0.02
PATIENCE_S: Final = 20.0
NAP_S: Final = 0.01
LEDGER: Final = {
    Verb.CHARGE: "charges",
    Verb.CONFIRM: "charges",
    Verb.CAPTURE: "charges",
    Verb.AUTHORIZE: "authorizations",
    Verb.REFUND: "refunds",
    Verb.PAYOUT: "payouts",
}


class Stage:
    """A running simulator, how to call it as an account, and the callbacks that came."""

    def __init__(self, of: Subject, url: str, account: Any) -> None:
        self.url, self.account = url, account
        self.callbacks: list[Request] = []
        self.callback_url = ""
        self._of = of
        self._caller = Caller(of.spec, account, url)

    async def perform(self, operation: Operation, *, deadline_s: float = PATIENCE_S) -> Outcome:
        """Perform one operation."""
        flow = self._of.spec.verbs[operation.verb].flow(operation, self.account)
        return await self._caller.call(flow, deadline_s=deadline_s)

    async def ledger(self, reference: str) -> dict[str, list[Any]]:
        """What the simulator did under a reference."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            response = await client.get("/_simulator/ledger", params={"reference": reference})
        found: dict[str, list[Any]] = response.json()
        return found

    async def receive(self, request: Request) -> Reply:
        """Take a callback."""
        self.callbacks.append(request)
        if self._of.spec.callback is None:
            return json({})
        ack = self._of.spec.callback.ack(_stored(self, self._of.spec.callback, request))
        return Reply(status=ack.status, headers=dict(ack.headers), content=ack.content)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._caller.aclose()


@asynccontextmanager
async def stage(of: Subject, account: Any, *, pace: float = PACE) -> AsyncIterator[Stage]:
    """A simulator of its own that knows the account's secrets, and a receiver of callbacks."""
    with tempfile.TemporaryDirectory() as directory:
        simulator = simulators()[of.name](Path(directory), pace=pace)
        made = Stage(of, f"http://127.0.0.1:{await simulator.start()}", account)
        receiver = Server(made.receive)
        made.callback_url = f"http://127.0.0.1:{await receiver.start('127.0.0.1', 0)}/callbacks/token"
        try:
            await _share(made.url, of)
            yield made
        finally:
            await made.aclose()
            await simulator.stop()
            await receiver.stop()


async def _share(url: str, of: Subject) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for api_key, secret in of.cases.secrets.items():
            answered = await client.post("/_simulator/secrets", json={"api_key": api_key, "secret": secret})
            answered.raise_for_status()


def the_simulator_and_the_adapter_agree(of: Subject) -> Iterator[Check]:
    """Over real HTTP, each scenario begins and ends as stated, and the money in the simulator's ledger moved as often
    as stated: once where it succeeded, whatever was answered."""
    yield Check("there are scenarios", partial(require, of.cases.scenarios, "CASES.scenarios is empty"))
    for scenario in of.cases.scenarios:
        yield Check(scenario.says, partial(_plays, of, scenario))


async def _plays(of: Subject, scenario: Scenario) -> None:
    async with stage(of, of.account(scenario)) as on:
        done: dict[str, Operation] = {}
        for number, step in enumerate(scenario.steps):
            operation = _prepared(step.operation, on.callback_url, done)
            operation, last = await _performed(on, of, step, operation, f"step {number + 1}")
            named = asdict(last).get("provider_reference") or operation.provider_reference
            done[operation.id] = replace(operation, provider_reference=named)
            await _moved(on, step, operation, f"step {number + 1}")
            await _told(on, of, scenario, operation, last)


def _prepared(operation: Operation, callback_url: str, done: dict[str, Operation]) -> Operation:
    """The step's operation, sent now, with what the provider said of its target meanwhile."""
    target = operation.target
    known = done.get(target.id) if target else None
    if target and known is None:
        target = _prepared(target, callback_url, done)
    return replace(operation, callback_url=callback_url, sent_at=datetime.now(UTC), target=known or target)


async def _performed(on: Stage, of: Subject, step: Step, operation: Operation, where: str) -> tuple[Operation, Outcome]:
    """The first outcome of a step must be of its kind, and so must the one that queries come to. Returns the operation
    under the name that it has by then, and the latter."""
    outcome = await on.perform(operation, deadline_s=step.deadline_s)
    require(isinstance(outcome, step.first), f"{where} begins with {outcome}")
    if step.presses is not None:
        await _press(outcome, step.presses)
    named = asdict(outcome).get("provider_reference") or operation.provider_reference
    operation = replace(operation, provider_reference=named)
    if Verb.QUERY not in of.spec.verbs:
        return operation, outcome
    query = about(operation, of.spec.reference, number=99)
    until = time.monotonic() + PATIENCE_S
    while True:
        last = await on.perform(query)
        if type(last) is step.last:
            return operation, last
        require(time.monotonic() < until, f"{where} ends with {last}")
        await asyncio.sleep(NAP_S)


async def _press(outcome: Outcome, button: str) -> None:
    """What the payer does with a browser."""
    page = outcome.action if isinstance(outcome, ActionRequired) else None
    require(isinstance(page, Redirected), "there is no page to press a button of")
    assert isinstance(page, Redirected)
    async with httpx.AsyncClient(trust_env=False) as browser:
        shown = await browser.get(page.url)
        require(shown.is_success, f"the page answers HTTP {shown.status_code}")
        await browser.post(page.url + button)


async def _moved(on: Stage, step: Step, operation: Operation, where: str) -> None:
    reference = operation.reference
    if operation.verb is Verb.CONFIRM and operation.target is not None:
        reference = operation.target.reference
    entries = (await on.ledger(reference))[LEDGER[operation.verb]]
    require(len(entries) == step.moved, f"{where}: money moved {len(entries)} times, not {step.moved}")


async def _told(on: Stage, of: Subject, scenario: Scenario, operation: Operation, last: Outcome) -> None:
    """The callbacks that a scenario promises come, and the newest authentic one says what a query says."""
    if scenario.callbacks == 0 or of.spec.callback is None:
        return
    until = time.monotonic() + PATIENCE_S
    while True:
        if len(on.callbacks) >= scenario.callbacks and _agree(on, of, operation, last):
            return
        require(time.monotonic() < until, f"{len(on.callbacks)} callbacks came, and none says {last}")
        await asyncio.sleep(NAP_S)


def _agree(on: Stage, of: Subject, operation: Operation, last: Outcome) -> bool:
    notices = [notice for request in on.callbacks for notice in _authentic(of, on, request)]
    names = {operation.reference, operation.provider_reference, asdict(last).get("provider_reference")} - {None}
    ours = [notice for notice in notices if {notice.reference, notice.provider_reference} & names]
    forged = len(on.callbacks) and not notices
    return bool(forged) or any(type(notice.outcome) is type(last) for notice in ours)


def _authentic(of: Subject, on: Stage, request: Request) -> list[Notice]:
    """The notices of a callback, none where it is not the provider's."""
    assert of.spec.callback is not None
    spec = of.spec.callback.of(on.account)
    received = _stored(on, spec, request)
    try:
        if spec.verify is not None:
            spec.verify(received, on.account)
        return spec.parse(received)
    except (SignatureInvalid, CallbackUnreadable):
        return []


def _stored(on: Stage, spec: CallbackSpec, request: Request) -> CallbackRequest:
    """A callback as the gateway stores it."""
    return CallbackRequest(
        method=request.method,
        query="&".join(f"{name}={value}" if value else name for name, value in request.query.items()),
        headers={name.lower(): value for name, value in request.headers.items() if name.lower() in spec.headers},
        body=request.content,
        received_at=datetime.now(UTC),
        url=on.callback_url,
    )
