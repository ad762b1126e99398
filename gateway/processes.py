"""Child processes that do not outlive their owner, and the ports they listen on.

Three nets, from fine to coarse: the owner stops its children in order (`end`); the kernel signals them when the owner
dies (`gateway.launcher`); and whoever starts a program ends first what is left of its predecessor (`end_leftovers`).
A leftover is recognised by a mark in its environment, which its own children inherit, or, for programs that overwrite
theirs, by executable and working directory. Unlike a recorded pid, neither can come to mean somebody else's process.
Linux only: all of it reads /proc.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway import launcher

MARK: Final = "MYPAY_PROCESS"
POLL_S: Final = 0.05
KILL_WAIT_S: Final = 5.0
LOG_TAIL_LINES: Final = 15
PORT_RANGE = range(20_000, 32_000)  # below the ports that the kernel gives to outgoing connections

_given: Final[set[int]] = set()  # it takes a while until whoever a port is meant for listens on it

Progress = Callable[[str], None]


class ProcessError(Exception):
    """A program could not be started, or died; the message is for the person who started it."""


class Program(Struct, frozen=True, kw_only=True):
    """What to run. `owner` and `name` together mark its processes: one runs per pair.

    `env` is added to our own environment. `prefix` runs before the launcher (it may change credentials, at which the
    kernel forgets the parent-death signal). `orphan_signal` is what the kernel sends when we die. `stale` are files
    that a killed predecessor leaves and the program trips over. `home` recognises processes without a readable mark:
    the executable's path and the working directory.
    """

    name: str
    argv: tuple[str, ...]
    owner: Path
    log: Path
    env: Mapping[str, str] = {}
    prefix: tuple[str, ...] = ()
    stop_signal: int = signal.SIGTERM
    orphan_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    stale: tuple[Path, ...] = ()
    home: tuple[Path, Path] | None = None

    def __repr__(self) -> str:
        """Without the environment, which may hold secrets."""
        return f"Program({self.name}, {self.owner})"


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start it in its own session, with its output appended to its log, after ending what is left of a former run.

    The kernel counts the calling *thread* as the owner: call from one that lives as long as the process, the main one.
    """
    end_leftovers(program)
    for path in program.stale:
        path.unlink(missing_ok=True)
    program.log.parent.mkdir(parents=True, exist_ok=True)
    launch = (sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), str(int(program.orphan_signal)))
    with program.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - programs are named by our own code
            [*program.prefix, *launch, *program.argv],
            env={**os.environ, **program.env, MARK: _mark(program)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], program: Program, deadline: float | None = None) -> None:
    """Stop it: its stop signal, then SIGKILL at `deadline` (`time.monotonic()`; default: after its grace).

    Processes that it leaves behind are killed. Does nothing to a process that has already ended, but for those.
    """
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        process.send_signal(signal.SIGCONT)  # a stopped process acts on no other signal
    until = time.monotonic() + program.grace_s if deadline is None else deadline
    try:
        process.wait(timeout=max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end_leftovers(program)


def end_leftovers(program: Program) -> int:
    """Kill what a former run of this program left, and say how many processes that were.

    Everything we run survives SIGKILL without loss, so nothing gentler is tried. Raises `ProcessError` when one stays.
    """
    return _kill_all((f"\0{MARK}={_mark(program)}\0".encode(),), program.home)


def end_all_leftovers(directory: Path) -> int:
    """Kill every process whose owner is `directory` or lies below it, and say how many that were."""
    return _kill_all(tuple(f"\0{MARK}={directory.resolve()}{after}".encode() for after in ":/"), None)


def wait_ready(
    process: subprocess.Popen[bytes], program: Program, answers: Callable[[], bool], *, timeout_s: float
) -> None:
    """Return once `answers()`. Raises `ProcessError` with the log's last lines if it dies first, or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not answers():
        if process.poll() is not None:
            raise ProcessError(f"{program.name} ended with status {process.returncode}.{log_tail(program.log)}")
        if time.monotonic() > deadline:
            raise ProcessError(f"{program.name} was not ready after {timeout_s:.0f} s.{log_tail(program.log)}")
        time.sleep(POLL_S)


def log_tail(path: Path) -> str:
    """The last lines of a log, introduced, to end an error message with; "" when there are none."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:] if path.exists() else []
    return "".join([f" The last lines of {path}:", *(f"\n  {line}" for line in lines)]) if lines else ""


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc_pid_stat(5), field 22); None when there is none.

    Together with the pid it names one process for good. A zombie counts as none once its last thread has ended: until
    then it holds its files and ports.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        threads = len(os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" and threads == 1 else int(fields[19])


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now, and that this process was not given before."""
    port = next(port for port in iter(lambda: secrets.choice(PORT_RANGE), None) if port not in _given and is_free(port))
    _given.add(port)
    return port


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:port can be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _mark(program: Program) -> str:
    return f"{program.owner.resolve()}:{program.name}"


def _kill_all(marks: tuple[bytes, ...], home: tuple[Path, Path] | None) -> int:
    killed = 0
    while found := _marked(marks, home):  # again, for what was forked meanwhile
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + KILL_WAIT_S
        while any(start_time(pid) for pid in found):
            if time.monotonic() > deadline:
                raise ProcessError(f"Of the processes {found} of a former run, not all can be killed.")
            time.sleep(POLL_S)
        killed += len(found)
    return killed


def _marked(marks: tuple[bytes, ...], home: tuple[Path, Path] | None) -> list[int]:
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [int(entry.name) for entry in processes if int(entry.name) != os.getpid() and _belongs(entry, marks, home)]


def _belongs(process: Path, marks: tuple[bytes, ...], home: tuple[Path, Path] | None) -> bool:
    try:
        environment = b"\0" + (process / "environ").read_bytes()
        if any(mark in environment for mark in marks):
            return True
        return home is not None and (_target(process / "exe"), _target(process / "cwd")) == home
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone meanwhile, a zombie, or another user's
        return False


def _target(link: Path) -> Path:
    return Path(os.readlink(link))
