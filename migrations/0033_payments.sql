-- What customers have paid, and what of it went back. The ledger says what moved; these tables say which payment it was by the
-- name that the bank or the provider has for it, so that none is recorded twice and none is given back beyond what was paid.
create table payments (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    provider text not null constraint payments_provider_known check (provider in ('bank', 'stripe')),
    -- What the provider calls it: the reference of a transfer, the id of a payment.
    reference text not null constraint payments_reference_length check (char_length(reference) between 1 and 100),
    amount numeric(20, 6) not null constraint payments_amount_positive check (amount > 0),
    created_by uuid references users (id),
    created_at timestamptz not null
);
-- However it is written: a payment that is typed twice is one.
create unique index payments_reference_once on payments (provider, lower(reference));
create index payments_by_organisation on payments (organisation_id, id desc);

create table payment_returns (
    id uuid primary key,
    payment_id uuid not null references payments (id),
    -- Given back by us, or taken back by the provider because the customer said so to his bank.
    kind text not null constraint payment_returns_kind_known check (kind in ('refund', 'chargeback')),
    amount numeric(20, 6) not null constraint payment_returns_amount_positive check (amount > 0),
    reason text not null,
    -- The request that made it: the same request makes it once.
    made_by_order text not null,
    created_by uuid references users (id),
    created_at timestamptz not null,
    constraint payment_returns_order_once unique (payment_id, made_by_order)
);

-- What was paid stays paid, as in the ledger.
create trigger payments_append_only before update or delete on payments
    for each row execute function refuse_change();
create trigger payments_no_truncate before truncate on payments
    for each statement execute function refuse_change();
create trigger payment_returns_append_only before update or delete on payment_returns
    for each row execute function refuse_change();
create trigger payment_returns_no_truncate before truncate on payment_returns
    for each statement execute function refuse_change();
