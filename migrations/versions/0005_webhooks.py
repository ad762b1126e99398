"""Webhook endpoints, deliveries and their attempts.

Deliveries and attempts are partitioned by the day in the id of their event, so that they can be dropped with it.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    """
    create table webhook_endpoints (
        id uuid primary key,
        merchant_id uuid not null references merchants,
        livemode boolean not null,
        url text not null,
        events text[] not null,                      -- types, families ("payment.*"), or "*"
        description text,
        status text not null check (status in ('enabled', 'disabled')),
        disabled_reason text,
        secret_version integer not null default 1,
        sealed bytea not null,                       -- what signs, AES-GCM envelope, bound to this row and version
        previous_sealed bytea,                       -- that of version - 1, which signs too until the overlap ends
        previous_expires_at timestamptz,
        sequence integer not null default 0,         -- of the last event about this endpoint
        backlog_cursor bigint,                       -- not null: the relay makes no rows; the position rows reach to
        created_at timestamptz not null,
        updated_at timestamptz not null
    )
    """,
    "create index webhook_endpoints_merchant on webhook_endpoints (merchant_id, livemode, id desc)",
    """
    create table webhook_deliveries (
        event_id uuid not null,
        endpoint_id uuid not null,
        id uuid not null,                            -- with the event's time, so that it leads to the partition
        merchant_id uuid not null,
        livemode boolean not null,
        status text not null default 'pending' check (status in ('pending', 'delivered', 'failed', 'canceled')),
        attempt integer not null default 0,          -- the number of the last one begun; fences their results
        schedule_from integer not null default 0,    -- attempts before the last retry or replay
        next_attempt_at timestamptz,                 -- while pending; during an attempt: when it is taken for lost
        created_at timestamptz not null,
        updated_at timestamptz not null,
        primary key (event_id, endpoint_id)
    ) partition by range (event_id)
    """,
    """
    create index webhook_deliveries_due on webhook_deliveries (endpoint_id, next_attempt_at)
        where next_attempt_at is not null
    """,
    "create index webhook_deliveries_endpoint on webhook_deliveries (endpoint_id, id)",
    "create table webhook_deliveries_default partition of webhook_deliveries default",
    """
    create table webhook_attempts (
        event_id uuid not null,
        endpoint_id uuid not null,
        attempt integer not null,
        merchant_id uuid not null,
        started_at timestamptz not null,
        duration_ms integer not null,
        response_status integer,                     -- null: there was no answer
        error text,                                  -- then why
        response_excerpt text,                       -- masked
        primary key (event_id, endpoint_id, attempt)
    ) partition by range (event_id)
    """,
    "create table webhook_attempts_default partition of webhook_attempts default",
)
DOWN: tuple[str, ...] = (
    "drop table webhook_attempts",
    "drop table webhook_deliveries",
    "drop table webhook_endpoints",
)


def upgrade() -> None:
    """Apply it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    for statement in DOWN:
        op.execute(statement)
