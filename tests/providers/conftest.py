"""What the provider tests share: operations to perform, running simulators, and servers that misbehave on purpose."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import asdict

from providers import references
from providers.contract import Card, HttpResponse, MobileMoney, Operation, Outcome, Redirect, Secret, Verb
from providers.daraja import cases as daraja
from providers.mpesa import cases as mpesa_cases
from providers.registry import PROVIDERS
from providers.simulation.server import Reply, Request, Server, json
from providers.simulators import simulators
from providers.transport import Caller
from tests.providers.peers import DEFAULT, SECRET, Account, charge

PACE = 0.05
HOMES = {"daraja": ("KE", "KES", "+254708300")}  # country, currency, and a wallet's number but for the last digits
_numbers = itertools.count(1)

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def make_operation(provider: str, verb: Verb = Verb.CHARGE, *, digits="000", token=None, redirect=False, **fields):
    """An operation of a provider, with an id of its own; the payer's phone ends in `digits`."""
    number = next(_numbers)
    identifier = UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + number * 256 + number % 256)
    country, currency, phone = HOMES.get(provider, ("LS", "LSL", "+26658123"))
    method = Redirect() if redirect else Card(token=token) if token else MobileMoney(phone=phone + digits)
    defaults = {
        "id": f"op_{number:026d}",
        "verb": verb,
        "payment": f"pay_{number:026d}",
        "amount": 15000,
        "currency": currency,
        "reference": references.make(PROVIDERS[provider].reference, identifier),
        "sent_at": datetime.now(UTC),
        "callback_url": "http://127.0.0.1:9/callbacks/none",
        "return_url": "http://127.0.0.1:9/return",
        "method": method,
        "country": country,
    }
    return Operation(**{**defaults, **fields})


@pytest.fixture
def operation():
    return make_operation


@pytest.fixture
def follow_up():
    """A query or confirm of another operation."""

    def make(provider: str, verb: Verb, target: Operation, **fields) -> Operation:
        return make_operation(provider, verb, target=target, payment=target.payment, **fields)

    return make


SETTINGS = {
    "sandbox": {"api_key": Secret("sk_one")},
    "cpay": {
        "base_url": "http://127.0.0.1:9",
        "api_key": Secret("cpay-key"),
        "client_code": "CC01",
        "hmac_secret": Secret("cpay-hmac"),
        "merchant_code": "M001",
    },
    "pawapay": {"api_token": Secret("pawapay-token"), "signing": "optional"},
    "standard_bank_pay": {
        "base_url": "http://127.0.0.1:9",
        "api_key": Secret("sbp_test_sk_one"),
        "client_id": "sbp-client-001",
    },
    "mpesa": msgspec.structs.asdict(mpesa_cases.ACCOUNT),
    "daraja": msgspec.structs.asdict(daraja.ACCOUNT),
}


@pytest.fixture
def settings():
    """An account's settings, by provider name."""

    def make(provider: str, **fields) -> Struct:
        return PROVIDERS[provider].settings(**{**SETTINGS[provider], **fields})

    return make


class Sim:
    """A running simulator: how to call it as an account, and what its ledger says."""

    def __init__(self, provider: str, url: str, caller: Callable[..., Caller]) -> None:
        self.provider, self.url, self._caller = provider, url, caller

    async def perform(self, operation: Operation, *, deadline_s=5.0, **settings):
        """The outcome of an operation."""
        account = PROVIDERS[self.provider].settings(**{**SETTINGS[self.provider], "base_url": self.url, **settings})
        flow = PROVIDERS[self.provider].verbs[operation.verb].flow(operation, account)
        return await self._caller(self.provider, account, self.url).call(flow, deadline_s=deadline_s)

    async def get(self, path: str, **query) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url) as client:
            return await client.get(path, params=query)

    async def post(self, path: str, body: object = None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url) as client:
            return await client.post(path, json=body)

    async def ledger(self, **query):
        return (await self.get("/_simulator/ledger", **query)).json()


