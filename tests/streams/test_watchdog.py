"""A process that no longer polls ends, even with a blocked event loop; one that was only frozen lives."""

import signal
import subprocess
import sys
import time

from tests.support.parts import CHECKOUT

SCRIPT = """
import sys, time
from streams.watchdog import Watchdog

class Consumer:
    name, polls = "executor", 0

consumer = Consumer()
Watchdog([consumer], lost_s=0.8).start()
print("ready", flush=True)
while sys.argv[1] == "polls" or consumer.polls < 3:
    consumer.polls += 1
    time.sleep(0.05)
time.sleep(30)  # nothing else runs: the loop is blocked
"""


def start(behaviour: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", SCRIPT, behaviour]
    process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_process_whose_loop_is_blocked_ends_with_a_word() -> None:
    with start("hangs") as process:
        assert process.wait(timeout=5) == 70
        assert process.stdout is not None
        assert "executor has not polled for 1 s" in process.stdout.read()


def test_a_process_that_was_frozen_lives() -> None:
    with start("polls") as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        assert process.poll() is None
        process.kill()
