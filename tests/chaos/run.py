"""One run: open the stage, the load with the faults, healing, waiting until it is quiet, and the evidence."""

import asyncio
import json
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos import plan as plans
from tests.chaos.cases import CASES, SHORT_S, Case
from tests.chaos.checker import collect
from tests.chaos.crashes import Crashes
from tests.chaos.faults import Faults
from tests.chaos.history import History
from tests.chaos.listener import Listener
from tests.chaos.load import Load
from tests.chaos.observer import Observer
from tests.chaos.plan import Fault
from tests.chaos.quiet import quiet, settle
from tests.chaos.receiver import Receiver
from tests.chaos.resources import resources, sample
from tests.chaos.stage import CHECKOUT, PARTITIONS, PREFIX, SIMULATORS, Stage

PACKAGES = ("gateway", "streams", "providers", "migrations")

UNDER_WAY = "select count(*) from payments where status in ('pending', 'processing') and review is null"


@dataclass(frozen=True)
class Script:
    """What a run is made of."""

    directory: Path
    seed: int
    seconds: float
    clients: int = 24
    open_most: int = 2500  # payments under way, over which the clients pause: so that the end is not all waiting
    rate: float = 0.0  # payments per second at most; 0: as fast as the clients can
    pace: float = 0.1
    settle_s: float = 400.0  # it ends when it is quiet; a busy machine needs longer
    workers: int = 2
    scene: str = "random"
    points: Counter[str] | None = None  # processes die at crash points all along; so often they were reached before
    mutate: Callable[[Path], None] = lambda tree: None
    cases: tuple[Case, ...] = CASES
    faults: list[Fault] | None = None  # None: those of the seed
    skewed: bool = True
    sampled: bool = False  # write down what the processes hold, all run long
    command: str = ""


def copy_tree(tree: Path) -> Path:
    """The product's packages as they are now: whoever edits the checkout meanwhile does not disturb the run."""
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


