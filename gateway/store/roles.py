"""Least privilege: the role that processes log in as reads and writes rows, and changes no schema.

`mypay migrate --grant-to ROLE` runs as the tables' owner. The role itself is made by whoever runs the database.
"""

from typing import Final

from gateway.store.database import Connection

_GRANTS: Final = (
    "grant usage on schema public to {role}",
    "grant select, insert, update, delete on all tables in schema public to {role}",
    "grant usage, select on all sequences in schema public to {role}",
    "alter default privileges in schema public grant select, insert, update, delete on tables to {role}",
    "alter default privileges in schema public grant usage, select on sequences to {role}",
    "revoke insert, update, delete on alembic_version from {role}",
    "revoke create on schema public from public, {role}",
)


async def grant(connection: Connection, role: str) -> None:
    """Let `role` do what processes do, with the tables that there are and those to come. Raises asyncpg's errors."""
    quoted = await connection.fetchval("select quote_ident($1)", role)
    async with connection.transaction():
        for statement in _GRANTS:
            await connection.execute(statement.format(role=quoted))
