"""The spine: merchants and their keys and accounts, payments, operations, events, callbacks, dead letters.

`payments`, `operations` and `idempotency_keys` are ready for hash partitions by `lp` (the logical partition): every
unique key of theirs leads with it. `events` and `callbacks` are range-partitioned by the day in their UUIDv7 id.
Names that a provider gives to operations live in `provider_references`, a directory of its own, so that their
uniqueness per account does not depend on where a payment lives.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table merchants (
    id uuid primary key,
    name text not null,
    created_at timestamptz not null default now()
);

create table users (
    id uuid primary key,
    email text not null,
    password_hash text not null,                 -- argon2id
    role text not null check (role in ('owner', 'operator', 'viewer')),
    created_at timestamptz not null default now()
);
create unique index users_email on users (lower(email));

create table api_keys (
    id uuid primary key,
    merchant_id uuid not null references merchants,
    livemode boolean not null,
    name text not null,
    prefix text not null,                        -- the first characters, for people
    key_hash bytea not null unique,              -- SHA-256 of the whole key
    resources jsonb,                             -- what a restricted key may read or write; null: everything
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    revoked_at timestamptz
);
create index api_keys_merchant on api_keys (merchant_id, livemode, id desc);

create table accounts (
    id uuid primary key,
    merchant_id uuid not null references merchants,
    provider text not null,
    livemode boolean not null,
    label text not null default '',
    enabled boolean not null default true,
    priority integer not null default 100,
    callback_token text not null unique,
    settings_version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index accounts_merchant on accounts (merchant_id, livemode, priority, created_at);

create table account_settings (
    account_id uuid not null references accounts,
    version integer not null,
    sealed bytea not null,                       -- AES-GCM envelope, bound to this row
    created_at timestamptz not null default now(),
    primary key (account_id, version)
);

create table payments (
    lp smallint not null check (lp between 0 and 255),
    id uuid not null,
    merchant_id uuid not null,
    livemode boolean not null,
    status text not null check (status in ('pending', 'processing', 'requires_action', 'authorized',
                                           'succeeded', 'failed', 'canceled', 'expired')),
    amount bigint not null check (amount > 0),
    currency text not null,
    amount_captured bigint not null default 0 check (amount_captured >= 0),
    amount_refunded bigint not null default 0 check (amount_refunded >= 0),
    amount_refund_reserved bigint not null default 0 check (amount_refund_reserved >= 0),
    country text,
    phone text,                                  -- E.164, for finding payments
    reference text,
    account_id uuid not null,
    provider text not null,
    provider_reference text,
    details jsonb not null,                      -- what never changes and is never searched
    route jsonb not null,                        -- why this account
    next_action jsonb,
    failure jsonb,
    review jsonb,
    sequence integer not null check (sequence > 0),
    expires_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lp, id)
) with (fillfactor = 80);
create index payments_merchant on payments (merchant_id, livemode, id desc);
create index payments_review on payments (id) where review is not null;
create index payments_open on payments (expires_at) where status in ('pending', 'processing', 'requires_action');

create table operations (
    lp smallint not null check (lp between 0 and 255),
    id uuid not null,
    payment_id uuid not null,
    merchant_id uuid not null,
    account_id uuid not null,
    provider text not null,
    settings_version integer not null,
    verb text not null check (verb in ('charge', 'authorize', 'confirm', 'capture', 'void', 'refund', 'payout',
                                       'query')),
    state text not null check (state in ('prepared', 'sent', 'succeeded', 'authorized', 'action_required', 'pending',
                                         'declined', 'unknown', 'not_sent', 'lapsed', 'late_succeeded')),
    amount bigint not null check (amount > 0),
    currency text not null,
    reference text not null,                     -- our name for it at the provider
    provider_reference text,
    target_id uuid,                              -- what confirm, capture, void, refund and query refer to
    secret_input bytea,                          -- an OTP, sealed; gone when the operation is final
    fence integer not null default 0,            -- grows with every claim
    sends integer not null default 0,
    owner text,                                  -- the process that holds the lease
    lease_until timestamptz,
    sent_at timestamptz,
    answered_at timestamptz,
    next_publish_at timestamptz,                 -- while prepared: when the sweeper publishes it (again)
    publishes integer not null default 0,
    next_query_at timestamptz,                   -- while unsettled: when the provider is asked
    queries integer not null default 0,
    asked_at timestamptz,                        -- when the last query was prepared
    evidence jsonb,                              -- the last outcome, masked
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (lp, id)
) with (fillfactor = 70);
create index operations_payment on operations (lp, payment_id);
create unique index operations_reference on operations (lp, account_id, reference) where verb <> 'query';
create unique index operations_one_live_charge on operations (lp, payment_id)
    where verb in ('charge', 'authorize')
      and state in ('prepared', 'sent', 'unknown', 'pending', 'action_required', 'authorized', 'succeeded');
create unique index operations_one_live_confirm on operations (lp, payment_id)
    where verb = 'confirm' and state in ('prepared', 'sent', 'unknown', 'pending');
create unique index operations_one_live_capture_or_void on operations (lp, payment_id)
    where verb in ('capture', 'void') and state in ('prepared', 'sent', 'unknown', 'pending');
create unique index operations_one_live_payout on operations (lp, payment_id)
    where verb = 'payout' and state in ('prepared', 'sent', 'unknown', 'pending', 'action_required', 'succeeded');
create unique index operations_one_live_query on operations (lp, target_id)
    where verb = 'query' and state in ('prepared', 'sent');
create index operations_unpublished on operations (next_publish_at) where next_publish_at is not null;
create index operations_prepared on operations (account_id, id) where state = 'prepared';
create index operations_leased on operations (lease_until) where state = 'sent';
create index operations_to_ask on operations (next_query_at) where next_query_at is not null;

create table provider_references (
    account_id uuid not null,
    provider_reference text not null,
    operation_id uuid not null,
    primary key (account_id, provider_reference)
);

create table idempotency_keys (
    lp smallint not null check (lp between 0 and 255),
    merchant_id uuid not null,
    livemode boolean not null,
    root_id uuid not null,                       -- nil for creation, else the payment that a follow-up belongs to
    key text not null,
    fingerprint bytea not null,
    object_id uuid not null,
    response bytea,                              -- null for creation: the answer is rebuilt from the payment
    created_at timestamptz not null,
    primary key (lp, merchant_id, livemode, root_id, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

create table events (
    id uuid not null,
    seq bigint generated by default as identity, -- drawn under the root's lock: orders the events of one root
    merchant_id uuid not null,
    livemode boolean not null,
    root_id uuid not null,
    object_id uuid not null,
    type text not null,
    sequence integer not null,
    body bytea not null,
    position bigint,                             -- given by the relay after commit; readers' cursor
    created_at timestamptz not null,
    primary key (id)
) partition by range (id);
create index events_unpositioned on events (seq) where position is null;
create index events_position on events (position) where position is not null;
create index events_feed on events (merchant_id, livemode, position) where position is not null;
create index events_object on events (object_id, sequence);

create table relay (
    id smallint primary key check (id = 1),
    leader text,
    lease_until timestamptz not null default '-infinity',
    fence bigint not null default 0,
    next_position bigint not null default 1,
    published_position bigint not null default 0
);
insert into relay (id) values (1);

create table callbacks (
    id uuid not null,
    merchant_id uuid not null,
    account_id uuid not null,
    provider text not null,
    operation_id uuid,                           -- from the path, where the provider takes a URL per request
    method text not null,
    query text not null,
    headers jsonb not null,                      -- only those that the provider's spec names
    body bytea not null,
    state text not null check (state in ('received', 'parked', 'processed')),
    result text,                                 -- once processed, what became of it
    event_key text,                              -- the provider's event id, or a digest: duplicates are counted by it
    parked_reference text,
    next_publish_at timestamptz,
    publishes integer not null default 0,
    received_at timestamptz not null,
    processed_at timestamptz,
    primary key (id)
) partition by range (id);
create index callbacks_unhandled on callbacks (next_publish_at) where state in ('received', 'parked');
create index callbacks_parked on callbacks (account_id, parked_reference) where state = 'parked';
create index callbacks_event_key on callbacks (account_id, event_key) where event_key is not null;
create index callbacks_operation on callbacks (operation_id) where operation_id is not null;
create index callbacks_merchant on callbacks (merchant_id, id desc);

create table audit_events (
    id uuid not null,
    merchant_id uuid not null,
    livemode boolean not null,
    actor text not null,
    action text not null,
    object_id text not null,
    ip text,
    request_id text,
    outcome text not null,
    changes jsonb not null,
    created_at timestamptz not null,
    primary key (id)
) partition by range (id);
create index audit_events_merchant on audit_events (merchant_id, livemode, id desc);
create index audit_events_object on audit_events (merchant_id, object_id, id desc);

create table dead_letters (
    id uuid primary key,
    topic text not null,
    partition integer not null,
    "offset" bigint not null,
    consumer_group text not null,
    key bytea,
    value bytea,
    headers jsonb not null,
    error_class text not null,
    error text not null,
    created_at timestamptz not null default now(),
    replayed_at timestamptz,
    unique (topic, partition, "offset", created_at)
);
"""

DAY_PARTITIONED = ("events", "callbacks", "audit_events")


def upgrade() -> None:
    """Create everything. Day partitions are made by `mypay migrate` afterwards and kept up by the sweeper."""
    for statement in TABLES.strip().removesuffix(";").split(";\n"):  # asyncpg prepares one statement at a time
        op.execute(statement)
    for table in DAY_PARTITIONED:
        op.execute(f"create table {table}_default partition of {table} default")


def downgrade() -> None:
    """Drop everything that `upgrade` made, day partitions included."""
    for table in (
        "dead_letters",
        "audit_events",
        "callbacks",
        "relay",
        "events",
        "idempotency_keys",
        "provider_references",
        "operations",
        "payments",
        "account_settings",
        "accounts",
        "api_keys",
        "users",
        "merchants",
    ):
        op.execute(f"drop table {table} cascade")
