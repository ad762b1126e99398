"""The executor on a real database, before a provider on a real socket that answers what a test tells it to."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway import ids
from gateway.payments.model import Operation, State
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store import engine
from gateway.store.accounts import Configuration
from gateway.store.database import Pool
from gateway.store.tables import Account
from gateway.store.vault import Vault
from gateway.usecases.record_outcome import Recorder
from providers.contract import Secret
from providers.sandbox.spec import SandboxAccount
from providers.simulation import Reply, Request, json
from providers.simulation.server import Server
from streams import topics
from streams.announcements import Announcements
from streams.broker import Record
from streams.executor import Executor
from streams.publisher import Message
from tests.engine.calling_back import take_its_name
from tests.engine.conftest import Announced, Begin
from tests.engine.teller import Teller
from tests.streams.support import until

API_KEY = Secret("the-key-of-this-account")


class Provider:
    """The sandbox, as far as a charge goes: `answers` says what it answers, `requests` what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: Callable[[dict[str, Any]], Awaitable[Reply]] = self.succeeds

    async def handle(self, request: Request) -> Reply:
        self.requests.append(request)
        return await self.answers(msgspec.json.decode(request.content))

    async def succeeds(self, charge: dict[str, Any]) -> Reply:
        return json(said(charge, "succeeded"))


