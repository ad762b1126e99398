"""A short seeded run: a dozen and more faults within half a minute of load, and no promise broken."""

import subprocess
import sys
from pathlib import Path

SEED = 1629  # its plan has a wiped broker, a frozen leader, killed databases and workers, crash points and bad weather
LIMIT_S = 300  # usually half of it, on two cores that do nothing else


def test_a_short_run_breaks_no_promise(tmp_path: Path) -> None:
    options = ["--seed", str(SEED), "--minutes", "0.6", "--clients", "8", "--open-most", "500"]
    argv = [sys.executable, "-m", "tests.chaos", *options, "--directory", str(tmp_path / "run")]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert "0 violations" in done.stdout
    assert "15 faults" in done.stdout
