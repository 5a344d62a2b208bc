-- Prices come in lists with dated versions: an organisation has a list, a list has versions, a version has all its prices.
-- Changing prices adds a version and touches nothing that is metered; what was charged names the price it was charged by.
create table price_lists (
    id uuid primary key,
    slug text not null constraint price_lists_slug_once unique,
    name text not null,
    -- The list of every organisation that has no list of its own.
    is_default boolean not null default false,
    created_at timestamptz not null
);
create unique index price_lists_one_default on price_lists (is_default) where is_default;

create table price_list_versions (
    id uuid primary key,
    price_list_id uuid not null references price_lists (id),
    number integer not null,
    -- In force from here until the next version begins.
    effective_from timestamptz not null,
    note text not null default '',
    -- When the customers concerned were told.
    announced_at timestamptz,
    created_by uuid references users (id),
    created_at timestamptz not null,
    constraint price_list_versions_number_once unique (price_list_id, number),
    constraint price_list_versions_one_at_a_time unique (price_list_id, effective_from)
);

-- The prices so far become the versions of one list, one for each instant at which something changed.
insert into price_lists (id, slug, name, is_default, created_at)
    select '00000000-0000-7000-8000-000000000010', 'standard', 'Standard', true, coalesce(min(lower(valid)), 'epoch') from prices;
insert into price_list_versions (id, price_list_id, number, effective_from, created_at)
    select gen_random_uuid(), '00000000-0000-7000-8000-000000000010', row_number() over (order by began), began, began
    from (select distinct lower(valid) as began from prices) as beginnings;

alter table prices
    add column price_list_version_id uuid references price_list_versions (id),
    add column kind text,
    add column image_id uuid references images (id),
    alter column plan_id drop not null;
update prices p set price_list_version_id = v.id, kind = 'vm_' || p.state from price_list_versions v where v.effective_from = lower(p.valid);
alter table prices drop constraint prices_one_at_a_time;
insert into prices (id, price_list_version_id, kind, plan_id, state, hourly_rate, monthly_cap, valid)
    select gen_random_uuid(), v.id, p.kind, p.plan_id, p.state, p.hourly_rate, p.monthly_cap, p.valid
    from prices p join price_list_versions v on v.effective_from > lower(p.valid) and p.valid @> v.effective_from;
alter table prices
    alter column price_list_version_id set not null,
    alter column kind set not null,
    drop column state,
    drop column valid,
    -- Per hour, and per unit: a machine, a GiB of disk, snapshot or backup, an address, a licence, a MiB of traffic.
    add constraint prices_kind_known check (kind in ('vm_running', 'vm_stopped', 'disk', 'address', 'snapshot', 'backup', 'image_licence', 'traffic')),
    add constraint prices_plan_of_vm check ((kind in ('vm_running', 'vm_stopped')) = (plan_id is not null)),
    add constraint prices_image_of_licence check ((kind = 'image_licence') = (image_id is not null));
create unique index prices_once on prices (price_list_version_id, kind, coalesce(plan_id, image_id, '00000000-0000-0000-0000-000000000000'));

-- A price never changes; a version that has not begun may be withdrawn as a whole.
create function refuse_price_change() returns trigger language plpgsql as $$
begin
    raise exception 'prices are never changed: add a version of the list instead';
end $$;
create trigger prices_append_only before update on prices for each row execute function refuse_price_change();

-- When each version is in force.
create view price_list_periods as
    select id, price_list_id, number,
           tstzrange(effective_from, lead(effective_from) over (partition by price_list_id order by effective_from)) as during
    from price_list_versions;

-- Null: the default list.
alter table organisations add column price_list_id uuid references price_lists (id);

-- An image whose system must be licensed says so; the licence has a price of its own.
alter table images add column licence text;

-- What a machine has of each kind is metered apart: its power state and plan, disk beyond its plan, addresses, a licence.
alter table meters
    add column kind text not null default 'vm'
        constraint meters_kind_known check (kind in ('vm', 'disk', 'address', 'snapshot', 'backup', 'image_licence', 'traffic')),
    drop constraint meters_vm_id_key,
    add constraint meters_one_of_a_kind unique (vm_id, kind);
