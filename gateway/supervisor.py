"""A small supervisor: starts programs in groups, restarts those that die, stops them in order.

It also owns what makes an installation one: the directory's lock, and the ports it remembers.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from subprocess import Popen
from typing import Final

import msgspec
from msgspec import Struct

from gateway.processes import Program, Progress, end, free_port, is_free, spawn, start_time

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MOST_S: Final = 5.0
BACKOFF_RESET_S: Final = 30.0  # who lives that long starts again with the first backoff
_TICK_S: Final = 0.1


class SupervisorError(Exception):
    """The installation cannot run here; the message is one sentence for the person who started it."""


class _Child:
    """A program, its process, and when to start it again."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process = spawn(program)
        self.started = time.monotonic()
        self.backoff_s = BACKOFF_FIRST_S
        self.restart_at: float | None = None

    def plan_restart(self, now: float) -> float:
        """Note when to start it again; returns the seconds until then."""
        if now - self.started >= BACKOFF_RESET_S:
            self.backoff_s = BACKOFF_FIRST_S
        wait_s, self.backoff_s = self.backoff_s, min(self.backoff_s * 2, BACKOFF_MOST_S)
        self.restart_at = now + wait_s
        return wait_s

    def restart(self, now: float) -> None:
        self.process = spawn(self.program)
        self.started, self.restart_at = now, None


class Supervisor:
    """Runs programs until `stop`. Use it from the main thread only: its children end with the thread that made them."""

    def __init__(self, say: Progress) -> None:
        self._say = say
        self._groups: list[list[_Child]] = []

    def start(self, *programs: Program) -> list[Popen[bytes]]:
        """Start programs as one group. Groups are stopped in the reverse order, each as a whole."""
        group = [_Child(program) for program in programs]
        self._groups.append(group)
        return [child.process for child in group]

    def watch(self) -> None:
        """Restart what dies, for ever: a signal's handler ends it by raising."""
        while True:
            self.tick(time.monotonic())
            time.sleep(_TICK_S)

    def tick(self, now: float) -> None:
        """One look at every child, at the monotonic time `now`."""
        for child in self._children():
            if child.restart_at is not None:
                if now >= child.restart_at:
                    child.restart(now)
            elif child.process.poll() is not None:
                wait_s = child.plan_restart(now)
                status, log = child.process.returncode, child.program.log
                self._say(f"{child.program.name} ended with status {status}; again in {wait_s:.1f} s (see {log})")

    def stop(self) -> None:
        """Stop everything: each group gets its stop signals at once and, after the longest grace in it, SIGKILL."""
        while self._groups:
            _stop_together(self._groups.pop())

    def processes(self) -> dict[str, int]:
        """The pid of each child, by name."""
        return {child.program.name: child.process.pid for child in self._children()}

    def _children(self) -> Iterator[_Child]:
        return (child for group in self._groups for child in group)


def _stop_together(group: Iterable[_Child]) -> None:
    for child in group:
        if child.process.poll() is None:
            child.process.send_signal(child.program.stop_signal)
    now = time.monotonic()
    for child in group:
        end(child.process, child.program, deadline=now + child.program.grace_s)


# --- One installation per directory -----------------------------------------------------------------------------------


class Running(Struct, frozen=True, kw_only=True):
    """The process that runs an installation: pid, start time in ticks, and whether it is ready to serve."""

    pid: int
    started: int
    ready: bool = False


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock. Raises `SupervisorError` when another process holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = running(directory)
            who = f"process {other.pid}" if other else "another process"
            raise SupervisorError(f"MyPay already runs in {directory} ({who}); end it with `mypay down`.") from None
        record(directory, ready=False)
        try:
            yield
        finally:
            _record_file(directory).unlink(missing_ok=True)


def record(directory: Path, *, ready: bool) -> None:
    """Write down that this process runs the installation."""
    me = Running(pid=os.getpid(), started=start_time(os.getpid()) or 0, ready=ready)
    write_private(_record_file(directory), msgspec.json.encode(me))


def running(directory: Path) -> Running | None:
    """Who runs the installation now, or None."""
    try:
        found = msgspec.json.decode(_record_file(directory).read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return found if start_time(found.pid) == found.started else None


def ports(directory: Path, names: Iterable[str]) -> Mapping[str, int]:
    """A port for each name: free ones at the first start, remembered in ports.json, all of them free now.

    Raises `SupervisorError` with one sentence when a remembered one was taken since.
    """
    file = directory / "ports.json"
    known = msgspec.json.decode(file.read_bytes(), type=dict[str, int]) if file.exists() else {}
    chosen: dict[str, int] = {}
    for name in names:
        chosen[name] = known[name] if name in known else _another_port({*known.values(), *chosen.values()})
    write_private(file, msgspec.json.format(msgspec.json.encode({**known, **chosen})))
    for name, port in chosen.items():
        require_free(port, f"{name}, change it in {file} or delete that file")
    return chosen


def require_free(port: int, wanted_by: str) -> None:
    """Raise `SupervisorError` when somebody listens on the port; `wanted_by` says who wants it and how to change it."""
    if not is_free(port):
        raise SupervisorError(f"Port {port} is in use by another program: it is for {wanted_by}.")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only we may read, all of it or nothing."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


def _another_port(taken: set[int]) -> int:
    return next(port for port in iter(free_port, None) if port not in taken)


def _record_file(directory: Path) -> Path:
    return directory / "run.json"
