-- What was charged for the time of a month, as a document that stays: who issued it to whom, line by line, with numbers that have
-- no gap. An invoice never changes; what is charged for its month later has an invoice of its own.

-- Who issues invoices and how. Until there is a name and an address none is issued: one could not be mended later.
create table invoice_settings (
    only_row boolean primary key default true constraint invoice_settings_one_row check (only_row),
    issuer_name text not null default '' constraint invoice_settings_name_length check (length(issuer_name) <= 120),
    issuer_address text not null default '' constraint invoice_settings_address_length check (length(issuer_address) <= 600),
    issuer_tax_id text not null default '' constraint invoice_settings_tax_id_length check (length(issuer_tax_id) <= 60),
    -- Before the year in each number. It is part of URLs.
    number_prefix text not null default '' constraint invoice_settings_prefix_form check (number_prefix ~ '^[A-Za-z0-9-]{0,12}$'),
    -- In percent; contained in every price.
    tax_rate numeric(7, 4) not null default 0 constraint invoice_settings_tax_rate_range check (tax_rate between 0 and 100),
    -- Of the currency: none in yen, two in euros.
    currency_places integer not null default 2 constraint invoice_settings_places_range check (currency_places between 0 and 4),
    updated_at timestamptz
);
insert into invoice_settings default values;

-- Whom the invoices of an organisation are made out to, where that is more than its name.
create table billing_details (
    organisation_id uuid primary key references organisations (id),
    name text not null constraint billing_details_name_length check (length(name) <= 120),
    address text not null constraint billing_details_address_length check (length(address) <= 600),
    tax_id text not null constraint billing_details_tax_id_length check (length(tax_id) <= 60),
    updated_at timestamptz not null
);

-- The last number of each year. Whoever issues locks the row until he commits, so that no number is missed or given twice.
create table invoice_counters (
    year integer primary key constraint invoice_counters_year_range check (year between 1 and 9999),
    last bigint not null constraint invoice_counters_last_positive check (last >= 1)
);

create table invoices (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    month date not null constraint invoices_month_first_day check (extract(day from month) = 1),
    -- The first of a month has all that was charged until then, each further one what was charged since.
    part integer not null constraint invoices_part_positive check (part >= 1),
    year integer not null,
    sequence bigint not null constraint invoices_sequence_positive check (sequence >= 1),
    number text not null constraint invoices_number_once unique,
    issued_at timestamptz not null,
    -- The month as it was in the time zone of then.
    period_from timestamptz not null,
    period_to timestamptz not null,
    currency text not null,
    currency_places integer not null constraint invoices_places_range check (currency_places between 0 and 4),
    tax_rate numeric(7, 4) not null constraint invoices_tax_rate_range check (tax_rate between 0 and 100),
    issuer_name text not null constraint invoices_issuer_named check (issuer_name <> ''),
    issuer_address text not null,
    issuer_tax_id text not null,
    organisation_number bigint not null,
    recipient_name text not null constraint invoices_recipient_named check (recipient_name <> ''),
    recipient_address text not null,
    recipient_tax_id text not null,
    -- What was taken from the wallet, to six places; all else is in the places of the currency.
    exact numeric(20, 6) not null constraint invoices_exact_not_negative check (exact >= 0),
    rounding numeric(20, 6) not null,
    net numeric(20, 6) not null,
    tax numeric(20, 6) not null,
    gross numeric(20, 6) not null,
    constraint invoices_adds_up check (gross = net + tax),
    constraint invoices_forward check (period_to > period_from),
    -- Issued exactly once.
    constraint invoices_once unique (organisation_id, month, part),
    constraint invoices_sequence_once unique (year, sequence)
);
create index invoices_by_organisation on invoices (organisation_id, id desc);
create index invoices_by_month on invoices (month, id desc);

-- What one machine was charged for one kind of thing. No foreign key points at invoices: it would lock their rows, for which the
-- owner of the table has no right any more. `ledger verify` proves that lines and invoices belong together.
create table invoice_lines (
    invoice_id uuid not null,
    position integer not null constraint invoice_lines_position_positive check (position >= 1),
    vm_id uuid not null references vms (id),
    -- As it was called when the invoice was issued.
    vm_name text not null,
    kind text not null constraint invoice_lines_kind_known
        check (kind in ('vm_running', 'vm_stopped', 'disk', 'address', 'snapshot', 'backup', 'image_licence', 'traffic')),
    -- Seconds times units: a machine, a GiB, an address, a licence, a MiB.
    unit_seconds numeric(26, 6) not null constraint invoice_lines_time_not_negative check (unit_seconds >= 0),
    amount numeric(20, 6) not null constraint invoice_lines_amount_not_negative check (amount >= 0),
    constraint invoice_lines_pkey primary key (invoice_id, position),
    constraint invoice_lines_once unique (invoice_id, vm_id, kind)
);

create trigger invoices_append_only before update or delete on invoices for each row execute function refuse_change();
create trigger invoices_no_truncate before truncate on invoices for each statement execute function refuse_change();
create trigger invoice_lines_append_only before update or delete on invoice_lines for each row execute function refuse_change();
create trigger invoice_lines_no_truncate before truncate on invoice_lines for each statement execute function refuse_change();
create trigger invoice_counters_kept before delete on invoice_counters for each row execute function refuse_change();
create trigger invoice_counters_no_truncate before truncate on invoice_counters for each statement execute function refuse_change();
revoke update, delete, truncate on invoices, invoice_lines from public, current_user;
revoke delete, truncate on invoice_counters from public, current_user;

-- Everything charged for time before this instant is on invoices. Charging sets it back when it charges for time before it, which
-- can be so for a wallet that lay idle. It changes once a month, so that the hourly update of a wallet still touches no index.
alter table wallets add column invoiced_through timestamptz not null default '1970-01-01 00:00:00+00';
create index wallets_to_invoice on wallets (invoiced_through);
