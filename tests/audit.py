"""`make audit`: known vulnerabilities of what the lock installs, by pip-audit. Fails on a finding, and only on one.

It asks the Python Packaging Advisory Database over the network; what could not be asked about is counted and said.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
PIP_AUDIT = ("uv", "tool", "run", "pip-audit@2.10.1")


def main() -> int:
    """Ask, and print what was found."""
    pinned = re.findall(r"^[\w.-]+==[\w.+!-]+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("\n".join(pinned))
        wanted.flush()
        argv = [*PIP_AUDIT, "-r", wanted.name, "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner", "off"]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)
    return judged(answer.stdout, len(pinned))


def judged(answer: str, count: int) -> int:
    """1 when a package has a known vulnerability; prints each, and how many were not asked about."""
    try:
        asked = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        print(f"Nothing was audited: no advisory database could be asked about {count} packages.")
        return 0
    found = [(each["name"], each["version"], vuln) for each in asked for vuln in each.get("vulns", [])]
    for name, version, vuln in found:
        print(f"{name} {version}: {vuln['id']}, fixed in {', '.join(vuln['fix_versions']) or 'no version yet'}")
    skipped = sum("skip_reason" in each for each in asked)
    print(f"{len(found)} known vulnerabilities in {count - skipped} packages; {skipped} could not be asked about.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
