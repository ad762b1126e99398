"""One installation without workers for all of these tests; each is a merchant of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.tenants import Tenant
from tests.support.installation import Installation, installation
from tests.support.parts import Parts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests on one worker: they share the installation."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("api"))


@pytest.fixture(scope="session")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """API processes only: what is accepted stays as it is."""
    with installation(parts, tmp_path_factory.mktemp("api"), workers=0, simulators=False) as running:
        yield running


@pytest.fixture
def tenant(mypay: Installation) -> Tenant:
    """A merchant with a sandbox account in each mode."""
    return Tenant(mypay)


@pytest.fixture
def other(mypay: Installation) -> Tenant:
    """Another merchant."""
    return Tenant(mypay)


@pytest.fixture(scope="session")
def working(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A whole one, with a worker and the simulators."""
    with installation(parts, tmp_path_factory.mktemp("working"), workers=1) as running:
        yield running
