"""The stage: all processes of an installation, a proxy before each server, and a supervisor that restarts the dead.

    clients ─► api-1, api-2 ─┐                 ┌─► postgres (a link for each process: one alone may be cut off)
    simulators ──► public ───┤  each arrow is  ├─► kafka
                             │  a `Link`       ├─► valkey
    worker-1, worker-2 ──────┘                 └─► a simulator of each provider, the merchant's server (hooks)

Kafka's `advertised.listeners` names its link, so that every connection goes through it.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from gateway import settings as settings_module
from gateway.embedded import EmbeddedKafka, EmbeddedPostgres, EmbeddedValkey
from gateway.processes import Program, free_port, log_tail
from gateway.seed import Demo, seed_demo
from gateway.settings import Settings
from streams.topics import create_topics
from tests.chaos.accounts import keep_telling, open_accounts, open_endpoint
from tests.chaos.actor import Actor
from tests.chaos.plan import PROVIDERS
from tests.chaos.proxy import Link

CHECKOUT = Path(__file__).parents[2]
CACHE = CHECKOUT / ".mypay/cache"
LAUNCH = Path(__file__).parent / "launch.py"
PREFIX = "chaos."
PARTITIONS = 4
DATABASE = "mypay"
SIMULATORS = PROVIDERS
APIS = ("api-1", "api-2")
WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")  # of which most runs have two
PARTS = ("postgres", "kafka", "valkey")
RESTART_S = 0.3
SESSION_LEAST_MS = 1000  # of a consumer; see tests.chaos.scenes
READY_S = 300.0  # on a machine that does much else


class Kafka(EmbeddedKafka):
    """Kafka that tells its clients to come through the proxy."""

    advertised = 0

    def prepare(self, progress: Callable[[str], None]) -> None:
        """As it is, but for the advertised address and the shortest session."""
        super().prepare(progress)
        file = self.directory / "server.properties"
        direct = f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}"
        text = file.read_text()
        assert direct in text
        text = text.replace(direct, f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.advertised}")
        file.write_text(text + f"group.min.session.timeout.ms={SESSION_LEAST_MS}\n")


class Stage:
    """Everything that runs. `tree` holds the product's packages: a copy of the checkout, perhaps a mutated one."""

    def __init__(
        self, directory: Path, *, seed: int, pace: float, tree: Path, skews: dict[str, float], workers: int = 2
    ) -> None:
        self.directory, self.pace, self.tree, self.skews = directory.resolve(), pace, tree, skews
        self.seed, self.workers = seed, WORKERS[:workers]
        self.ours = (*APIS, *self.workers)
        self.ports = {name: free_port() for name in (*APIS, *SIMULATORS, "hooks")}
        self.postgres = EmbeddedPostgres(self.directory / "postgres", free_port())
        self.kafka = Kafka(self.directory / "kafka", free_port(), free_port(), CACHE)
        self.valkey = EmbeddedValkey(self.directory / "valkey", free_port())
        behind = {part.name: [part.port] for part in (self.kafka, self.valkey)}
        behind |= {name: [port] for name, port in self.ports.items()} | {"public": [self.ports[name] for name in APIS]}
        behind |= {f"postgres/{name}": [self.postgres.port] for name in self.ours}
        self.links = {name: Link(name, ports, str(seed)) for name, ports in behind.items()}
        self.actors: dict[str, Actor] = {}
        self.deaths: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()  # crash points that were reached
        self._watch: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self.wipes = 0
        self._wiping = asyncio.Lock()
        self.demo: Demo
        self.hook_secret = ""
        self.settings: Settings

    # --- what runs ----------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What our own processes are told."""
        at = {name: f"127.0.0.1:{link.port}" for name, link in self.links.items()}
        return {
            "SECRET_KEY": "s" * 43,
            "JWT_SECRET_KEY": "j" * 43,
            "DATABASE_URI": self.postgres.uri(DATABASE),
            "KAFKA_BOOTSTRAP_SERVERS": at["kafka"],
            "KAFKA_PREFIX": PREFIX,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": at["valkey"][10:],
            "PUBLIC_URL": f"http://{at['public']}",
            "MYPAY_ENV": "development",
            "ALLOW_PRIVATE_TARGETS": "true",
            "SIMULATOR_URLS": ",".join(f"{name}={url}" for name, url in self._simulator_urls().items()),
            "PACE": str(self.pace),
            "PYTHONPATH": str(self.tree),
            "CRASH_AT": "",
            "PYTHONDONTWRITEBYTECODE": "",  # they start hundreds of times, and compile once
        }

    def _simulator_urls(self) -> dict[str, str]:
        return {name: f"http://127.0.0.1:{self.links[name].port}" for name in SIMULATORS}

    def _mypay(self, actor: Actor, *arguments: str, **environment: str) -> Program:
        skew = self.skews.get(actor.name)
        start = ("-m", "gateway.cli") if skew is None else (str(LAUNCH), str(skew))
        return Program(
            name=actor.name,
            argv=(sys.executable, "-P", *start, *arguments),
            owner=self.directory,
            log=self.directory / "log" / f"{actor.name}.log",
            env={**self.environment, **self._database(actor.name), "CRASH_AT": actor.armed or "", **environment},
            orphan_signal=signal.SIGKILL,
            grace_s=25,
        )

    def _database(self, name: str) -> dict[str, str]:
        link = self.links.get(f"postgres/{name}")
        port = self.postgres.port if link is None else link.port
        return {"DATABASE_URI": self.postgres.uri(DATABASE).replace(f":{self.postgres.port}/", f":{port}/")}

    def _cast(self) -> None:
        for part in (self.postgres, self.kafka, self.valkey):
            self.actors[part.name] = Actor(part.name, lambda actor, part=part: part.program())  # type: ignore[misc]
        for name in SIMULATORS:
            arguments = ["simulator", f"{name}={self.ports[name]}", "--pace", str(self.pace)]
            arguments += ["--directory", str(self.directory / "simulators")]
            self.actors[name] = Actor(name, lambda actor, a=arguments: self._mypay(actor, *a))  # type: ignore[misc]
        for name in APIS:
            port = str(self.ports[name])
            self.actors[name] = Actor(name, lambda actor, p=port: self._mypay(actor, "api", API_PORT=p))  # type: ignore[misc]
        for name in self.workers:
            self.actors[name] = Actor(name, lambda actor: self._mypay(actor, "worker"))

    # --- opening and closing ------------------------------------------------------------------------------------------

    async def open(self, say: Callable[[str], None]) -> None:
        """Start everything; returns when both APIs are ready and a worker leads the relay."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for link in self.links.values():
            await link.open()
        self.kafka.advertised = self.links["kafka"].port
        for part in (self.valkey, self.postgres, self.kafka):
            await asyncio.to_thread(part.prepare, say)
        self._cast()
        for name in PARTS:
            self.actors[name].start()
        for name in PARTS:
            await self.ready(name)
        await asyncio.to_thread(self.postgres.create_database, DATABASE)
        await self.run_mypay("migrate")
        self.settings = settings_module.load(self.environment, env_file=self.directory / "no.env")
        self.demo = await asyncio.to_thread(seed_demo, self.settings)
        await create_topics(self.settings)
        for name in (*SIMULATORS, *self.ours):
            self.actors[name].start()
        for name in self.ours:
            await self.ready(name)
        told = await open_accounts(self.ports["api-1"], self.demo.api_key, self.ports, self._simulator_urls())
        hooks = f"http://127.0.0.1:{self.links['hooks'].port}/hooks"
        self.hook_secret = await open_endpoint(self.ports["api-1"], self.demo.api_key, hooks)
        self._watch = asyncio.create_task(self._supervise())
        self._telling = asyncio.create_task(keep_telling(told, self.ports))

    async def ready(self, name: str) -> None:
        """Wait until a process does its work."""
        parts = {part.name: part.answers for part in (self.postgres, self.kafka, self.valkey)}
        probe = parts.get(name)
        deadline = time.monotonic() + READY_S
        while True:
            actor = self.actors[name]
            if probe is not None:
                ok = await asyncio.to_thread(probe)
            elif name in APIS:
                ok = await self._serves(self.ports[name])
            else:
                ok = await self._relay_is_led()
            if ok:
                return
            if time.monotonic() > deadline or (self._watch is None and not actor.alive):
                raise RuntimeError(f"{name} is not ready.{log_tail(actor.program.log) if actor.program else ''}")
            await asyncio.sleep(0.2)

    async def _serves(self, port: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        try:
            writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return (await asyncio.wait_for(reader.readline(), 3)).startswith(b"HTTP/1.1 200")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    async def _relay_is_led(self) -> bool:
        connection = await self.connect()
        try:
            return bool(await connection.fetchval("select lease_until > now() from relay"))
        finally:
            await connection.close()

    async def connect(self) -> Any:
        """A connection to the database that no weather touches: for the audience, not for the actors."""
        return await asyncpg.connect(self.postgres.uri(DATABASE), timeout=10, command_timeout=20)

    async def run_mypay(self, *arguments: str) -> None:
        """Run a command of `mypay` to its end. Raises RuntimeError with what it said."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "gateway.cli",
            *arguments,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await child.communicate()
        if child.returncode:
            raise RuntimeError(f"mypay {' '.join(arguments)} failed: {output.decode()}")

    async def _supervise(self) -> None:
        """Restart what has died."""
        died: dict[str, float] = {}
        while True:
            now = time.monotonic()
            for name, actor in self.actors.items():
                if actor.alive:
                    continue
                if name not in died:
                    died[name] = now
                    self._count_death(actor)
                if now >= max(died[name] + RESTART_S, actor.down_until):
                    del died[name]
                    actor.start()
            await asyncio.sleep(0.1)

    def _count_death(self, actor: Actor) -> None:
        self.deaths[actor.name] += 1
        if actor.armed and not actor.killed_by_us:
            self.crashed[actor.armed.split(":")[0]] += 1

    async def wipe_kafka(self, away_s: float) -> None:
        """Lose the broker's disk: it comes back empty, without topics and offsets, after `away_s`."""
        kafka = self.actors["kafka"]
        async with self._wiping:
            kafka.kill(down_s=float("inf"))
            await asyncio.sleep(0.2)
            shutil.rmtree(self.kafka.directory / "data")
            (self.kafka.directory / "formatted").unlink()
            self.wipes += 1
            await asyncio.sleep(away_s)
            await asyncio.to_thread(self.kafka.prepare, lambda line: None)
            kafka.down_until = 0.0

    async def heal(self) -> None:
        """Fair weather everywhere, everything awake and unarmed."""
        await asyncio.sleep(2 * RESTART_S)  # what was about to start with a crash point has started
        for link in self.links.values():
            await link.heal()
        for actor in self.actors.values():
            actor.down_until, actor.arm = 0.0, None
            actor.thaw()
            if actor.armed:
                actor.kill()

    async def close(self) -> None:
        """End everything, the parts last."""
        for task in (self._watch, self._telling):
            if task is not None:
                task.cancel()
        for name in reversed(self.actors):
            await asyncio.to_thread(self.actors[name].end)
        for link in self.links.values():
            await link.close()
