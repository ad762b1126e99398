"""Refunds, and payouts beside payments.

A payout lives in `payments` (`kind`), because it lives by the same rules: accepted, claimed, asked about, settled. A
refund is a row of its own, with the id of the operation that performs it.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UP = (
    "alter table payments add column kind text not null default 'payment' check (kind in ('payment', 'payout'))",
    "alter table payments alter column expires_at drop not null",  # a payout never expires
    "drop index payments_merchant",
    "create index payments_merchant on payments (merchant_id, livemode, kind, id desc)",
    """
    create table refunds (
        lp smallint not null check (lp between 0 and 255),
        id uuid not null,                            -- that of its operation
        payment_id uuid not null,
        merchant_id uuid not null,
        livemode boolean not null,
        account_id uuid not null,
        provider text not null,
        status text not null check (status in ('pending', 'processing', 'succeeded', 'failed')),
        amount bigint not null check (amount > 0),
        currency text not null,
        reason text,
        metadata jsonb not null,
        provider_reference text,
        failure jsonb,
        review jsonb,
        sequence integer not null check (sequence > 0),
        created_at timestamptz not null,
        updated_at timestamptz not null,
        primary key (lp, id)
    ) with (fillfactor = 80)
    """,
    "create index refunds_payment on refunds (lp, payment_id)",
    "create index refunds_merchant on refunds (merchant_id, livemode, id desc)",
)
DOWN = (
    "drop table refunds",
    "delete from operations where verb = 'payout' or payment_id in (select id from payments where kind = 'payout')",
    "delete from payments where kind = 'payout'",
    "drop index payments_merchant",
    "create index payments_merchant on payments (merchant_id, livemode, id desc)",
    "alter table payments alter column expires_at set not null",
    "alter table payments drop column kind",
)


def upgrade() -> None:
    """Apply it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it back: what only it can hold is lost."""
    for statement in DOWN:
        op.execute(statement)
