"""A database for a module's store tests, and two API processes for those over HTTP."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from gateway.settings import Settings
from gateway.store.database import Pool, create_pool
from tests.accept.flushers import Tenant
from tests.accept.twins import Merchant, Twins
from tests.accept.twins import twins as running_twins
from tests.support.parts import Parts, fresh_database, installation_settings


@pytest.fixture(scope="module")
def settings(parts: Parts) -> Iterator[Settings]:
    """One database for a module: its tests are merchants of their own."""
    with fresh_database(parts) as uri:
        yield installation_settings(parts, uri)


@pytest.fixture(scope="module")
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with await create_pool(settings, size=4) as pool:
        yield pool


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No rendering of stacks: with their variables, that takes longer than the tests."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def tenant(pool: Pool) -> Tenant:
    """A merchant of this test alone."""
    return Tenant(pool)


@pytest.fixture(scope="session")
def twins(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Two API processes on one database."""
    with running_twins(parts, tmp_path_factory.mktemp("twins")) as pair:
        yield pair


@pytest.fixture
def merchant(twins: Twins) -> Merchant:
    """A merchant of this test alone."""
    return twins.new_merchant()