async def perform(script: Script, say: Callable[[str], None]) -> Path:
    """Do the run; returns the directory with the evidence."""
    evidence = script.directory / "evidence"
    evidence.mkdir(parents=True, exist_ok=True)
    skews = plans.skews(script.seed) if script.skewed else {}
    tree = copy_tree(script.directory / "tree")
    script.mutate(tree)
    stage = Stage(script.directory, seed=script.seed, pace=script.pace, tree=tree, skews=skews, workers=script.workers)
    history = History(evidence / "history.jsonl")
    receiver = Receiver(evidence / "hooks.jsonl", script.seed)
    facts: dict[str, Any] = {
        "command": script.command,
        "scene": script.scene,
        "partitions": PARTITIONS,
        "seed": script.seed,
        "seconds": script.seconds,
        "clients": script.clients,
        "pace": script.pace,
        "skews": skews,
        "began": time.time(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
    }
    try:
        say(f"seed {script.seed}: opening the stage in {script.directory}")
        await receiver.open(stage.ports["hooks"])
        await stage.open(say)
        receiver.secret = stage.hook_secret
        await _act(script, stage, history, facts, evidence, say)
    finally:
        history.close()
        receiver.close()
        await stage.close()
    for name in SIMULATORS:
        shutil.copy(script.directory / "simulators" / f"{name}.jsonl", evidence)
    (evidence / "run.json").write_text(json.dumps(facts, indent=1))
    return evidence


async def _act(
    script: Script, stage: Stage, history: History, facts: dict[str, Any], evidence: Path, say: Callable[[str], None]
) -> None:
    servers = f"127.0.0.1:{stage.links['kafka'].port}"
    observer = Observer(servers, f"{PREFIX}payments.events.test", evidence / "observed.jsonl", lambda: stage.wipes)
    watching = asyncio.create_task(observer.run())
    ports = [stage.links[name].port for name in ("api-1", "api-2")]
    listener = Listener(ports, stage.demo.api_key, evidence / "streamed.jsonl")
    await listener.begin()
    listening = asyncio.create_task(listener.run())
    load = Load(ports, stage.demo.api_key, history, script.seed, script.cases, script.rate)
    faults = Faults(stage, say, script.seed)
    planned = plans.plan(script.seed, script.seconds) if script.faults is None else script.faults
    facts["resources_before"] = await resources(stage)
    facts["load_began"] = time.time()
    say(f"load: {script.clients} clients for {script.seconds:.0f} s, {len(planned)} faults")
    running = asyncio.create_task(load.run(script.clients))
    chaos = asyncio.ensure_future(asyncio.gather(faults.run(planned), _crash(script, stage)))
    beside = [asyncio.create_task(_tell(stage, load, script.open_most, say))]
    if script.sampled:
        beside.append(asyncio.create_task(sample(stage, evidence / "resources.jsonl")))
    try:
        # Payments that only their expiry ends are made early enough to end soon after the load, or not at all.
        short_s = max(0.0, script.seconds - SHORT_S / 2) if script.seconds > SHORT_S else 0.0
        load.no_short = not short_s
        await asyncio.sleep(short_s)
        load.no_short = True
        await asyncio.sleep(script.seconds - short_s)
        load.stopping = True
        load.pause.set()
        await chaos
        say("healing")
        await stage.heal()
        await running
    finally:
        for task in beside:
            task.cancel()
    facts |= {"load_ended": time.time(), "acknowledged": load.acknowledged, "calls": dict(history.counts)}
    facts["settled"] = await settle(stage, script.settle_s, say, facts)
    await load.close()
    if stage.wipes:
        await stage.run_mypay("events", "republish", "--from", "1")
        await quiet(stage, script.settle_s, say)
    facts["lag"] = await _drained(servers)
    facts["observed_to_the_end"] = await _observed(observer)
    facts["listened_to_the_end"] = await _listened(stage, listener)
    for task in (watching, listening):
        task.cancel()
    await asyncio.gather(watching, listening, return_exceptions=True)
    observer.close()
    listener.close()
    facts["listener"] = {"connections": listener.connections, "errors": dict(listener.errors)}
    facts["observer_errors"] = dict(observer.errors)
    facts["resources_after"] = await resources(stage)
    facts |= {
        "faults": dict(faults.done),
        "poison": faults.poison,
        "kills": faults.kills,
        "crash_points": dict(stage.crashed),
        "deaths": dict(stage.deaths),
        "wipes": stage.wipes,
        "links": {name: link.counts for name, link in stage.links.items()},
        "ended": time.time(),
    }
    await collect.dump(stage.postgres.uri("mypay"), evidence)


async def _crash(script: Script, stage: Stage) -> None:
    if script.points is not None:
        await Crashes(stage, script.seed, script.points).run(script.seconds)


async def _tell(stage: Stage, load: Load, open_most: int, say: Callable[[str], None]) -> None:
    """Say how it goes, and have the clients pause while too much is under way."""
    for second in range(10**9):
        await asyncio.sleep(1)
        if second % 10 == 9:
            say(f"           … {load.acknowledged} payments acknowledged{'' if load.pause.is_set() else ', pausing'}")
        try:
            connection = await stage.connect()
            under_way = await connection.fetchval(UNDER_WAY)
            await connection.close()
        except (OSError, TimeoutError, asyncpg.PostgresError):
            continue
        (load.pause.set if under_way < open_most else load.pause.clear)()


async def _drained(servers: str) -> dict[str, int]:
    """How many records that the topics held are not committed, once none is, or after two minutes.

    What comes meanwhile does not count: whoever never paid is asked about for days.
    """
    wanted = {place: end for place, (_, end) in (await collect.offsets(servers, PREFIX)).items()}
    for _ in range(120):
        now = await collect.offsets(servers, PREFIX)
        behind = {place: end - now[place][0] for place, end in wanted.items() if now[place][0] < end}
        if not behind:
            break
        await asyncio.sleep(1)
    return behind


async def _listened(stage: Stage, listener: Listener) -> bool:
    connection = await stage.connect()
    try:
        events = await connection.fetchval("select count(*) from events")
    finally:
        await connection.close()
    return await listener.at_end(events)


async def _observed(observer: Observer) -> bool:
    for _ in range(120):
        observer.at_end = False
        await asyncio.sleep(1)
        if observer.at_end:
            return True
    return False
