"""What must hold before a process takes work: a database that answers, our schema, our key.

Checked once, by the command, so that each fault is one sentence on the terminal and not a stack in a log.
"""

import asyncio
import socket
from typing import Literal

import structlog

from gateway import crash_points, logs
from gateway.sealing import SealBroken, Sealer
from gateway.settings import Settings, place, weak_secrets
from gateway.store import credentials, directory
from gateway.store.database import DATABASE_FAILED, Connection, connect
from gateway.store.migrate import SchemaError, check_schema

log = structlog.get_logger(__name__)


class StartupError(Exception):
    """The process cannot start; the message is one sentence that says what to change."""


def check(settings: Settings) -> None:
    """Set logging up and check. Raises `StartupError` and `SettingsError`."""
    crash_points.arm(settings.mypay_env)
    try:
        logs.configure(settings.log_file)
    except OSError as error:
        raise StartupError(f"LOG_FILE {settings.log_file} cannot be written: {error.strerror}.") from error
    if weak := weak_secrets(settings):
        log.warning("settings.weak_secrets", variables=weak, note="accepted only with MYPAY_ENV=development")
    try:
        asyncio.run(_check(settings))
    except SchemaError as error:
        raise StartupError(str(error)) from error
    except SealBroken as error:
        raise StartupError(f"SECRET_KEY is not the one that sealed this database's credentials: {error}") from error
    except DATABASE_FAILED as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        where = place(settings.database_uri)
        raise StartupError(f"The database {where} (DATABASE_URI) does not answer: {reason}.") from error


def check_address(what: Literal["API", "worker"], host: str, port: int) -> None:
    """Check that it can listen where it shall. Raises `StartupError`."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        variables = f"{what.upper()}_HOST, {what.upper()}_PORT"
        raise StartupError(f"The {what} cannot listen on {host}, port {port} ({variables}): {reason}.") from error


async def _check(settings: Settings) -> None:
    connection = await connect(settings)
    try:
        await check_schema(connection)
        await opens_what_is_sealed(connection, Sealer(*settings.keys("seal")))
    finally:
        await connection.close()


async def opens_what_is_sealed(connection: Connection, sealer: Sealer) -> None:
    """Open one of the stored credentials, under a key that we may lack if there is such. Raises `SealBroken`."""
    sample = await directory.some_sealed_settings(connection, sealer.known)
    if sample is not None:
        account, sealed = sample
        credentials.open_settings(
            sealer,
            sealed,
            provider=account.provider,
            account_id=account.id,
            version=account.settings_version,
            merchant_id=account.merchant_id,
        )
