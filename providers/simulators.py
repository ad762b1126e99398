"""Runs simulators: any number of them in one process, each on a port of its own."""

import asyncio
import logging
import signal
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from providers.simulation import Simulator

_log = logging.getLogger(__name__)


def simulators() -> dict[str, type[Simulator[Any]]]:
    """The simulator of each provider that has one: the `SIMULATOR` of `providers.<name>.simulator`."""
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("*/simulator.py"))
    folder = Path(__file__).parent
    names = [name for name in folders if (folder / name / "spec.py").exists() and not name.startswith("_")]
    return {name: import_module(f"providers.{name}.simulator").SIMULATOR for name in names}


def serve(ports: Mapping[str, int], *, directory: Path, pace: float = 1.0, host: str = "127.0.0.1") -> None:
    """Run the named simulators until SIGTERM or SIGINT. Their ledgers are in `directory`; delays are times `pace`.

    `KeyError` for a name that has no simulator, `OSError` when a port is taken.
    """
    uvloop.run(_serve(ports, directory, pace, host))


async def _serve(ports: Mapping[str, int], directory: Path, pace: float, host: str) -> None:
    stopping = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stopping.set)
    known = simulators()
    running = {name: known[name](directory, pace=pace) for name in ports}
    for name, simulator in running.items():
        _log.info("simulator %s listens on port %d", name, await simulator.start(ports[name], host))
    await stopping.wait()
    for simulator in running.values():
        await simulator.stop()
