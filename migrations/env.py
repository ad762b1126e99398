"""Alembic's entry: runs the migrations on the connection that `gateway.store.migrate` hands over."""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from gateway.store.tables import Table


def run(connection: Connection) -> None:
    """Run what the command asked for, each migration in a transaction of its own."""
    context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is None:
    # The lock, the timeouts and the day partitions are there only on the one way in.
    raise CommandError("Migrations run through `mypay migrate`.")
run(handed_over)
