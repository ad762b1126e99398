"""Crash point after crash point: whoever starts is armed with the point that was reached least often so far.

So a process that died at a point needs no second death to be armed with the next, and each death here is one kill -9
at a named moment of a running load. A process that does not come to its point in time is killed and armed anew.
"""

import asyncio
import random
import time
from collections import Counter

from tests.chaos.actor import Actor
from tests.chaos.plan import API_POINTS, WORKER_POINTS
from tests.chaos.stage import Stage

PASSES_MOST = 8
PATIENCE_S = 60.0  # for a process to come to its point


class Crashes:
    """Arms every API and every worker of a stage. `before` counts what earlier runs have reached."""

    def __init__(self, stage: Stage, seed: int, before: Counter[str]) -> None:
        self._stage, self._dice, self._before = stage, random.Random(f"{seed}/crashes"), before
        self._actors = [stage.actors[name] for name in stage.ours]

    async def run(self, seconds: float) -> None:
        """Kill them for so long."""
        ends = time.monotonic() + seconds
        since = dict.fromkeys(self._stage.ours, (0, 0.0))
        for actor in self._actors:
            actor.arming = self._arm
            actor.kill()
        while (now := time.monotonic()) < ends:
            for actor in self._actors:
                starts, at = since[actor.name]
                if actor.starts != starts:
                    since[actor.name] = (actor.starts, now)
                elif now - at > PATIENCE_S:
                    actor.kill()
            await asyncio.sleep(0.1)
        for actor in self._actors:
            actor.arming = None

    def _arm(self, actor: Actor) -> str:
        """The next point for a process that is about to start."""
        under_way = Counter((each.armed or "").partition(":")[0] for each in self._actors if each is not actor)
        counts = self._before + self._stage.crashed + under_way
        points = API_POINTS if actor.name.startswith("api-") else WORKER_POINTS
        least = min(counts[point] for point in points)
        point = self._dice.choice([point for point in points if counts[point] == least])
        return f"{point}:{self._dice.randint(1, PASSES_MOST)}"
