"""What watching needs: traces carried by rows, outcomes counted by what told us, indexes for the gauges."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    "alter table payments add column traceparent text",  # W3C Trace Context of the request that made it
    "alter table events add column traceparent text",  # and of what made the event true
    """
    create table outcome_sources (
        account_id uuid not null,
        hour timestamptz not null,
        merchant_id uuid not null,
        answers bigint not null default 0,           -- outcomes that came with the provider's answer
        callbacks bigint not null default 0,         -- by callback, or by the query that one caused
        queries bigint not null default 0,           -- by a query of our own
        callback_lag_ms bigint not null default 0,   -- of those by callback, together
        primary key (account_id, hour)
    )
    """,
    "create index outcome_sources_hour on outcome_sources (hour)",
    "create index operations_unknown on operations (sent_at) where state = 'unknown'",
    "create index dead_letters_open on dead_letters (id) where replayed_at is null",
)
DOWN: tuple[str, ...] = (
    "drop index dead_letters_open",
    "drop index operations_unknown",
    "drop table outcome_sources",
    "alter table events drop column traceparent",
    "alter table payments drop column traceparent",
)


def upgrade() -> None:
    """Apply it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    for statement in DOWN:
        op.execute(statement)
