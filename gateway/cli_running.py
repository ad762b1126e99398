"""What is done to an `up` that runs in another process: `mypay up --detach` follows its start, `mypay down` ends it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.processes import ProcessError, end_all_leftovers, start_time
from gateway.supervisor import running

DOWN_TIMEOUT_S: Final = 60.0


def down(directory: Path) -> int:
    """End the `up` of this directory, or what a killed one left behind, and say so."""
    found = running(directory)
    if found is not None:
        os.kill(found.pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        while start_time(found.pid) == found.started:
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"MyPay in {directory} (process {found.pid}) did not stop in {DOWN_TIMEOUT_S:.0f} s."
                )
            time.sleep(0.1)
        print(f"MyPay in {directory} has stopped.")
    leftovers = end_all_leftovers(directory)
    if leftovers:
        print(f"Ended {leftovers} processes of a killed run in {directory}.")
    if found is None and not leftovers:
        print(f"MyPay does not run in {directory}.")
    return 0


def detach(directory: Path, arguments: Sequence[str]) -> int:
    """Run `up` with the same arguments in a session of its own; return once it is ready, or has failed."""
    log = directory / "log" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "gateway.cli", *(word for word in arguments if word != "--detach")]
    if running(directory) is None:  # else the one that runs is writing to it; ours will only say that it does
        log.unlink(missing_ok=True)
    with log.open("ab") as output:
        begin = output.tell()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)  # noqa: S603
    with log.open(encoding="utf-8") as lines:
        lines.seek(begin)
        while child.poll() is None and not _is_ready(directory, child.pid):
            print(lines.read(), end="", flush=True)
            time.sleep(0.1)
        print(lines.read(), end="", flush=True)
    return child.returncode or 0


def _is_ready(directory: Path, pid: int) -> bool:
    found = running(directory)
    return found is not None and found.pid == pid and found.ready
