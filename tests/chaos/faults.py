"""Carrying a fault out, and undoing it when its time is over."""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from tests.chaos.late_answer import late_answer
from tests.chaos.plan import Fault
from tests.chaos.stage import PREFIX, SIMULATORS, Stage

REPLAYED_MOST = 3000
FREEZE_PATIENCE_S = 90  # for a process to come to the point at which it freezes itself
POISON_MARK = b"chaos-poison-"


class Faults:
    """Does what the plan says. `done` counts what was carried out, by kind."""

    def __init__(self, stage: Stage, say: Callable[[str], None], seed: int) -> None:
        self._stage, self._say, self._dice = stage, say, random.Random(f"{seed}/faults")
        self.done: Counter[str] = Counter()
        self.poison: list[str] = []
        self.kills: list[dict[str, Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, plan: list[Fault]) -> None:
        """The whole plan; returns when its last fault is over."""
        began = asyncio.get_running_loop().time()
        for fault in plan:
            await asyncio.sleep(max(0.0, began + fault.at_s - asyncio.get_running_loop().time()))
            self._say(str(fault))
            task = asyncio.create_task(self._carry_out(fault))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)

    async def _carry_out(self, fault: Fault) -> None:
        action: Callable[[Fault], Awaitable[None]] = getattr(self, f"_{fault.kind}", self._weather)
        try:
            await action(fault)
        except (OSError, KafkaError, TimeoutError, asyncpg.PostgresError) as error:
            self._say(f"           {fault.kind} was not possible: {error!r}")
        else:
            self.done[fault.kind] += 1

    async def _kill(self, fault: Fault) -> None:
        self.kills.append({"at": time.time(), "target": fault.target})
        self._stage.actors[fault.target].kill(fault.lasts_s)

    async def _freeze(self, fault: Fault) -> None:
        actor = self._stage.actors[fault.target]
        actor.freeze()
        await asyncio.sleep(fault.lasts_s)
        if actor.frozen:  # else it was killed meanwhile
            actor.thaw()

    async def _freeze_leader(self, fault: Fault) -> None:
        """Freeze the worker that leads the relay until another one has taken over, then wake it."""
        connection = await self._stage.connect()
        try:
            leader = await connection.fetchval("select leader from relay where lease_until > now()")
        finally:
            await connection.close()
        pid = int(str(leader).rpartition("-")[2]) if leader else 0
        found = next((each for each in self._stage.actors.values() if pid in each.pids()), None)
        if found is not None:
            await self._freeze(Fault(fault.at_s, "freeze", found.name, fault.lasts_s))

    async def _crash_point(self, fault: Fault) -> None:
        """Restart a process so that it kills itself at a named moment."""
        actor = self._stage.actors[fault.target]
        actor.arm = fault.how["point"]
        actor.kill()

    async def _freeze_claim(self, fault: Fault) -> None:
        """A worker freezes itself between a claim and its request; it is woken when the lease is over."""
        await self._crash_point(fault)
        actor = self._stage.actors[fault.target]
        for _ in range(10 * FREEZE_PATIENCE_S):
            if actor.stopped:
                await asyncio.sleep(fault.lasts_s)
                break
            await asyncio.sleep(0.1)
        actor.thaw()

    async def _late_answer(self, fault: Fault) -> None:
        await late_answer(self._stage, self._stage.actors[fault.target])

    async def _wipe_kafka(self, fault: Fault) -> None:
        await self._stage.wipe_kafka(fault.lasts_s)

    async def _flush_valkey(self, fault: Fault) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._stage.valkey.port)
        writer.write(b"FLUSHALL\r\n")
        await reader.readline()
        writer.close()

    async def _weather(self, fault: Fault) -> None:
        link = self._stage.links[fault.target.removeprefix("link ")]
        if fault.kind == "reset":
            link.reset_all()
        await link.turn(**fault.how)
        await asyncio.sleep(fault.lasts_s)
        await link.heal()

    # --- through Kafka ------------------------------------------------------------------------------------------------

    async def _replay_commands(self, fault: Fault) -> None:
        """Every command that the topics hold is sent once more: what a reset of the offsets would do, and more."""
        for provider in SIMULATORS:
            topic = f"{PREFIX}payments.commands.{provider}"
            records = [one for one in await read_topic(self._stage, topic) if POISON_MARK not in (one.value or b"")]
            await self._send(topic, [(one.key, one.value) for one in records[-REPLAYED_MOST:]])

    async def _poison(self, fault: Fault) -> None:
        """Records that nobody can use; each carries a mark by which its dead letter is known."""
        for provider in SIMULATORS:
            for kind in ("payments.commands", "callbacks"):
                mark = POISON_MARK + uuid.UUID(int=self._dice.getrandbits(128)).hex.encode()
                await self._send(f"{PREFIX}{kind}.{provider}", [(None, b'{"operation": ' + mark)])
                self.poison.append(mark.decode())

    async def _send(self, topic: str, records: list[tuple[bytes | None, bytes | None]]) -> None:
        servers = f"127.0.0.1:{self._stage.links['kafka'].port}"
        producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", request_timeout_ms=5000)
        async with asyncio.timeout(20):
            try:
                await producer.start()
                for result in [await producer.send(topic, value, key=key) for key, value in records]:
                    await result
            finally:
                await producer.stop()


async def read_topic(stage: Stage, topic: str) -> list[Any]:
    """Every record that a topic holds now."""
    servers = f"127.0.0.1:{stage.links['kafka'].port}"
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest", request_timeout_ms=5000)
    found: list[Any] = []
    async with asyncio.timeout(20):
        try:
            await consumer.start()
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(records)
        finally:
            await consumer.stop()
    return found
