"""A pool, a publisher, and a Kafka of one's own that may be killed."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.embedded import EmbeddedKafka
from gateway.processes import free_port, spawn
from gateway.settings import Settings
from gateway.store.database import Pool, create_pool
from streams.publisher import Publisher
from tests.support.parts import CACHE


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop of the workers."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with await create_pool(settings, size=8) as pool:
        yield pool


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings)
    await publisher.start()
    yield publisher
    await publisher.stop()


class OwnKafka:
    """A broker to start, kill and wipe, also from inside an event loop."""

    def __init__(self, kafka: EmbeddedKafka) -> None:
        self._kafka = kafka
        self._process: subprocess.Popen[bytes] | None = None
        self.address = kafka.address

    def prepare(self) -> None:
        self._kafka.prepare(lambda line: None)

    def start(self) -> None:
        """Start it unless it runs, and do not wait until it answers."""
        if self._process is None or self._process.poll() is not None:
            self._process = spawn(self._kafka.program())

    def kill(self) -> None:
        """SIGKILL: what was acknowledged is in the page cache and survives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        """Lose the disk."""
        shutil.rmtree(self._kafka.directory / "data")
        (self._kafka.directory / "formatted").unlink()
        self.prepare()


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    """A broker that only this module uses. It does not run yet."""
    kafka = OwnKafka(EmbeddedKafka(tmp_path_factory.mktemp("kafka"), free_port(), free_port(), CACHE))
    kafka.prepare()
    yield kafka
    kafka.kill()
