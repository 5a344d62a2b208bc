-- What a customer is told before the credit ends, and what happens to the machines after it.
alter table organisations
    -- Null: as the platform does.
    add column auto_shutdown boolean,
    add column credit_limit numeric(20, 6) constraint organisations_credit_limit_not_negative check (credit_limit >= 0);

-- How far below zero each wallet may go, by what is set.
create view credit_limits as
    select o.id as organisation_id,
           case when coalesce(o.auto_shutdown, s.auto_shutdown) then 0 else coalesce(o.credit_limit, s.credit_limit) end as credit_limit
    from organisations o, settings s;

alter table wallets
    -- Machines of this empty wallet may run until here, at no charge.
    add column rescue_until timestamptz,
    -- The price of stopped machines is charged to this empty wallet until here, as a debt; its credit limit is raised by
    -- the most that can come to, so that the debt has a floor.
    add column grace_charged_until timestamptz,
    add constraint wallets_rescue_when_empty check (rescue_until is null or exhausted_at is not null),
    add constraint wallets_grace_when_empty check (grace_charged_until is null or exhausted_at is not null);
create index wallets_exhausted on wallets (organisation_id) where exhausted_at is not null;

-- When the credit ends the least important machines stop first, and of equals the newest.
alter table vms add column importance integer not null default 0 constraint vms_importance_range check (importance between 0 and 1000);

-- A notice that the credit ends soon. While one stands the same is not given again.
create table credit_notices (
    id bigint generated always as identity primary key,
    organisation_id uuid not null references organisations (id),
    notice text not null constraint credit_notices_notice_known check (notice in ('seven_days', 'three_days', 'one_day', 'one_hour')),
    given_at timestamptz not null,
    -- It was overtaken by a more urgent one, which said it all.
    sent boolean not null,
    withdrawn_at timestamptz
);
create unique index credit_notices_one_stands on credit_notices (organisation_id, notice) where withdrawn_at is null;
create index credit_notices_last on credit_notices (organisation_id, notice, given_at desc);

-- Each end of a wallet's credit, from the second it ended until credit came.
create table exhaustions (
    id bigint generated always as identity primary key,
    organisation_id uuid not null references organisations (id),
    at timestamptz not null,
    -- As it was set when the credit ended, with what an operator has added since: what was promised holds.
    grace_days integer not null constraint exhaustions_grace_range check (grace_days between 0 and 3650),
    rescued_at timestamptz,
    rescue_until timestamptz,
    -- What was started for it.
    rescued_vms uuid[] not null default '{}',
    -- Machines that have reached their cap run on; they cost something again from here.
    capped_until timestamptz,
    -- The deletion that followed the grace was ordered.
    deletion_at timestamptz,
    -- Why nothing was deleted when the grace was over, for operators.
    deletion_waits text,
    ended_at timestamptz,
    -- When the next thing happens.
    look_at timestamptz not null,
    constraint exhaustions_rescue_has_end check ((rescued_at is null) = (rescue_until is null))
);
create unique index exhaustions_one_open on exhaustions (organisation_id) where ended_at is null;
create index exhaustions_due on exhaustions (look_at) where ended_at is null;

-- The notices of a deletion. Only those that were delivered count.
create table deletion_notices (
    exhaustion_id bigint not null references exhaustions (id),
    number integer not null,
    told_at timestamptz not null,
    -- The day that it names.
    deletion_on timestamptz not null,
    primary key (exhaustion_id, number)
);

-- Nobody was told of an end before: for wallets that are empty already the grace begins with this version.
insert into exhaustions (organisation_id, at, grace_days, look_at)
    select w.organisation_id, w.exhausted_at, least(3650, s.grace_days + greatest(0, current_date - w.exhausted_at::date)), w.exhausted_at
    from wallets w, settings s where w.exhausted_at is not null;
