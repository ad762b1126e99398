"""This machine, and what it was told: free disk space, the settings, and the keys."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from gateway.sealing import SealBroken, Sealer
from gateway.settings import Settings, weak_secrets
from gateway.startup import opens_what_is_sealed
from gateway.store import sealed
from streams.doctor.examination import Examination
from streams.doctor.findings import Fault, Finding, Level, those

DISK_WARN: Final = 2 * 1024**3
DISK_FAIL: Final = 256 * 1024**2
_GB: Final = 1024**3


async def disk(at: Examination) -> list[Finding]:
    """How much room there is where this process writes. The database's own disk only its server can see."""
    directory = Path(at.settings.log_file).parent if at.settings.log_file else Path.cwd()
    free = (await asyncio.to_thread(shutil.disk_usage, directory)).free
    level: Level = "fail" if free < DISK_FAIL else "warn" if free < DISK_WARN else "ok"
    todo = "Make room, or write the logs elsewhere." if level != "ok" else None
    return [Finding("disk", level, f"{free / _GB:.1f} GB free at {directory}.", todo)]


async def settings(at: Examination) -> list[Finding]:
    """What is allowed, and yet unwise."""
    told = at.settings
    unwise: list[Fault] = [(wrong, "warn", what, todo) for wrong, what, todo in _unwise(told)]
    return those("settings", unwise) or [
        Finding("settings", "ok", f"MYPAY_ENV is {told.mypay_env}; the API is at {told.public_url}.")
    ]


def _unwise(told: Settings) -> list[tuple[bool, str, str]]:
    weak, production = weak_secrets(told), told.mypay_env == "production"
    return [
        (bool(weak), f"{' and '.join(weak)}: too short for production.", "Make longer ones: openssl rand -base64 32"),
        (
            production and not told.public_url.startswith("https://"),
            f"PUBLIC_URL is {told.public_url}: providers cannot call back there over TLS.",
            "Set PUBLIC_URL to the https address under which providers reach the API.",
        ),
        (production and told.metrics_token is None, "METRICS_TOKEN is not set: anybody may read /metrics.", _TOKEN),
        (production and told.pace != 1.0, f"PACE is {told.pace:g}.", "Leave PACE out: it is for tests."),
        (
            os.access(".env", os.R_OK) and bool(Path(".env").stat().st_mode & 0o077),
            "Others on this machine may read .env.",
            "chmod 600 .env",
        ),
    ]


_TOKEN: Final = "Set METRICS_TOKEN, or let the proxy refuse /metrics."  # noqa: S105 - words


async def keys(at: Examination) -> list[Finding]:
    """Whether SECRET_KEY opens what is sealed, and how far its replacement has come."""
    sealer = Sealer(*at.settings.keys("seal"))
    async with at.database() as connection:
        try:
            await opens_what_is_sealed(connection, sealer)
        except SealBroken as error:
            todo = "Start with the SECRET_KEY that sealed it, or name that one in SECRET_KEY_PREVIOUS."
            return [Finding("keys", "fail", f"SECRET_KEY does not open what is sealed: {error}", todo)]
        waiting = sum([await sealed.stale(connection, column, sealer) for column in sealed.COLUMNS])
    if waiting:
        found = f"SECRET_KEY opens what is sealed; {waiting} secrets are still under another key."
        return [Finding("keys", "warn", found, "Run `mypay keys rotate`.")]
    if at.settings.secret_key_previous is not None:
        todo = "Leave it out 31 days after the last `mypay keys rotate`."
        return [Finding("keys", "warn", "Nothing is sealed under SECRET_KEY_PREVIOUS any more.", todo)]
    return [Finding("keys", "ok", "SECRET_KEY opens what is sealed.")]
