"""One whole installation for all of these tests; nothing in it is limited, or limits would hide what is behind them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, installation
from tests.support.parts import Parts

UNLIMITED = {"RATE_LIMIT_PER_KEY": "0", "RATE_LIMIT_PER_IP": "0", "CARD_DECLINES_MOST": "0"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests on one worker: they share the installation."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("contract"))


@pytest.fixture(scope="session")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """API, worker and simulators."""
    with installation(parts, tmp_path_factory.mktemp("contract"), workers=1, environment=UNLIMITED) as running:
        yield running
