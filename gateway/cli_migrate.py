"""`mypay migrate`, and the same step of `mypay up`: a failure is one sentence that names the database."""

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

from gateway.settings import place
from gateway.store.migrate import SchemaError, code_revision, migrate
from gateway.supervisor import SupervisorError

LOCK_NOT_AVAILABLE: Final = "55P03"


def run(database_uri: str, grant_to: str | None = None) -> str:
    """Bring the database to this version's schema; says so. Raises `SupervisorError` when it cannot."""
    where = place(database_uri)
    try:
        migrate(database_uri, grant_to=grant_to)
    except SchemaError as error:
        raise SupervisorError(str(error)) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, DBAPIError) as error:
        raise SupervisorError(f"The database {where} could not be migrated: {_cause(error)}{_advice(error)}") from error
    return f"The database {where} is at revision {code_revision()}."


def _advice(error: BaseException) -> str:
    """What to do when a table was too busy; nothing of that migration remains."""
    busy = getattr(getattr(error, "orig", error), "sqlstate", None) == LOCK_NOT_AVAILABLE
    return " Nothing of that migration remains: run it again at a quieter time." if busy else ""


def _cause(error: BaseException) -> str:
    """The first line of the innermost reason: drivers wrap it, and add their own advice below."""
    reason = error.__cause__ if error.__cause__ is not None else error
    return (str(reason).strip() or type(reason).__name__).splitlines()[0].rstrip(".") + "."
