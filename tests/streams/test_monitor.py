"""What a worker tells about itself, asked over HTTP: from outside its loop, as a probe does."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from gateway.health import Check
from gateway.processes import free_port
from gateway.settings import Settings
from gateway.store.database import create_pool
from gateway.store.gauges import DatabaseGauges
from providers.contract import Secret
from streams import monitor as monitors
from streams import pulse as pulses
from streams.monitor import Monitor
from streams.publisher import Publisher
from streams.pulse import Pulse, beat_of_loop
from tests.streams.support import until
from tests.support.proxy import proxy


async def none_overdue(connection: object) -> float:
    return 0.0


async def fine() -> None:
    return None


async def away() -> None:
    raise ConnectionError


def get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Asked:
    """Asks a monitor from a thread of its own."""

    def __init__(self, base: str) -> None:
        self.base = base

    async def __call__(self, path: str, **headers: str) -> tuple[int, str]:
        return await asyncio.to_thread(get, self.base + path, **headers)


@asynccontextmanager
async def told(
    settings: Settings, *parts: Pulse, postgres=fine, kafka=fine, refresh=None, loop: Pulse | None = None
) -> AsyncIterator[Asked]:
    """A monitor, and asking it from a thread of its own."""
    pulse = loop or Pulse("loop")
    beating = asyncio.create_task(beat_of_loop(pulse))
    checks = {"postgres": Check(probe=postgres, required=True), "kafka": Check(probe=kafka, required=True)}
    made = Monitor(settings, loop=pulse, parts=parts, checks=checks, refresh=refresh)
    made.start()
    try:
        yield Asked(f"http://127.0.0.1:{made.port}")
    finally:
        await asyncio.to_thread(made.stop)
        beating.cancel()


@pytest.fixture
def plain() -> Settings:
    secret = Secret("s" * 43)
    return Settings(secret_key=secret, jwt_secret_key=secret, database_uri=secret, worker_port=0)


async def test_all_is_well(plain: Settings) -> None:
    async with told(plain, Pulse("relay")) as ask:
        assert await ask("/health/live") == (200, '{"status":"ok","stuck":[]}')
        assert await ask("/health/ready?x=1") == (200, '{"status":"ok","checks":{"postgres":"ok","kafka":"ok"}}')
        status, text = await ask("/metrics")
        assert status == 200
        assert 'mypay_worker_silent_seconds{part="relay"} 0.0' in text
        assert "mypay_reviews_open" not in text, "numbers that were not read are not shown"
        assert (await ask("/else"))[0] == 404


async def test_a_loop_that_hangs_is_reported(plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitors, "LOOP_LIMIT_S", 0.5)
    monkeypatch.setattr(monitors, "LOOP_PATIENCE_S", 0.2)
    async with told(plain) as ask:
        assert (await ask("/health/live"))[0] == 200  # it has begun to beat
        seen: list[int] = []

        def probe() -> None:
            time.sleep(1.5)
            seen.extend(get(ask.base + path)[0] for path in ("/health/live", "/health/ready", "/metrics"))

        thread = threading.Thread(target=probe)
        thread.start()
        while thread.is_alive():
            time.sleep(0.05)  # in the loop, on purpose
        assert seen == [503, 503, 200]
        async with asyncio.timeout(30):
            while (await ask("/health/live"))[0] != 200:
                await asyncio.sleep(0.05)


async def test_a_part_that_does_not_move_is_reported_unless_postgres_is_away(
    plain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "PART_LIMIT_S", 0.3)
    relay, sweeper = Pulse("relay"), Pulse("sweeper")
    async with told(plain, relay, sweeper) as ask:
        relay.beat()  # and never again; the sweeper has not begun
        assert (await ask("/health/live"))[0] == 200
        await asyncio.sleep(0.4)
        assert await ask("/health/live") == (503, '{"status":"unavailable","stuck":["relay"]}')
    async with told(plain, relay, postgres=away) as ask:
        assert (await ask("/health/live"))[0] == 200


async def test_metrics_ask_for_the_token(plain: Settings) -> None:
    async with told(msgspec.structs.replace(plain, metrics_token=Secret("scrape"))) as ask:
        assert (await ask("/metrics"))[0] == 401
        assert (await ask("/metrics", Authorization="Bearer scrapf"))[0] == 401
        assert (await ask("/metrics", Authorization="Bearer scrape"))[0] == 200
        assert (await ask("/health/live"))[0] == 200


async def test_ready_notices_postgres_and_kafka_gone(settings: Settings) -> None:
    """Both are real; what is before them freezes."""
    async with (
        proxy(str(settings.database_uri)) as before,
        await create_pool(
            msgspec.structs.replace(settings, database_uri=Secret(before.before(settings.database_uri))), size=2
        ) as pool,
    ):

        async def postgres() -> None:
            await pool.fetchval("select 1")

        publisher = Publisher(settings)
        await publisher.start()
        await until(lambda: publisher.connected)
        gauges = DatabaseGauges(lambda: pool, none_overdue)
        nowhere = Publisher(msgspec.structs.replace(settings, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}"))
        async with told(settings, postgres=postgres, kafka=publisher.probe, refresh=gauges.refresh) as ask:
            assert (await ask("/health/ready"))[0] == 200
            text = (await ask("/metrics"))[1]
            assert "mypay_reviews_open 0.0" in text
            assert "mypay_relay_led 0.0" in text
            before.freeze()
            status, body = await ask("/health/ready")
            assert (status, json.loads(body)["checks"]["postgres"]) == (503, "unavailable")
            assert json.loads(body)["checks"]["kafka"] == "ok"
            before.thaw()
        async with told(settings, kafka=nowhere.probe) as ask:
            assert (await ask("/health/ready"))[0] == 503
        await publisher.stop()


def test_a_pulse_need_not_move_before_its_first_beat() -> None:
    pulse = Pulse("relay")
    assert pulses.stuck([pulse], 0.0) == []
    pulse.beat()
    assert pulses.stuck([pulse], -1.0) == ["relay"]