alter table meters alter column kind drop default;

alter table meter_intervals rename column state to kind;
alter table meter_intervals drop constraint meter_intervals_state_known;
update meter_intervals set kind = 'vm_' || kind;
alter table meter_intervals
    alter column plan_id drop not null,
    add column image_id uuid references images (id),
    -- In the unit of the kind.
    add column quantity bigint not null default 1 constraint meter_intervals_quantity_positive check (quantity > 0),
    add column price_list_id uuid not null default '00000000-0000-7000-8000-000000000010' references price_lists (id),
    add constraint meter_intervals_kind_known
        check (kind in ('vm_running', 'vm_stopped', 'disk', 'address', 'snapshot', 'backup', 'image_licence', 'traffic')),
    add constraint meter_intervals_plan_of_vm check ((kind in ('vm_running', 'vm_stopped')) = (plan_id is not null)),
    add constraint meter_intervals_image_of_licence check ((kind = 'image_licence') = (image_id is not null));
alter table meter_intervals alter column quantity drop default, alter column price_list_id drop default;

-- The hottest table of all. It has no foreign keys: its rows are made from meters and prices that the same transaction has
-- read, nothing of those is ever deleted, and `ledger verify` proves each row. The key begins with the organisation, so that
-- the rows of an hour lie beside each other and a customer's pages read one range.
alter table charges
    add column quantity bigint not null default 1,
    drop constraint charges_meter_id_fkey,
    drop constraint charges_organisation_id_fkey,
    drop constraint charges_price_id_fkey,
    drop constraint charges_pkey,
    add constraint charges_pkey primary key (organisation_id, period_start, meter_id);

-- How far below zero a wallet may go; its credit ends there.
alter table wallets add column credit_limit numeric(20, 6) not null default 0 constraint wallets_credit_limit_not_negative check (credit_limit >= 0);

-- What operators set for the whole platform.
create table settings (
    only_row boolean primary key default true constraint settings_one_row check (only_row),
    -- Shut machines down when the credit ends. An organisation may have its own answer.
    auto_shutdown boolean not null default true,
    -- How far below zero a wallet may go where it is not.
    credit_limit numeric(20, 6) not null default 0 constraint settings_credit_limit_not_negative check (credit_limit >= 0),
    -- How long disks are kept after the credit ended.
    grace_days integer not null default 14 constraint settings_grace_days_range check (grace_days between 1 and 365),
    -- Whether the price of a stopped machine is charged meanwhile, as a debt.
    grace_charged boolean not null default false,
    delete_after_grace boolean not null default true,
    -- How many notices must have been delivered before anything is deleted.
    deletion_notices_min integer not null default 3 constraint settings_deletion_notices_range check (deletion_notices_min between 1 and 10),
    rescue_hours integer not null default 2 constraint settings_rescue_hours_range check (rescue_hours between 0 and 48),
    -- A machine that lives shorter is charged as if it had lived this long.
    life_seconds_min integer not null default 60 constraint settings_life_seconds_range check (life_seconds_min between 0 and 3600),
    -- A pass that would charge more than this many times the usual waits for a person. In hundredths.
    breaker_factor_hundredths integer not null default 300 constraint settings_breaker_factor_range check (breaker_factor_hundredths between 110 and 10000),
    -- So does one that would stop more than this share of all running machines, if those are at least so many.
    breaker_stop_percent integer not null default 20 constraint settings_breaker_stop_range check (breaker_stop_percent between 1 and 100),
    breaker_vms_min integer not null default 10 constraint settings_breaker_vms_range check (breaker_vms_min between 1 and 1000000),
    -- Missed hours are charged by themselves up to here; older ones wait for a person.
    catch_up_hours integer not null default 48 constraint settings_catch_up_range check (catch_up_hours between 1 and 8760),
    -- How long before a price goes up customers are told.
    price_notice_days integer not null default 14 constraint settings_price_notice_range check (price_notice_days between 0 and 365),
    updated_at timestamptz,
    updated_by uuid references users (id)
);
insert into settings default values;
