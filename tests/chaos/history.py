"""The history: what the clients did and saw, one JSON line each, in the words of Jepsen.

`invoke` a wish; each HTTP `answer` to it; then `ok` (acknowledged), `fail` (refused) or `info` (it may have happened).
Times are Unix seconds of this machine.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any


class History:
    """An append-only file, and counters of what went by."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1 << 16)
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, call: str, **fields: Any) -> None:
        """One line."""
        self.counts[f"{call} {kind}"] += 1
        self._file.write(json.dumps({"at": round(time.time(), 4), "type": kind, "call": call, **fields}) + "\n")

    def close(self) -> None:
        """Flush."""
        self._file.close()
