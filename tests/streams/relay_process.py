"""A relay as a process of its own, to be killed and frozen: `python -m tests.streams.relay_process NAME LEASE_S`.

The settings come as JSON on stdin.
"""

import sys

import msgspec
import uvloop

from gateway.settings import Settings
from gateway.store.database import create_pool
from streams.publisher import Publisher
from streams.relay import Relay


async def main(settings: Settings, owner: str, lease_s: float) -> None:
    async with await create_pool(settings, size=3) as pool:
        publisher = Publisher(settings)
        await publisher.start()
        await Relay(pool, publisher, owner=owner, lease_s=lease_s).run()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings, dec_hook=lambda kind, value: kind(value))
    uvloop.run(main(given, sys.argv[1], float(sys.argv[2])))
