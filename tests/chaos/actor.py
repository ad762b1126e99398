"""One supervised process of the stage: started, killed, frozen, armed with a crash point."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from gateway.processes import Program, spawn
from gateway.processes import end as end_process


class Actor:
    """One supervised process. `arm`, or else `arming`, gives the CRASH_AT of its next start; dead till `down_until`."""

    def __init__(self, name: str, program: Callable[["Actor"], Program]) -> None:
        self.name, self._program = name, program
        self.arm: str | None = None
        self.arming: Callable[[Actor], str] | None = None
        self.armed: str | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.program: Program | None = None
        self.down_until = 0.0
        self.frozen = False
        self.killed_by_us = False
        self.starts = 0

    def start(self) -> None:
        """Start it, ending what is left of its predecessor."""
        self.armed, self.arm = self.arm or (self.arming(self) if self.arming else None), None
        self.program = self._program(self)
        self.process = spawn(self.program)
        self.frozen = self.killed_by_us = False
        self.starts += 1

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def pids(self) -> list[int]:
        """The process and everything below it: PostgreSQL's children and granian's have sessions of their own."""
        return [] if self.process is None else family(self.process.pid)

    def signal(self, number: int) -> None:
        """Send a signal to the whole family, the parent first."""
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self, down_s: float = 0.0) -> None:
        """End it as a power cut would."""
        self.killed_by_us = True
        self.down_until = max(self.down_until, time.monotonic() + down_s)
        self.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.frozen = False
        self.signal(signal.SIGCONT)

    @property
    def stopped(self) -> bool:
        """Whether it is frozen, by us or by itself (proc_pid_stat(5): state T)."""
        return self.process is not None and _state(self.process.pid) == "T"

    def end(self) -> None:
        """End it in order."""
        self.thaw()
        if self.process is not None and self.program is not None:
            end_process(self.process, self.program)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo.extend(children.get(one, []))
    return found
