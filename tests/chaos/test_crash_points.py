"""Crash points: one process dies where it was told to, and none can be told in production."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import crash_points
from gateway.crash_points import POINTS
from gateway.settings import SettingsError
from tests.chaos.plan import POINTS as PLANNED

CHECKOUT = Path(__file__).parents[2]
PRODUCT = ("gateway", "streams", "providers")


def test_nothing_is_armed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRASH_AT", raising=False)
    crash_points.arm("production")
    assert crash_points._armed is None
    for name in POINTS:
        crash_points.crash_point(name)


def test_production_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASH_AT", "accept_after_commit:1")
    with pytest.raises(SettingsError, match=r"^CRASH_AT is set: remove it"):
        crash_points.arm("production")
    assert crash_points._armed is None


@pytest.mark.parametrize("wanted", ["nowhere:1", "accept_after_commit", "accept_after_commit:0", "sweep_mid:1:now"])
def test_what_names_no_point_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("CRASH_AT", wanted)
    with pytest.raises(SettingsError, match=r"^CRASH_AT names no crash point"):
        crash_points.arm("development")
    assert crash_points._armed is None


@pytest.mark.parametrize(("suffix", "number"), [("", signal.SIGKILL), (":stop", signal.SIGSTOP)])
def test_the_signal_comes_at_the_nth_pass(suffix: str, number: signal.Signals) -> None:
    code = (
        "from gateway import crash_points\n"
        "crash_points.arm('development')\n"
        "for n in range(1, 9):\n"
        "    crash_points.crash_point('sweep_mid')\n"
        "    crash_points.crash_point('claim_after_commit')\n"
        "    print(n, flush=True)\n"
    )
    env = {"CRASH_AT": f"claim_after_commit:3{suffix}", "PYTHONPATH": str(CHECKOUT)}
    child = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
    if number is signal.SIGSTOP:
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass
        child.send_signal(signal.SIGCONT)
        assert child.wait(10) == 0
    else:
        assert child.wait(10) == -signal.SIGKILL


def test_every_point_is_placed_once_and_planned() -> None:
    source = "\n".join(path.read_text() for name in PRODUCT for path in (CHECKOUT / name).rglob("*.py"))
    placed = [name for call in re.findall(r"crash_point\((\".*?\")\)", source) for name in re.findall(r'"(\w+)"', call)]
    assert sorted(placed) == sorted(POINTS)
    assert PLANNED.keys() == set(POINTS)
