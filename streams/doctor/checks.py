"""The table of checks, in the order in which they are shown."""

from typing import Final

from streams.doctor import machine, outside, servers, work
from streams.doctor.examination import Check

CHECKS: Final[dict[str, Check]] = {
    "settings": machine.settings,
    "database": servers.database,
    "schema": servers.schema,
    "keys": machine.keys,
    "clock": servers.clock,
    "broker": servers.broker,
    "redis": servers.redis,
    "disk": machine.disk,
    "workers": work.workers,
    "accounts": outside.accounts,
    "callbacks": outside.callbacks,
    "webhooks": outside.webhooks,
    "people": work.people,
}
