"""What the three embedded servers have in common: prepare, start, wait, stop."""

import subprocess
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

from gateway.processes import ProcessError, Program, Progress, end, log_tail, spawn, wait_ready

LOOPBACK: Final = "127.0.0.1"
PROBE_TIMEOUT_S: Final = 2.0
_READY_TIMEOUT_S: Final = 60.0


class Part(ABC):
    """One server: `start()` and `stop()` it, or let a supervisor run its `program()` after `prepare()`.

    `directory` holds its data and its log. Everything may be called again at any time, but not inside an event loop.
    """

    name: ClassVar[str]
    wheels: ClassVar[tuple[str, ...]]  # the packages that bring it

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.resolve()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, progress: Progress = lambda line: None) -> None:
        """Prepare it, start it and wait until it answers. Raises `ProcessError` with the log's last lines.

        Call from the main thread: the part ends with the thread that started it.
        """
        if self._process is None or self._process.poll() is not None:
            self.prepare(progress)
            self._process = spawn(self.program())
        self.wait(self._process)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until `process`, which runs our `program()`, answers."""
        wait_ready(process, self.program(), self.answers, timeout_s=_READY_TIMEOUT_S)

    def stop(self) -> None:
        """End it in order, and make sure that nothing of it is left."""
        if self._process is not None:
            end(self._process, self.program())
            self._process = None

    @property
    def pid(self) -> int:
        """The process that `start` made, for tests that kill it."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self.directory / f"{self.name}.log"

    @property
    def address(self) -> str:
        """Where clients find it: host:port, unless the part says otherwise."""
        return f"{LOOPBACK}:{self.port}"

    @abstractmethod
    def prepare(self, progress: Progress) -> None:
        """Make what it needs before it can run: takes seconds at the first start. Any thread may call it."""

    @abstractmethod
    def program(self) -> Program:
        """What to run, once it is prepared."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it answers a client now."""

    def run_tool(self, *argv: str, what: str) -> None:
        """Run a tool of this part to its end, with its output in the log. Raises `ProcessError` when it fails."""
        with self.log.open("ab") as log:
            tool = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)  # noqa: S603
        if tool.returncode:
            raise ProcessError(f"{what} failed with status {tool.returncode}.{log_tail(self.log)}")


def files_of(wheel: str) -> Path:
    """Where a wheel's files are, without importing it."""
    spec = find_spec(wheel)
    if spec is None or not spec.submodule_search_locations:
        raise ProcessError(f"{wheel} is not installed; install mypay[embedded].")
    return Path(spec.submodule_search_locations[0]).resolve()
