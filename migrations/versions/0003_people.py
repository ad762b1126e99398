"""People, and what keys may do."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = (
    "alter table merchants add column updated_at timestamptz not null default now()",
    "alter table users add column updated_at timestamptz not null default now()",
    "alter table users add column disabled_at timestamptz",
    "alter table api_keys add column ip_ranges text[]",  # CIDRs; null: from anywhere
    "alter table api_keys add column last_used_at timestamptz",  # to the minute
    """
    create table sessions (                          -- one sign-in: the family of its refresh tokens
        id uuid primary key,
        user_id uuid not null references users,
        created_at timestamptz not null,
        expires_at timestamptz not null,             -- however often it is refreshed
        ended_at timestamptz,
        end_reason text check (end_reason in ('sign_out', 'reuse', 'user_changed'))
    )
    """,
    "create index sessions_user on sessions (user_id) where ended_at is null",
    "create index sessions_expiry on sessions (expires_at)",
    """
    create table refresh_tokens (
        token_hash bytea primary key,                -- SHA-256
        session_id uuid not null references sessions on delete cascade,
        expires_at timestamptz not null,
        used_at timestamptz                          -- each works once; another use ends the session
    )
    """,
    "create index refresh_tokens_session on refresh_tokens (session_id)",
    """
    create table sign_in_attempts (                  -- those that have not succeeded
        subject bytea primary key,                   -- keyed digest of an e-mail address, known or not
        attempts timestamptz[] not null,             -- no more than the limit, and the newest last
        newest timestamptz not null
    )
    """,
    "create index sign_in_attempts_newest on sign_in_attempts (newest)",
    # The limit against card testing counts these. No column of it changes without the status, so updates stay as cheap.
    """
    create index payments_declined_cards on payments (merchant_id, livemode, account_id, id desc)
        where status = 'failed' and details -> 'method' ->> 'type' = 'card'
          and failure ->> 'code' <> 'provider_unavailable'
    """,
)
DOWN = (
    "drop index payments_declined_cards",
    "drop table sign_in_attempts",
    "drop table refresh_tokens",
    "drop table sessions",
    "alter table api_keys drop column last_used_at",
    "alter table api_keys drop column ip_ranges",
    "alter table users drop column disabled_at",
    "alter table users drop column updated_at",
    "alter table merchants drop column updated_at",
)


def upgrade() -> None:
    """Apply it."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    for statement in DOWN:
        op.execute(statement)
