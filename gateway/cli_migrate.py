"""`mypay migrate`, and the same step of `mypay up`: a failure is one sentence that names the database."""

import asyncpg
from sqlalchemy.exc import DBAPIError

from gateway.settings import place
from gateway.store.migrate import SchemaError, code_revision, migrate
from gateway.supervisor import SupervisorError


def run(database_uri: str) -> str:
    """Bring the database to this version's schema; says so. Raises `SupervisorError` when it cannot."""
    where = place(database_uri)
    try:
        migrate(database_uri)
    except SchemaError as error:
        raise SupervisorError(str(error)) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, DBAPIError) as error:
        raise SupervisorError(f"The database {where} could not be migrated: {_cause(error)}") from error
    return f"The database {where} is at revision {code_revision()}."


def _cause(error: BaseException) -> str:
    """The first line of the innermost reason: drivers wrap it, and add their own advice below."""
    reason = error.__cause__ if error.__cause__ is not None else error
    return (str(reason).strip() or type(reason).__name__).splitlines()[0].rstrip(".") + "."
