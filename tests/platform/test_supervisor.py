"""The supervisor: restarts with growing pauses, stops within bounds, one per directory, and leaves nothing behind."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.processes import ProcessError, Program, end, end_all_leftovers, spawn, start_time, wait_ready
from gateway.supervisor import Supervisor, SupervisorError, locked, ports, require_free, running

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
WITH_CHILD = (
    "import subprocess, sys, time; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(c.pid, flush=True); time.sleep(60)"
)


def python(directory: Path, code: str, *, name: str = "program", grace_s: float = 5.0) -> Program:
    log = directory / f"{name}.log"
    return Program(name=name, argv=(sys.executable, "-S", "-c", code), owner=directory, log=log, grace_s=grace_s)


def until(condition: Callable[[], object], *, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    return start_time(pid) is not None


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))


def runs(pid: int) -> bool:
    """Whether the launcher has become the program."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"time.sleep" in command and b"launcher.py" not in command


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor(lambda line: None)
    yield made
    made.stop()


def test_a_dead_child_is_restarted_with_doubling_pauses(tmp_path: Path, supervisor: Supervisor) -> None:
    (process,) = supervisor.start(python(tmp_path, SLEEP))
    now = time.monotonic()
    for pause_s in (0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        pid = supervisor.processes()["program"]
        kill(pid)
        supervisor.tick(now)
        supervisor.tick(now + pause_s - 0.01)
        assert supervisor.processes()["program"] == pid
        supervisor.tick(now + pause_s)
        assert supervisor.processes()["program"] != pid
        now += pause_s
    assert not is_alive(process.pid)


def test_a_long_life_resets_the_pause(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start(python(tmp_path, SLEEP))
    now = time.monotonic()
    for lived_s, pause_s in ((0, 0.2), (0, 0.4), (30, 0.2)):
        now += lived_s
        pid = supervisor.processes()["program"]
        kill(pid)
        supervisor.tick(now)
        now += pause_s
        supervisor.tick(now)
        assert supervisor.processes()["program"] != pid


def test_groups_stop_in_reverse_and_the_deaf_are_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    first = python(tmp_path, "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(60)")
    (first_process,) = supervisor.start(first)
    deaf, also_deaf = (python(tmp_path, STUBBORN, name=name, grace_s=0.5) for name in ("deaf", "also deaf"))
    processes = supervisor.start(deaf, also_deaf)
    until(lambda: deaf.log.read_text() and also_deaf.log.read_text())
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 2, "one grace for the whole group"
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
    assert first_process.returncode is not None


def test_a_stopped_process_can_be_ended(tmp_path: Path) -> None:
    program = python(tmp_path, SLEEP)
    process = spawn(program)
    until(lambda: runs(process.pid))
    process.send_signal(signal.SIGSTOP)
    end(process, program)
    assert process.returncode == -signal.SIGTERM


def test_children_of_a_killed_child_are_ended_before_it_starts_again(tmp_path: Path) -> None:
    program = python(tmp_path, WITH_CHILD)
    process = spawn(program)
    until(lambda: program.log.read_text().endswith("\n"))
    orphan = int(program.log.read_text())
    process.kill()
    process.wait()
    assert is_alive(orphan)
    again = spawn(program)
    assert not is_alive(orphan)
    end(again, program)


def test_leftovers_are_found_by_directory_and_nothing_else_is_touched(tmp_path: Path) -> None:
    ours, other = python(tmp_path / "a", SLEEP), python(tmp_path / "ab", SLEEP)
    below = python(tmp_path / "a/kafka", SLEEP)
    processes = [spawn(ours), spawn(other), spawn(below)]
    assert end_all_leftovers(tmp_path / "a") == 2
    assert [process.poll() for process in processes[:2]] == [-signal.SIGKILL, None]
    end(processes[1], other)
    processes[2].wait()


def test_a_killed_owner_takes_its_children_along(tmp_path: Path) -> None:
    owner_code = (
        "import sys, time; from pathlib import Path; from tests.platform.test_supervisor import *;"
        f"print(spawn(python(Path({str(tmp_path)!r}), SLEEP, name='child')).pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "owner.log"
    owner = spawn(Program(name="owner", argv=(sys.executable, "-c", owner_code), owner=tmp_path, log=log))
    until(lambda: log.read_text().endswith("\n"), timeout_s=20)
    child = int(log.read_text())
    until(lambda: runs(child))
    owner.kill()
    owner.wait()
    until(lambda: not is_alive(child))


def test_a_program_that_dies_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    program = python(tmp_path, "raise SystemExit('no such table')")
    with pytest.raises(ProcessError, match=r"program ended with status 1\. The last lines of .*\n  no such table"):
        wait_ready(spawn(program), program, lambda: False, timeout_s=10)


def test_one_installation_per_directory(tmp_path: Path) -> None:
    with locked(tmp_path):
        found = running(tmp_path)
        assert found is not None
        assert (found.pid, found.ready) == (os.getpid(), False)
        with pytest.raises(SupervisorError) as refusal, locked(tmp_path):
            pass
    assert str(refusal.value).count(". ") == 0
    assert f"MyPay already runs in {tmp_path} (process {os.getpid()})" in str(refusal.value)
    assert running(tmp_path) is None


def test_a_record_of_another_process_with_our_pid_counts_as_none(tmp_path: Path) -> None:
    with locked(tmp_path):
        stale = (tmp_path / "run.json").read_text().replace('"started":', '"started":1')
        (tmp_path / "run.json").write_text(stale)
        assert running(tmp_path) is None


def test_ports_are_remembered_and_a_taken_one_is_named(tmp_path: Path) -> None:
    first = ports(tmp_path, ["postgres", "kafka"])
    more = ports(tmp_path, ["kafka", "postgres", "valkey"])
    assert more == {**first, "valkey": more["valkey"]}
    assert len(set(more.values())) == 3
    assert (tmp_path / "ports.json").stat().st_mode & 0o777 == 0o600
    with socket.create_server(("127.0.0.1", first["kafka"])), pytest.raises(SupervisorError) as refusal:
        ports(tmp_path, ["kafka"])
    assert f"Port {first['kafka']} is in use" in str(refusal.value)
    assert f"kafka, change it in {tmp_path / 'ports.json'}" in str(refusal.value)


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SupervisorError, match=rf"^Port {port} is in use .*: it is for the API, use --port\.$"):
            require_free(port, "the API, use --port")


def test_watch_restarts(tmp_path: Path, supervisor: Supervisor) -> None:
    (process,) = supervisor.start(python(tmp_path, "raise SystemExit(3)"))
    process.wait()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    with pytest.raises(KeyboardInterrupt):
        supervisor.watch()
    signal.signal(signal.SIGALRM, before)
    assert supervisor.processes()["program"] != process.pid
