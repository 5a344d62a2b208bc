-- A password alone opens too much. A person may set up a second proof of who he is: codes of an app, passkeys, and codes on
-- paper for the day when neither is at hand. An organisation may demand it of its members, the platform of its staff, and
-- what is dangerous demands that somebody has proved a moment ago that it is still him.

-- The secret of a person's app. It counts once a code has shown that the app has it. A code is good once, so the step of the
-- last one is kept.
create table totp_secrets (
    user_id uuid primary key constraint totp_secrets_user references users (id),
    secret_encrypted text not null,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    last_step bigint not null default 0 constraint totp_secrets_step_not_negative check (last_step >= 0)
);

-- Only hashes are kept, so a copy of the table opens no door.
create table recovery_codes (
    id uuid primary key,
    user_id uuid not null constraint recovery_codes_user references users (id),
    code_hash bytea not null,
    created_at timestamptz not null,
    used_at timestamptz,
    constraint recovery_codes_once unique (user_id, code_hash)
);

-- A passkey: the public half of a key pair whose private half never leaves the person's device.
create table passkeys (
    id uuid primary key,
    user_id uuid not null constraint passkeys_user references users (id),
    name text not null constraint passkeys_name_length check (length(name) between 1 and 60),
    credential_id bytea not null constraint passkeys_once unique,
    credential jsonb not null,
    created_at timestamptz not null,
    last_used_at timestamptz
);
create index passkeys_by_user on passkeys (user_id);

-- What a browser was asked to sign, until it answers, as the library of passkeys keeps it. Without a person it is a login
-- that begins with a passkey.
create table passkey_ceremonies (
    id uuid primary key,
    user_id uuid constraint passkey_ceremonies_user references users (id),
    purpose text not null constraint passkey_ceremonies_purpose_known check (purpose in ('add', 'prove', 'log in')),
    state jsonb not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index passkey_ceremonies_by_expiry on passkey_ceremonies (expires_at);

-- Somebody who knew the password and has not shown his second factor yet.
create table pending_logins (
    id uuid primary key,
    user_id uuid not null constraint pending_logins_user references users (id),
    token_hash bytea not null constraint pending_logins_token_once unique,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index pending_logins_by_user on pending_logins (user_id);
create index pending_logins_by_expiry on pending_logins (expires_at);

-- Wrong codes of a person since his last right one, and until when no further one is looked at.
create table second_factor_tries (
    user_id uuid primary key constraint second_factor_tries_user references users (id),
    failures integer not null constraint second_factor_tries_failures_not_negative check (failures >= 0),
    failed_at timestamptz not null,
    blocked_until timestamptz
);

-- When somebody last proved in this login who he is.
alter table sessions add column confirmed_at timestamptz;
alter table refresh_tokens add column confirmed_at timestamptz;

alter table organisations add column second_factor_required boolean not null default false;

-- Staff hold everybody's machines and money, so a new platform demands it of them. Where staff work already, they would be
-- stopped in the midst of it: there an admin switches it on.
alter table settings add column staff_second_factor boolean not null default true;
update settings set staff_second_factor = not exists (select 1 from users where platform_role is not null);
