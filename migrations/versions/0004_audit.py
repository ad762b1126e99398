"""The audit chain and its anchors, routing rules, what account checks found, exchanges with providers, list indexes."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    # A sealed row has a place in the chain of its merchant and mode; the sealer gives it after the commit.
    "alter table audit_events add column position bigint, add column prev_hash bytea, add column hash bytea",
    "create index audit_events_unsealed on audit_events (created_at, id) where position is null",
    "create index audit_events_chain on audit_events (merchant_id, livemode, position, id) where position is not null",
    """
    create table audit_anchors (
        merchant_id uuid not null,
        livemode boolean not null,
        position bigint not null,                    -- of the last row that it covers
        hash bytea not null,                         -- that row's
        signature bytea not null,                    -- HMAC under SECRET_KEY
        created_at timestamptz not null,
        primary key (merchant_id, livemode, position)
    )
    """,
    """
    create table routing_rules (
        merchant_id uuid not null references merchants,
        livemode boolean not null,
        version integer not null check (version > 0),
        rules jsonb not null,
        created_at timestamptz not null,
        primary key (merchant_id, livemode, version)
    )
    """,
    "alter table accounts add column last_check jsonb",
    """
    create table exchanges (
        id uuid not null,
        merchant_id uuid not null,
        operation_id uuid not null,
        method text not null,
        path text not null,                          -- masked, as all text here is
        request text not null,                       -- the beginning of the body
        status integer,                              -- null: no answer
        response text,
        failure text,                                -- why there was no answer
        duration_ms integer not null,
        sent_at timestamptz not null,
        primary key (id)
    ) partition by range (id)
    """,
    "create table exchanges_default partition of exchanges default",
    "create index exchanges_operation on exchanges (operation_id)",
    # One-time passwords, few at any time: what a new SECRET_KEY must reach.
    "create index operations_secret_input on operations (id) where secret_input is not null",
    # Whom a dead letter concerns; null: it names no object of a merchant's, and operators alone see it.
    "alter table dead_letters add column merchant_id uuid, add column livemode boolean",
    "create index dead_letters_merchant on dead_letters (merchant_id, livemode, created_at desc, id desc)",
    # Lists: what is searched for one by one, and the statuses that are few among many payments.
    """
    create index payments_reference on payments (merchant_id, livemode, kind, reference, id desc)
     where reference is not null
    """,
    "create index payments_phone on payments (merchant_id, livemode, kind, phone, id desc) where phone is not null",
    """
    create index payments_exceptions on payments (merchant_id, livemode, kind, id desc)
     where status in ('authorized', 'failed', 'canceled', 'expired')
    """,
)
DOWN: tuple[str, ...] = (
    "drop index payments_exceptions",
    "drop index payments_phone",
    "drop index payments_reference",
    "drop index dead_letters_merchant",
    "alter table dead_letters drop column livemode, drop column merchant_id",
    "drop index operations_secret_input",
    "drop table exchanges",
    "alter table accounts drop column last_check",
    "drop table routing_rules",
    "drop table audit_anchors",
    "drop index audit_events_chain",
    "drop index audit_events_unsealed",
    "alter table audit_events drop column hash, drop column prev_hash, drop column position",
)


def upgrade() -> None:
    """Apply it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    for statement in DOWN:
        op.execute(statement)
