"""A recorder on a real database, announcing to a list."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from gateway.clock import Clock
from gateway.payments.model import Operation
from gateway.settings import Settings
from gateway.store.database import Pool, create_pool
from gateway.usecases.record_outcome import Recorder
from tests.support.parts import Parts, fresh_database, installation_settings


class Announced:
    """What was announced after commits."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.woken: list[tuple[UUID, str]] = []

    def send(self, operation: Operation, waiter: str | None) -> None:
        self.operations.append(operation)

    def wake(self, payment_id: UUID, waiter: str) -> None:
        self.woken.append((payment_id, waiter))


@pytest.fixture(scope="module")
def settings(parts: Parts) -> Iterator[Settings]:
    """One database for a module: its tests use payments of their own."""
    with fresh_database(parts) as uri:
        yield installation_settings(parts, uri)


@pytest.fixture
def announced() -> Iterator[Announced]:
    yield Announced()


@pytest.fixture(scope="module")
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with await create_pool(settings, size=8) as pool:
        yield pool


@pytest.fixture
async def recorder(settings: Settings, announced: Announced) -> AsyncIterator[Recorder]:
    recorder = Recorder(settings, Clock(), announced, announced)
    yield recorder
    await recorder.close()
