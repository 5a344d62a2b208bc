-- Double entry by two-sided transfers: balanced by construction, never updated, never deleted.
create table accounts (
    id uuid primary key,
    kind text not null constraint accounts_kind_known check (kind in ('wallet', 'revenue', 'manual_credits', 'promotions')),
    organisation_id uuid references organisations (id),
    constraint accounts_wallet_has_owner check ((kind = 'wallet') = (organisation_id is not null))
);
create unique index accounts_one_wallet on accounts (organisation_id) where organisation_id is not null;
create unique index accounts_one_of_a_kind on accounts (kind) where organisation_id is null;
insert into accounts (id, kind) values
    ('00000000-0000-7000-8000-000000000001', 'revenue'),
    ('00000000-0000-7000-8000-000000000002', 'manual_credits'),
    ('00000000-0000-7000-8000-000000000003', 'promotions');

create table transfers (
    id uuid primary key,
    -- The legs of one posting share this.
    posting uuid not null,
    debit_account uuid not null references accounts (id),
    credit_account uuid not null references accounts (id),
    amount numeric(20, 6) not null constraint transfers_amount_positive check (amount > 0),
    code text not null,
    -- What caused it; unique, so running the cause twice changes nothing.
    source text not null constraint transfers_source_once unique,
    at timestamptz not null,
    memo text not null default '',
    created_by uuid references users (id),
    constraint transfers_two_accounts check (debit_account <> credit_account)
);
create index transfers_by_debit on transfers (debit_account, id desc);
create index transfers_by_credit on transfers (credit_account, id desc);
create trigger transfers_append_only before update or delete on transfers
    for each row execute function refuse_change();
create trigger transfers_no_truncate before truncate on transfers
    for each statement execute function refuse_change();

create table wallets (
    organisation_id uuid primary key references organisations (id),
    account_id uuid not null unique references accounts (id),
    -- A projection of the transfers, moved in the same transaction.
    balance numeric(20, 6) not null default 0,
    -- Everything before this instant is charged.
    charged_through timestamptz not null,
    -- Per hour, of what runs up charges now.
    burn numeric(20, 10) not null default 0,
    runs_out_at timestamptz,
    -- When the engine must look at this wallet again; null while nothing of it runs up charges.
    due_at timestamptz,
    -- Why the last pass could not charge it; the engine goes on with the others and tries this one again.
    charging_error text,
    exhausted_at timestamptz
);
create index wallets_due on wallets (due_at) where due_at is not null;
create index wallets_running_out on wallets (runs_out_at) where runs_out_at is not null;

-- Credit set aside for a machine that is being made: beside the ledger, not in it.
create table holds (
    vm_id uuid primary key references vms (id),
    organisation_id uuid not null references organisations (id),
    amount numeric(20, 6) not null constraint holds_amount_positive check (amount > 0),
    created_at timestamptz not null
);
create index holds_by_organisation on holds (organisation_id);

-- One per charged resource, with the sums of its current billing month.
create table meters (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    vm_id uuid not null unique references vms (id),
    month date not null,
    -- Exact, in currency × seconds: rates per hour times time, nothing divided yet.
    accrued numeric(38, 16) not null default 0,
    -- The highest monthly cap of this month; null: none.
    cap numeric(20, 6)
);
create index meters_by_organisation on meters (organisation_id);

-- What the resource was, from when to when. Two truths at once are impossible.
create table meter_intervals (
    id bigint generated always as identity primary key,
    meter_id uuid not null references meters (id),
    state text not null constraint meter_intervals_state_known check (state in ('running', 'stopped')),
    plan_id uuid not null references plans (id),
    during tstzrange not null,
    -- Wholly charged: the engine never needs it again.
    settled boolean not null default false,
    constraint meter_intervals_one_truth exclude using gist (meter_id with =, during with &&),
    constraint meter_intervals_not_empty check (not isempty(during))
);
create index meter_intervals_unsettled on meter_intervals (meter_id) where not settled;

-- One meter, one piece of at most an hour, at one price.
create table charges (
    meter_id uuid not null references meters (id),
    period_start timestamptz not null,
    period_end timestamptz not null,
    organisation_id uuid not null references organisations (id),
    price_id uuid not null references prices (id),
    rate numeric(20, 10) not null,
    amount numeric(20, 6) not null constraint charges_amount_not_negative check (amount >= 0),
    constraint charges_pkey primary key (meter_id, period_start),
    constraint charges_forward check (period_end > period_start)
);
create trigger charges_append_only before update or delete on charges
    for each row execute function refuse_change();
create trigger charges_no_truncate before truncate on charges
    for each statement execute function refuse_change();
