-- Charging that scales and that a person can stop: charges in a partition for each month, wallets that are charged in the
-- order of their keys without touching an index, passes that are written down and held when they are unlike the usual,
-- wallets that are parked when they cannot be charged, and the time that nobody is charged for.

-- A partition for each month (UTC). Each refuses changes as the table itself does: row triggers come with the partition,
-- the trigger against truncation and the grants do not. There is no partition for what fits nowhere: a charge in a month
-- that nobody foresaw is an error and not a heap.
alter table charges rename to charges_before;
alter table charges_before rename constraint charges_pkey to charges_before_pkey;
create table charges (
    organisation_id uuid not null,
    meter_id uuid not null,
    price_id uuid not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    -- In the unit of the price's kind.
    quantity bigint not null,
    -- Per hour, for the whole quantity.
    rate numeric(20, 10) not null,
    amount numeric(20, 6) not null constraint charges_amount_not_negative check (amount >= 0),
    constraint charges_pkey primary key (organisation_id, period_start, meter_id),
    constraint charges_forward check (period_end > period_start)
) partition by range (period_start);
create trigger charges_append_only before update or delete on charges
    for each row execute function refuse_change();
create trigger charges_no_truncate before truncate on charges
    for each statement execute function refuse_change();
revoke update, delete, truncate on charges from public, current_user;

-- Makes the partition of a month if it is not there, and says whether it did. Attached rather than made in place, which
-- would lock out everybody who reads or writes charges.
create function ensure_charges_partition(month date) returns boolean language plpgsql as $$
declare
    first timestamptz := date_trunc('month', month::timestamp) at time zone 'UTC';
    next timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') at time zone 'UTC';
    name text := 'charges_' || to_char(month, 'YYYY_MM');
begin
    -- Asked of the table and not of to_regclass, which would still remember the answer from before the lock.
    if exists (select from pg_class where relname = name and relnamespace = current_schema()::regnamespace) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('ensure_charges_partition'));
    if exists (select from pg_class where relname = name and relnamespace = current_schema()::regnamespace) then
        return false;
    end if;
    execute format('create table %I (like charges including defaults including constraints)', name);
    execute format('revoke update, delete, truncate on %I from public, current_user', name);
    execute format('create trigger %I before truncate on %I for each statement execute function refuse_change()', name || '_no_truncate', name);
    execute format('alter table charges attach partition %I for values from (%L) to (%L)', name, first, next);
    return true;
end
$$;
do $$
begin
    perform ensure_charges_partition(month::date)
        from (select distinct date_trunc('month', period_start at time zone 'UTC') as month from charges_before) months;
end
$$;
insert into charges (organisation_id, meter_id, price_id, period_start, period_end, quantity, rate, amount)
    select organisation_id, meter_id, price_id, period_start, period_end, quantity, rate, amount from charges_before;
drop table charges_before;

-- A pass of charging: every full hour; the run-outs between them when they were held; and missed time that is too long to
-- be charged without a person.
create table passes (
    id uuid primary key,
    kind text not null constraint passes_kind_known check (kind in ('hourly', 'run_outs', 'catch_up')),
    -- The oldest cursor of its wallets, and the instant through which it charges.
    from_at timestamptz not null,
    hour timestamptz not null,
    hours integer not null,
    status text not null constraint passes_status_known check (status in ('running', 'done', 'held', 'approved', 'refused', 'waived')),
    started_at timestamptz not null,
    finished_at timestamptz,
    wallets bigint not null default 0,
    charges bigint not null default 0,
    amount numeric(20, 6) not null default 0,
    ran_out bigint not null default 0,
    failed bigint not null default 0,
    -- What was foreseen before anything was written.
    projected_wallets bigint not null,
    projected_amount numeric(20, 6) not null,
    projected_stops bigint not null,
    running_vms bigint not null,
    usual_amount numeric(20, 6),
    -- Why it is held: objects as `billing::HoldReason` writes them, or {"reason": "missed", ...}.
    reasons jsonb not null default '[]',
    decided_by uuid references users (id),
    decided_at timestamptz,
    constraint passes_decided check ((status in ('approved', 'refused', 'waived')) <= (decided_at is not null))
);
create unique index passes_one_per_hour on passes (hour) where kind = 'hourly';
create index passes_by_start on passes (started_at desc);
create index passes_waiting on passes (started_at) where status in ('held', 'refused');

-- What each batch of a pass did, written with the batch: counting on the pass itself would make every batch wait for the
-- others. Summed up when the pass is done.
create table pass_parts (
    pass_id uuid not null references passes (id),
    wallets integer not null,
    charges integer not null,
    amount numeric(20, 6) not null,
    ran_out integer not null
);
create index pass_parts_by_pass on pass_parts (pass_id);

-- A wallet is charged at each full hour in the order of its key; `due_at` is only for what cannot wait until then: the end
-- of its credit, or another try. So the hourly update of a wallet changes no index, and its new version fits the same page.
alter table wallets
    -- Something of it runs up charges, or has and is not charged yet.
    add column metered boolean not null default false,
    -- How often in a row it could not be charged, and since when nobody tries any more.
    add column charging_tries integer not null default 0,
    add column parked_at timestamptz,
    -- The pass that it waits for, and the instant through which an operator has let it be charged.
    add column held_by uuid references passes (id),
    add column approved_through timestamptz;
update wallets set metered = due_at is not null, due_at = case when due_at = date_trunc('hour', due_at) then null else due_at end;
drop index wallets_running_out;
drop index wallets_due;
create index wallets_due on wallets (due_at) where due_at is not null and parked_at is null and held_by is null;
create index wallets_held on wallets (held_by, organisation_id) where held_by is not null;
create index wallets_parked on wallets (parked_at) where parked_at is not null;
alter table wallets set (fillfactor = 45);
alter table meters set (fillfactor = 45);

-- Time in which a machine was there and nobody is charged for it: we could not see it, or an operator waived it. Open while
-- it lasts.
create table uncharged_times (
    id bigint generated always as identity primary key,
    organisation_id uuid not null references organisations (id),
    vm_id uuid not null references vms (id),
    cluster_id uuid references clusters (id),
    from_at timestamptz not null,
    to_at timestamptz,
    reason text not null constraint uncharged_times_reason_known check (reason in ('cluster_away', 'missing', 'waived')),
    pass_id uuid references passes (id),
    constraint uncharged_times_forward check (to_at >= from_at)
);
create unique index uncharged_times_one_open on uncharged_times (vm_id) where to_at is null;
create index uncharged_times_by_vm on uncharged_times (vm_id, from_at desc);
create index uncharged_times_by_start on uncharged_times (from_at desc);
