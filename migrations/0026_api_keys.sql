-- Programs act for an organisation with keys of their own: each may do a part of what its maker may, from some networks, until
-- a day, and spend so much a day. Of a key only the hash is kept, so a copy of the table opens no door.
create table api_keys (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    -- Who made it: it may never do more than he may, and nothing once he is gone.
    user_id uuid not null references users (id),
    name text not null constraint api_keys_name_length check (length(name) between 1 and 64),
    -- How it begins, so that people can tell keys apart.
    prefix text not null constraint api_keys_prefix_length check (length(prefix) = 12),
    key_hash bytea not null constraint api_keys_hash_once unique constraint api_keys_hash_length check (octet_length(key_hash) = 32),
    -- Patterns of permissions, as in roles.
    permissions text[] not null constraint api_keys_permissions_count check (cardinality(permissions) between 1 and 64),
    -- From where it may be used; empty: from anywhere.
    networks cidr[] not null constraint api_keys_networks_count check (cardinality(networks) <= 32),
    -- The most that its machines may cost in a day; null: no limit of its own.
    daily_limit numeric(20, 6) constraint api_keys_limit_positive check (daily_limit > 0),
    created_at timestamptz not null,
    -- By the time of the machinery, as for sessions; null: never.
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_address text,
    -- When it was last written down that it was used from a wrong network.
    refused_at timestamptz,
    revoked_at timestamptz,
    constraint api_keys_expires_later check (expires_at > created_at),
    constraint api_keys_of_one_organisation unique (organisation_id, id)
);
create unique index api_keys_name_once on api_keys (organisation_id, lower(name)) where revoked_at is null;
create index api_keys_by_user on api_keys (user_id);

-- Which machines a key has ordered or made dearer: what they cost is counted against its limit as long as they exist.
create table api_key_vms (
    organisation_id uuid not null,
    api_key_id uuid not null,
    vm_id uuid not null references vms (id),
    since timestamptz not null,
    -- What the key last asked it to run up per hour: counted while a job is still at work on it.
    rate numeric(20, 10) not null constraint api_key_vms_rate_not_negative check (rate >= 0),
    primary key (api_key_id, vm_id),
    constraint api_key_vms_of_own_organisation foreign key (organisation_id, api_key_id) references api_keys (organisation_id, id)
);
create index api_key_vms_by_vm on api_key_vms (vm_id);