def said(charge: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    known = {name: charge[name] for name in ("reference", "amount", "currency")}
    return {"id": f"ch_{charge['reference']}", "status": status, **known, **more}


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    provider = Provider()
    server = Server(provider.handle)
    port = await server.start("127.0.0.1", 0)
    yield provider, f"http://127.0.0.1:{port}"
    await server.stop()


@pytest.fixture
async def open_account(settings: Settings) -> AsyncIterator[Callable[[str], Awaitable[Account]]]:
    """Open an account at the provider of this address."""
    own = engine.create(settings.database_uri)
    configuration = Configuration(own, Sealer(settings.key("seal")))
    merchant = await configuration.create_merchant("Shop")

    async def open_account(base_url: str) -> Account:
        secret = Secret("whsec_" + base64.b64encode(b"w" * 24).decode())
        credentials = SandboxAccount(api_key=API_KEY, webhook_secret=secret, base_url=base_url)
        return await configuration.create_account(merchant.id, "sandbox", False, credentials)

    yield open_account
    await own.dispose()


@pytest.fixture
async def executor(settings: Settings, pool: Pool, recorder: Recorder) -> AsyncIterator[Executor]:
    sealer = Sealer(settings.key("seal"))
    vault = Vault(pool, sealer, settings)
    patient = msgspec.structs.replace(settings, pace=1.0)  # deadlines that a busy machine keeps
    executor = Executor(settings=patient, pool=pool, vault=vault, sealer=sealer, recorder=recorder, owner="test")
    yield executor
    await executor.stop(5)


class Offered:
    """Takes messages as the publisher does."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def offer(self, message: Message) -> bool:
        self.messages.append(message)
        return True


async def prepared(begin: Begin, account: Account) -> tuple[Teller, Record]:
    """An accepted payment at this account, and the record that announces its charge."""
    tell = await begin(merchant=account.merchant_id, account=account.id)
    await take_its_name(tell, "sandbox")
    return tell, record_of(Operation(**await _operation(tell)))


async def _operation(tell: Teller) -> dict[str, Any]:
    values = dict(await tell.story.operation())
    return {**values, "evidence": None}


def record_of(operation: Operation) -> Record:
    offered = Offered()
    Announcements(offered).send(operation)  # type: ignore[arg-type]
    (message,) = offered.messages
    assert message.topic == topics.commands("sandbox")
    return Record(
        topic=message.topic, partition=0, offset=0, timestamp_ms=0, key=message.key, value=message.value, headers=()
    )


async def is_final(tell: Teller) -> bool:
    return await tell.status() in ("succeeded", "failed")


async def test_a_command_delivered_again_and_again_is_carried_out_once(
    begin: Begin, provider: Any, open_account: Any, executor: Executor
) -> None:
    at, url = provider
    account = await open_account(url)
    many = [await prepared(begin, account) for _ in range(10)]
    for _ in range(3):
        await executor.handle([record for _, record in many] * 2)
    for tell, _ in many:
        await until(lambda tell=tell: is_final(tell))
    await executor.handle([record for _, record in many])  # long after
    await asyncio.sleep(0.3)
    assert len(at.requests) == 10
    for tell, _ in many:
        assert await tell.story.events() == ["created", "processing", "succeeded"]
        assert (await tell.story.operation())["fence"] == 1
    keys = {request.headers["idempotency-key"] for request in at.requests}
    assert keys == {ids.show(ids.OPERATION, tell.operation_id) for tell, _ in many}


async def test_the_providers_words_are_kept_masked_and_short(
    begin: Begin, provider: Any, open_account: Any, executor: Executor, pool: Pool
) -> None:
    at, url = provider
    words = f"card 4242 4242 4242 4242\x00 {API_KEY} " + "x" * 1000

    async def declines(charge: dict[str, Any]) -> Reply:
        return json(said(charge, "declined", decline_code=words))

    at.answers = declines
    tell, record = await prepared(begin, await open_account(url))
    await executor.handle([record])
    await until(lambda: is_final(tell))
    failure = msgspec.json.decode((await tell.story.payment())["failure"])
    assert failure["provider_code"] == ("card ***4242 *** " + "x" * 1000)[:500]
    bodies = await pool.fetch("select body from events where object_id = $1", tell.payment_id)
    for text in ((await tell.story.operation())["evidence"], *(each["body"] for each in bodies)):
        assert b"4242 4242" not in text
        assert API_KEY.encode() not in text


async def test_a_slow_account_holds_up_no_other(
    begin: Begin, provider: Any, open_account: Any, executor: Executor
) -> None:
    at, url = provider
    slow, quick = await open_account(url), await open_account(url)
    hanging: set[str] = set()
    enough = asyncio.Event()

    async def answers(charge: dict[str, Any]) -> Reply:
        if charge["payment"] in hanging:
            await enough.wait()
        return json(said(charge, "succeeded"))

    at.answers = answers
    stuck = [await prepared(begin, slow) for _ in range(100)]  # more than an account has slots
    hanging |= {ids.show(ids.PAYMENT, tell.payment_id) for tell, _ in stuck}
    await executor.handle([record for _, record in stuck])
    await until(lambda: len(at.requests) == 64)
    tell, record = await prepared(begin, quick)
    await executor.handle([record])
    await until(lambda: is_final(tell), within_s=1.0)
    states = [await other.state() for other, _ in stuck]
    assert states.count(State.PREPARED) == 36, "only what has a free slot is claimed"
    enough.set()
    for other, _ in stuck:
        await until(lambda other=other: is_final(other))


async def test_a_stop_lets_calls_end_and_leaves_the_rest_prepared(
    begin: Begin, provider: Any, open_account: Any, executor: Executor
) -> None:
    at, url = provider
    release = asyncio.Event()

    async def answers(charge: dict[str, Any]) -> Reply:
        await release.wait()
        return json(said(charge, "succeeded"))

    at.answers = answers
    account = await open_account(url)
    many = [await prepared(begin, account) for _ in range(70)]
    await executor.handle([record for _, record in many])
    await until(lambda: len(at.requests) == 64)
    stopping = asyncio.create_task(executor.stop(10))
    await asyncio.sleep(0.05)
    await executor.handle([record for _, record in many])  # what still comes is not taken
    release.set()
    await asyncio.wait_for(stopping, 5)
    states = [await tell.state() for tell, _ in many]
    assert (states.count(State.SUCCEEDED), states.count(State.PREPARED)) == (64, 6)
    assert len(at.requests) == 64


async def test_credentials_that_cannot_be_opened_send_nothing(
    begin: Begin, provider: Any, open_account: Any, executor: Executor, pool: Pool, announced: Announced
) -> None:
    at, url = provider
    account = await open_account(url)
    await pool.execute("update account_settings set sealed = $2 where account_id = $1", account.id, b"\x01" * 80)
    tell, record = await prepared(begin, account)
    await executor.handle([record])
    await until(lambda: is_final(tell))
    failure = msgspec.json.decode((await tell.story.payment())["failure"])
    assert (failure["code"], at.requests) == ("configuration", [])
