-- Proving who one is, beyond a password: an address that was confirmed, links that are sent by mail and work once, keys that
-- sign access tokens and are replaced while the platform runs, and tries to log in that are counted for every process.
alter table users
    add column email_verified_at timestamptz,
    -- Goes up when every login of the person ends. Whoever began to log in before that does not come in after it.
    add column epoch integer not null default 0;
-- Who was here before was trusted before.
update users set email_verified_at = created_at;

-- By the machine's time, like all times of sessions and tokens; none: not since it began.
alter table sessions add column last_seen_at timestamptz;

-- A program that is logged in. Its refresh tokens follow each other; to end it is to end them and its access tokens.
create table token_families (
    id uuid primary key,
    user_id uuid not null references users (id),
    address text,
    user_agent text,
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz
);
create index token_families_by_user on token_families (user_id) where ended_at is null;
create index token_families_by_expiry on token_families (expires_at);
insert into token_families (id, user_id, created_at, last_seen_at, expires_at, ended_at)
    select family, user_id, min(created_at), max(created_at), max(expires_at), max(revoked_at)
    from refresh_tokens group by family, user_id on conflict do nothing;

-- Keys that sign access tokens, encrypted like all secrets. A token names its key; a key that is gone verifies nothing.
create table token_keys (
    id uuid primary key,
    secret_encrypted text not null,
    created_at timestamptz not null
);

-- Links that were sent by mail. Each proves that somebody reads the mailbox, once. Only the hash of its token is kept.
create table account_links (
    id uuid primary key,
    user_id uuid not null references users (id),
    purpose text not null constraint account_links_purpose_known check (purpose in ('verify_email', 'change_email', 'reset_password')),
    -- The address that it was sent to.
    email text not null constraint account_links_email_length check (length(email) between 3 and 254),
    token_hash bytea not null constraint account_links_token_once unique,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);
create index account_links_by_user on account_links (user_id, purpose, created_at);
create index account_links_by_expiry on account_links (expires_at);

-- Somebody forgot his password, or says so. Written down for known and unknown addresses alike, so that both take as long; a
-- worker finds out which it is and writes the mail.
create table reset_requests (
    id uuid primary key,
    email text not null constraint reset_requests_email_length check (length(email) <= 254),
    address text,
    request_id text,
    created_at timestamptz not null
);

-- Tries to log in that failed, by keyed hashes of account, network and device: the table names nobody.
create table login_limits (
    key bytea primary key,
    -- In the window that ends then.
    failures integer not null constraint login_limits_failures_positive check (failures >= 0),
    window_ends_at timestamptz not null,
    -- How often in a row it came to a delay.
    level integer not null constraint login_limits_level_positive check (level >= 0),
    blocked_until timestamptz,
    forget_at timestamptz not null
);
create index login_limits_by_forgetting on login_limits (forget_at);

-- Devices and networks from which somebody has logged in before: what strangers do elsewhere does not keep him waiting there.
create table known_places (
    user_id uuid not null references users (id),
    place bytea not null,
    last_login_at timestamptz not null,
    primary key (user_id, place)
);
create index known_places_by_login on known_places (last_login_at);

-- What only the recipient of a mail may read, such as the link that sets a new password: it is put into the text as the mail
-- leaves, and is not shown to operators.
alter table mails add column secret_encrypted text;
