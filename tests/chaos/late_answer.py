"""The one scene that chance does not play often: the answer of an old claim comes while a new one is at the provider.

1. Connections to the sandbox stall. A worker's claims give up ("not sent": that is proof), and are claimed again. While
   these second claims wait for their connections, the worker is frozen, and the connections work again.
2. Its leases end. The provider knows nothing of the charges, which is proof, and the other worker claims them for the
   third and last time. The provider charges, and some of its answers are long in coming.
3. Now the first worker wakes. Its second claims were not sent, and it says so.
"""

import asyncio
import time
from typing import Any

from tests.chaos.actor import Actor
from tests.chaos.stage import Stage

LIMIT_S = 60.0  # for each step
WAITING = """
select id from operations where state = 'sent' and verb = 'charge' and sends = 2 and owner like any($1::text[])
"""
AT_THE_PROVIDER = """
select id from operations
 where id = any($1::uuid[]) and sends = 3 and state = 'sent' and updated_at < now() - interval '0.5 s'
"""


async def late_answer(stage: Stage, worker: Actor) -> None:
    """Play it. Raises TimeoutError when a step does not come about."""
    link = stage.links["sandbox"]
    connection = await stage.connect()
    try:
        await link.turn(stall=True)
        waiting = await _until(connection, WAITING, [f"%-{pid}/%" for pid in worker.pids()], at_least=8)
        worker.freeze()
        await link.heal()
        await _until(connection, AT_THE_PROVIDER, waiting, at_least=1)
    finally:
        await link.heal()
        worker.thaw()
        await connection.close()


async def _until(connection: Any, query: str, parameter: list[Any], *, at_least: int) -> list[Any]:
    """Ask again and again, until there are so many; their ids."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        rows = await connection.fetch(query, parameter)
        if len(rows) >= at_least:
            return [row["id"] for row in rows]
        await asyncio.sleep(0.05)
    raise TimeoutError(f"not {at_least} of: {' '.join(query.split())}")
