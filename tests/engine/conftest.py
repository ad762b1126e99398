"""A recorder on a real database, announcing to a list, by a clock that a test may put forward."""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from gateway.clock import Clock
from gateway.payments.model import Operation
from gateway.sealing import Sealer
from gateway.settings import Settings
from gateway.store.database import Pool, create_pool
from gateway.store.vault import Vault
from gateway.usecases.handle_callback import CallbackHandler
from gateway.usecases.record_outcome import Recorder
from providers.contract import Pending, Unknown
from tests.engine.calling_back import Accounts, create_accounts, take_its_name
from tests.engine.teller import Teller
from tests.support.parts import Parts, fresh_database, installation_settings
from tests.support.payments import Story

Begin: TypeAlias = Callable[..., Awaitable[Teller]]
Later: TypeAlias = Callable[[float], None]


class Announced:
    """What was announced after commits. `takes`: whether the publisher's queue has room."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.operations: list[Operation] = []
        self.callbacks: list[UUID] = []
        self.woken: list[tuple[UUID, str]] = []
        self.takes = True

    def send(self, operation: Operation, waiter: str | None = None) -> bool:
        self.operations.append(operation)
        return self.takes

    def callback(self, callback_id: UUID, provider: str) -> bool:
        self.callbacks.append(callback_id)
        return self.takes

    def wake(self, payment_id: UUID, waiter: str) -> None:
        self.woken.append((payment_id, waiter))


@pytest.fixture(scope="module")
def settings(parts: Parts) -> Iterator[Settings]:
    """One database for a module: its tests use payments of their own."""
    with fresh_database(parts) as uri:
        yield installation_settings(parts, uri)


@pytest.fixture(scope="module")
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with await create_pool(settings, size=8) as pool:
        yield pool


@pytest.fixture(scope="module")
def module_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def module_announced() -> Announced:
    return Announced()


@pytest.fixture(scope="module")
async def recorder(settings: Settings, module_announced: Announced, module_clock: Clock) -> AsyncIterator[Recorder]:
    """One for a module: a connection costs more than most of its tests."""
    recorder = Recorder(settings, module_clock, module_announced, module_announced)
    yield recorder
    await recorder.close()


@pytest.fixture
def announced(module_announced: Announced) -> Announced:
    """What the recorder announces, from this test on."""
    module_announced.forget()
    return module_announced


@pytest.fixture
def clock(module_clock: Clock) -> Iterator[Clock]:
    """The recorder's clock; it is right again after the test."""
    yield module_clock
    _put_forward(module_clock, 0)


@pytest.fixture
def later(clock: Clock) -> Later:
    """Let seconds pass, by the recorder's clock alone."""
    passed = 0.0

    def pass_by(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        _put_forward(clock, passed)

    return pass_by


@pytest.fixture
def begin(pool: Pool, recorder: Recorder) -> Begin:
    """Accept a payment of `Story.begin`'s options, and tell facts about it."""

    async def begin(**how: Any) -> Teller:
        return Teller(recorder, await Story.begin(pool, uuid.uuid4().hex, **how))

    return begin


@pytest.fixture(scope="module")
async def accounts(settings: Settings) -> Accounts:
    return await create_accounts(settings)


@pytest.fixture
def handler(pool: Pool, settings: Settings, recorder: Recorder, clock: Clock) -> CallbackHandler:
    vault = Vault(pool, Sealer(settings.key("seal")), settings)
    return CallbackHandler(pool=pool, vault=vault, recorder=recorder, clock=clock, public_url=settings.public_url)


@pytest.fixture
async def sandbox(begin: Begin, accounts: Accounts) -> Teller:
    """A charge that the sandbox is at work on."""
    tell = await begin(merchant=accounts.sandbox.merchant_id, account=accounts.sandbox.id)
    await take_its_name(tell, "sandbox")
    await tell.performed(Pending())
    return tell


@pytest.fixture
async def cpay(begin: Begin, accounts: Accounts) -> Teller:
    """A charge that C-Pay may be at work on."""
    tell = await begin(merchant=accounts.cpay.merchant_id, account=accounts.cpay.id, provider="cpay")
    await take_its_name(tell, "cpay")
    await tell.performed(Unknown(detail="timeout"))
    return tell


def _put_forward(clock: Clock, seconds: float) -> None:
    now = time.time()
    clock.adjust(datetime.fromtimestamp(now + seconds, UTC), sent=now, received=now)
