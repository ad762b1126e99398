"""Retention: where feeds begin, where audit chains begin, and indexes of what is not final."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    """
    create table dropped_events (                    -- a cursor before it is told so
        merchant_id uuid not null,
        livemode boolean not null,
        position bigint not null,                    -- the newest one that was dropped
        primary key (merchant_id, livemode)
    )
    """,
    # The anchor with which a chain begins: the rows up to it were dropped for their age. Signed as such.
    "alter table audit_anchors add column is_floor boolean not null default false",
    "create index payments_authorized on payments (id) where status = 'authorized'",
    "create index refunds_open on refunds (payment_id) where status in ('pending', 'processing')",
    "create index dead_letters_age on dead_letters using brin (created_at)",
)
DOWN: tuple[str, ...] = (
    "drop index dead_letters_age",
    "drop index refunds_open",
    "drop index payments_authorized",
    "alter table audit_anchors drop column is_floor",
    "drop table dropped_events",
)


def upgrade() -> None:
    """Apply it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    for statement in DOWN:
        op.execute(statement)
