-- Vouchers are bearer money: who has the code has the amount. So only the hash of a code is kept, with as much of it as a
-- person needs to tell one from another; a copy of this table buys nothing.
create table vouchers (
    id uuid primary key,
    -- SHA-256 of the code without its separators.
    code_hash bytea not null constraint vouchers_code_once unique,
    -- How it begins, to be shown.
    prefix text not null,
    amount numeric(20, 6) not null constraint vouchers_amount_positive check (amount > 0),
    -- By how many organisations it can be redeemed, each once.
    uses_max integer not null constraint vouchers_uses_max_positive check (uses_max >= 1),
    uses integer not null default 0,
    -- From this instant on it is worth nothing.
    expires_at timestamptz,
    revoked_at timestamptz,
    note text not null default '',
    -- The request that made it, and its place there: the same request makes them once.
    made_by_order text not null,
    position integer not null,
    created_by uuid references users (id),
    created_at timestamptz not null,
    constraint vouchers_uses_within_limit check (uses between 0 and uses_max),
    constraint vouchers_order_once unique (made_by_order, position)
);
-- What a voucher was sold as stays so; it can only be used up and revoked.
create trigger vouchers_worth_kept before update of code_hash, amount, uses_max, expires_at, created_at on vouchers
    for each row execute function refuse_change();
create trigger vouchers_no_delete before delete on vouchers
    for each row execute function refuse_change();

create table voucher_redemptions (
    voucher_id uuid not null references vouchers (id),
    organisation_id uuid not null references organisations (id),
    redeemed_at timestamptz not null,
    redeemed_by uuid references users (id),
    constraint voucher_redemptions_pkey primary key (voucher_id, organisation_id)
);
create trigger voucher_redemptions_append_only before update or delete on voucher_redemptions
    for each row execute function refuse_change();
create trigger voucher_redemptions_no_truncate before truncate on voucher_redemptions
    for each statement execute function refuse_change();

-- How often a person has given a wrong code since when. One row each, locked while he tries, so that a hundred tries at once
-- are as many as a hundred one after the other.
create table voucher_tries (
    user_id uuid primary key references users (id),
    since timestamptz not null,
    wrong integer not null
);