@pytest.fixture
async def caller() -> AsyncIterator[Callable[..., Caller]]:
    """Callers, one for each account, closed at the end."""
    async with AsyncExitStack() as stack:
        known: dict[tuple[str, ...], Caller] = {}

        def make(provider: str, account: Struct, url: str) -> Caller:
            key = (provider, *map(str, asdict(account).values()), url)
            if key not in known:
                known[key] = Caller(PROVIDERS[provider], account, url)
                stack.push_async_callback(known[key].aclose)
            return known[key]

        yield make


@pytest.fixture
async def simulator(tmp_path: Path, caller) -> AsyncIterator[Callable[..., Awaitable[Sim]]]:
    """Starts simulators by provider name."""
    async with AsyncExitStack() as stack:

        async def start(provider: str, *, pace: float = PACE, directory: Path = tmp_path) -> Sim:
            running = simulators()[provider](directory, pace=pace)
            port = await running.start()
            stack.push_async_callback(running.stop)
            return Sim(provider, f"http://127.0.0.1:{port}", caller)

        yield start


class Receiver:
    """Where callbacks arrive."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self.status = 200
        self._arrived = asyncio.Condition()

    async def handle(self, request: Request) -> Reply:
        async with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        return json({}, self.status)

    async def wait(self, count: int, *, timeout_s: float = 5) -> list[Request]:
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = Server(made.handle)
    made.url = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}/callbacks"
    yield made
    await server.stop()


@pytest.fixture
async def peer() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Servers that do to each connection what they are told; answers the URL."""
    async with AsyncExitStack() as stack:

        async def start(behave: Peer, *, ssl=None) -> str:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await behave(reader, writer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass  # the client left first: what the test is about
                finally:
                    writer.close()

            server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=ssl)
            stack.callback(server.close)
            return f"{'https' if ssl else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield start


@pytest.fixture
def now():
    return lambda: datetime.now(UTC)


@pytest.fixture
def answered():
    """The outcome of a flow of one request that is answered with a status and a body."""

    def run(provider: str, operation: Operation, account: Struct, status: int, content: bytes) -> Outcome:
        flow = PROVIDERS[provider].verbs[operation.verb].flow(operation, account)
        next(flow)
        try:
            flow.send(HttpResponse(status=status, content=content))
        except StopIteration as end:
            return end.value
        raise AssertionError("a second request")

    return run


@pytest.fixture
async def call():
    """Performs flows at a URL, with one caller for each spec."""
    callers = {}

    async def perform(url, flow=None, *, spec=None, account=None, deadline_s=2.0, before_send=None):
        spec = spec or DEFAULT
        account = account or Account()
        key = (id(spec), url, account.ca_bundle)
        if key not in callers:
            callers[key] = Caller(spec, account, url)
        outcome = await callers[key].call(flow or charge(), deadline_s=deadline_s, before_send=before_send)
        assert SECRET not in repr(outcome)
        return outcome

    yield perform
    for one in callers.values():
        await one.aclose()


@pytest.fixture
def sandbox(simulator, operation, follow_up):
    """Charges at a running simulator, and asks about them."""

    class Sandbox:
        def __init__(self, sim):
            self.sim = sim

        def operation(self, digits="000", **fields):
            return operation("sandbox", digits=digits, **fields)

        async def charge(self, op, **settings):
            hangs = getattr(op.method, "phone", "").endswith("005") or op.method == Card(token="tok_timeout_charged")
            return await self.sim.perform(op, deadline_s=0.4 if hangs else 10, **settings)

        async def query(self, target):
            return await self.sim.perform(follow_up("sandbox", Verb.QUERY, target))

        async def confirm(self, target, otp, **fields):
            return await self.sim.perform(follow_up("sandbox", Verb.CONFIRM, target, otp=Secret(otp), **fields))

        async def becomes(self, target, kind, *, timeout_s=5):
            async with asyncio.timeout(timeout_s):
                while not isinstance(outcome := await self.query(target), kind):
                    await asyncio.sleep(0.01)
            return outcome

        async def charges(self, op):
            return (await self.sim.ledger(payment=op.payment))["charges"]

    async def start(**fields):
        return Sandbox(await simulator("sandbox", **fields))

    return start
