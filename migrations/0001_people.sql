-- People and what they own. Every person gets an organisation at sign-up; everything a customer has belongs to one.
create extension if not exists btree_gist;

create table organisations (
    id uuid primary key,
    number bigint generated always as identity unique,
    name text not null constraint organisations_name_length check (length(name) between 1 and 80),
    created_at timestamptz not null
);

create table users (
    id uuid primary key,
    number bigint generated always as identity unique,
    email text not null constraint users_email_length check (length(email) between 3 and 254),
    name text not null constraint users_name_length check (length(name) between 1 and 80),
    password_hash text not null,
    -- Staff have a platform role; customers have none.
    platform_role text constraint users_platform_role_known check (platform_role in ('admin', 'operator', 'support')),
    created_at timestamptz not null
);
-- One account per mailbox, however it is typed.
create unique index users_email_once on users (lower(email));

create table members (
    organisation_id uuid not null references organisations (id),
    user_id uuid not null references users (id),
    role text not null constraint members_role_known check (role in ('owner', 'admin', 'operator', 'billing', 'viewer')),
    created_at timestamptz not null,
    primary key (organisation_id, user_id)
);
create index members_by_user on members (user_id);

-- A web session. Only the hash of its token is kept, so a copy of the table opens no door.
create table sessions (
    id uuid primary key,
    user_id uuid not null references users (id),
    organisation_id uuid references organisations (id),
    token_hash bytea not null unique,
    csrf_token text not null,
    address text,
    user_agent text,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index sessions_by_user on sessions (user_id);
create index sessions_by_expiry on sessions (expires_at);

-- Refresh tokens of the API: each is used once and replaced by the next of its family. A second use ends the family.
create table refresh_tokens (
    id uuid primary key,
    family uuid not null,
    user_id uuid not null references users (id),
    token_hash bytea not null unique,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    revoked_at timestamptz
);
create index refresh_tokens_by_family on refresh_tokens (family);
create index refresh_tokens_by_expiry on refresh_tokens (expires_at);
