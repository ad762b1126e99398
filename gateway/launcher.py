"""Run as a script by `gateway.processes`: become a program that is told when its owner dies.

    python launcher.py OWNER_PID SIGNAL PROGRAM ARGUMENT…

The kernel forgets a parent-death signal (prctl(2), PR_SET_PDEATHSIG) at fork and keeps it over exec, so this must run
between the two; a script of its own does that without running Python code in a forked copy of a threaded process.
It imports nothing of MyPay and is started with `-I -S`, so that it costs some 20 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(owner: int, number: int, argv: list[str]) -> None:
    """Ask for signal `number` at the death of `owner`, then become `argv`; never returns."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != owner:  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
