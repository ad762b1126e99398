"""One server process on a database, with only Postgres (and Redis, where it is asked for) beside it."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.load import measure
from tests.support.installation import Installation
from tests.support.parts import Parts, fresh_database

NO_KAFKA: Final = "127.0.0.1:9"  # the discard port: nobody listens
MYPAY: Final = "gateway.app:asgi"
PLAIN_SELECT: Final = "tests.bench.alternatives:select_app"


@contextmanager
def server(
    parts: Parts,
    target: str,
    *,
    uri: str | None = None,
    key: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[Installation, int]]:
    """What it was made of, and its port. Without `uri` on a fresh database; `key` is one that is there already."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        database = uri or stack.enter_context(fresh_database(parts))
        own = {"REDIS_HOST": "", "KAFKA_BOOTSTRAP_SERVERS": NO_KAFKA, **(environment or {})}
        made = Installation(parts, database, Path(place), simulators=False, workers=0, environment=own)
        port = int(made.environment["API_PORT"])
        granian = (sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--port", str(port))
        log = stack.enter_context((Path(place) / "server.log").open("wb"))
        process = subprocess.Popen(
            [*granian, "--loop", "uvloop", "--http", "1", "--no-ws", target],
            env=made.environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            time.sleep(4)
            measure(port, key or made.api_key, connections=16, seconds=2)  # warm
            yield made, port
        finally:
            process.terminate()
            process.wait()


def shown(found: dict[str, Any]) -> str:
    """A measurement in a cell."""
    refused = {status: count for status, count in found["statuses"].items() if status not in ("200", "201")}
    more = f" ({refused} refused)" if refused else ""
    return f"{found['per_second']:.0f}/s, p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms{more}"
