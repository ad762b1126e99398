"""Real PostgreSQL, Apache Kafka and Valkey as local processes, from wheels: no Docker, no Java, no root needed.

Each part keeps everything below one directory, listens on 127.0.0.1 only, and starts over whatever a `kill -9` of
itself or of its owner left there. Kafka and Valkey take any local connection; PostgreSQL asks for a password, because
its superuser may run programs. This is for development and tests, not for production.
"""

import platform
import sys
from importlib.util import find_spec

from gateway.embedded.kafka import EmbeddedKafka
from gateway.embedded.part import Part
from gateway.embedded.postgres import EmbeddedPostgres
from gateway.embedded.valkey import EmbeddedValkey
from gateway.processes import ProcessError

__all__ = ["EmbeddedKafka", "EmbeddedPostgres", "EmbeddedValkey", "Part", "check_platform"]

_ELSEWHERE = "use `docker compose up`, or your own servers with the settings in .env.example"


def check_platform() -> None:
    """Raise `ProcessError` with one sentence where the embedded parts cannot run."""
    if (sys.platform, platform.machine(), platform.libc_ver()[0]) != ("linux", "x86_64", "glibc"):
        raise ProcessError(f"The embedded PostgreSQL, Kafka and Valkey need Linux on x86-64 with glibc: {_ELSEWHERE}.")
    wheels = [wheel for part in (EmbeddedPostgres, EmbeddedKafka, EmbeddedValkey) for wheel in part.wheels]
    missing = [wheel for wheel in wheels if find_spec(wheel) is None]
    if missing:
        raise ProcessError(f"Not installed: {', '.join(missing)}; install mypay[embedded], or {_ELSEWHERE}.")
