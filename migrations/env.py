"""Alembic's entry: runs the migrations on the connection that `gateway.store.migrate` hands over."""

from collections.abc import Collection, Mapping

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection

from gateway.store.migrate import oldest_code
from gateway.store.tables import Table


def leave_oldest_code(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[object], run_args: Mapping[str, object]
) -> None:
    """With each step, in its transaction: say which code can use the schema, to code that does not know it yet."""
    at = step.destination_revision_ids
    oldest = oldest_code(context.script, at[0] if at else None)
    assert ctx.connection is not None
    ctx.connection.exec_driver_sql(f"comment on table alembic_version is '{oldest or ''}'")


def run(connection: Connection) -> None:
    """Run what the command asked for, each migration in a transaction of its own."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        transaction_per_migration=True,
        on_version_apply=leave_oldest_code,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is None:
    # The lock, the timeouts and the day partitions are there only on the one way in.
    raise CommandError("Migrations run through `mypay migrate`.")
run(handed_over)
