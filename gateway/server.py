"""Running the API under granian: API_PROCESSES processes on one port. Imports nothing of the application itself."""

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels

from gateway.settings import Settings

BACKLOG: Final = 1024
CONNECTIONS_MOST: Final = 4096  # of one process: streams stay open
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


def before_end(work: Callable[[], None]) -> None:
    """Have `work` done when this server process is told to end, before granian waits for the answers under way.

    Call it once the process serves: granian puts its own handlers in place after start-up.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def told(number: int, frame: FrameType | None, before: Any = before) -> None:
            loop.call_soon_threadsafe(work)
            if callable(before):
                before(number, frame)

        signal.signal(number, told)


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
    _allow_descriptors()
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
        backpressure=CONNECTIONS_MOST,
        log_level=LogLevels.warning,
        workers_kill_timeout=20,
    ).serve()


def _allow_descriptors() -> None:
    """As many open files as this process may have: each connection is one, and the usual limit is 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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
