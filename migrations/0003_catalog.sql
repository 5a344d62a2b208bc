-- What is on offer: where, which size, which image, at which price.
create table locations (
    id uuid primary key,
    slug text not null unique,
    name text not null,
    country text not null,
    position integer not null default 0
);

create table plans (
    id uuid primary key,
    slug text not null unique,
    name text not null,
    vcpu integer not null constraint plans_vcpu_range check (vcpu between 1 and 512),
    memory_mib integer not null constraint plans_memory_range check (memory_mib between 128 and 8388608),
    disk_gib integer not null constraint plans_disk_range check (disk_gib between 1 and 65536),
    position integer not null default 0,
    retired_at timestamptz
);

-- A price holds for a time; two prices for one thing at one instant are impossible. What was charged is never re-rated.
create table prices (
    id uuid primary key,
    plan_id uuid not null references plans (id),
    state text not null constraint prices_state_known check (state in ('running', 'stopped')),
    hourly_rate numeric(20, 10) not null constraint prices_rate_not_negative check (hourly_rate >= 0),
    monthly_cap numeric(20, 6) constraint prices_cap_not_negative check (monthly_cap >= 0),
    valid tstzrange not null,
    constraint prices_one_at_a_time exclude using gist (plan_id with =, state with =, valid with &&)
);

create table images (
    id uuid primary key,
    slug text not null unique,
    name text not null,
    -- The user that cloud-init creates and gives the SSH keys.
    login text not null,
    minimum_disk_gib integer not null,
    position integer not null default 0,
    retired_at timestamptz
);
