"""What the processes of a run hold: memory, descriptors, sockets; and their connections to PostgreSQL."""

import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.stage import Stage

SAMPLE_S = 15.0
HELD = ("rss_kb", "fds", "sockets")

Sample = dict[str, dict[str, int]]


async def resources(stage: Stage) -> Sample:
    """By process: resident memory, open descriptors and sockets, and how often it was started. All at one moment."""
    connection = await stage.connect()
    try:
        clients = await connection.fetchval("select count(*) from pg_stat_activity where application_name = 'mypay'")
    finally:
        await connection.close()
    return {"postgres": {"connections": clients}} | {name: _held(stage, name) for name in stage.ours}


def _held(stage: Stage, name: str) -> dict[str, int]:
    found = {"rss_kb": 0, "fds": 0, "sockets": 0, "starts": stage.actors[name].starts}
    for pid in stage.actors[name].pids():
        status = Path(f"/proc/{pid}/status").read_text()
        found["rss_kb"] += int(status.split("VmRSS:")[1].split()[0])
        targets = [_target(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        found["fds"] += len(targets)
        found["sockets"] += sum(target.startswith("socket:") for target in targets)
    return found


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # closed since it was listed
        return ""


async def sample(stage: Stage, file: Path) -> None:
    """For ever: a line every `SAMPLE_S`."""
    with file.open("a", encoding="utf-8", buffering=1) as lines:
        while True:
            lines.write(json.dumps({"at": time.time(), "held": await resources(stage)}) + "\n")
            await asyncio.sleep(SAMPLE_S)


def medians(samples: Sequence[Sample]) -> dict[tuple[str, str], float]:
    """The median of every quantity of every process."""
    names = [(name, kind) for name in samples[0] for kind in (*HELD, "connections") if kind in samples[0][name]]
    return {(name, kind): statistics.median(one[name][kind] for one in samples) for name, kind in names}
