"""Running the API under granian: API_PROCESSES processes on one port. Imports nothing of the application itself."""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels

from gateway.settings import Settings

BACKLOG: Final = 1024
GC_THRESHOLDS: Final = (50_000, 20, 20)
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def die_with_parent() -> None:
    """Have the kernel end this server process when granian's main process dies, however it dies. Linux only."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def settle_memory() -> None:
    """Take what start-up made out of the garbage collector's sight, and let it look less often.

    A request makes a few hundred objects that die by themselves; the default thresholds walk the whole heap for them,
    which showed as pauses of some 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. The processes read their settings from the environment again."""
    Granian(
        "gateway.app:asgi",
        factory=True,
        address=settings.api_host,
        port=settings.api_port,
        interface=Interfaces.ASGI,
        workers=settings.api_processes,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        log_level=LogLevels.warning,
        workers_kill_timeout=20,
    ).serve()


@contextlib.contextmanager
def counting_together(settings: Settings) -> Iterator[None]:
    """Where several processes share the port, a scrape meets any of them: let them count in one directory.

    prometheus_client looks at the variable when it is imported, so this begins before that.
    """
    if settings.api_processes == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="mypay-metrics-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        yield
