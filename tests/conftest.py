"""Fixtures of every test. The parts are real, and start with the first test that asks for them."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from gateway import processes
from gateway.settings import Settings
from tests.support.parts import Parts, begin_run, end_run, fresh_database, installation_settings, parts_of_run

# The suite tries the same examples every time, so that what it finds is about the change; `make search` tries others.
# The machine may be busy: a slow example says nothing about the code.
hypothesis.settings.register_profile(
    "search", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "suite", hypothesis.settings.get_profile("search"), derandomize=True, database=None
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

PORTS = processes.PORT_RANGE


def ports_of(worker: int) -> range:
    """A part of the range for one of up to eight workers: two that choose at once cannot choose the same port."""
    each = len(PORTS) // 8
    return PORTS[worker % 8 * each :][:each]


def pytest_configure(config: pytest.Config) -> None:
    """The run's main process names the directory that its workers share; each worker takes ports of its own."""
    if not hasattr(config, "workerinput"):
        begin_run()
    else:
        processes.PORT_RANGE = ports_of(int(config.workerinput["workerid"].removeprefix("gw")))


def pytest_unconfigure(config: pytest.Config) -> None:
    """The run's main process, the last to leave, ends the parts."""
    if not hasattr(config, "workerinput"):
        end_run()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests and fixtures run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def parts() -> Parts:
    """PostgreSQL, Kafka and Valkey of this run."""
    return parts_of_run()


@pytest.fixture
def database_uri(parts: Parts) -> Iterator[str]:
    """A migrated database without rows, for one test."""
    with fresh_database(parts) as uri:
        yield uri


@pytest.fixture
def settings(parts: Parts, database_uri: str) -> Settings:
    """An installation's settings: a database and topics of its own, and providers twenty times as fast."""
    return installation_settings(parts, database_uri)
