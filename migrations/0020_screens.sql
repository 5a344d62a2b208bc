-- What the screens around money read, each by one range of an index.

-- A wallet's ledger is read in the order of the books' time: by month, by page, from a day on. The indexes so far were in the
-- order of ids, which is the order of posting; these are in the order of time and smaller, so that a charge costs less than
-- before. Everything that is no charge has an index of its own, which costs charges nothing, so that the few credits among
-- the many charges of years are found at once.
drop index transfers_by_debit;
drop index transfers_by_credit;
create index transfers_by_debit on transfers (debit_account, at desc);
create index transfers_by_other_debit on transfers (debit_account, at desc) where code <> 'charge';
create index transfers_by_credit on transfers (credit_account, at desc) where code <> 'charge';

-- Wallets need no index of their own here: those that have run out have one, and what changes with every hour (a balance, how
-- far a wallet is charged) has none, so that an hour's update of a wallet stays on its page. Who asks reads all wallets, one for
-- each customer.

-- What all customers were charged, by time and price: some rows for each statement that writes charges, in its transaction.
-- An operator's month is a sum over these and not over every charge of every customer, of which there may be a hundred
-- million. They are added and never changed, so that passes that run at once do not wait for each other.
create table revenue_parts (
    -- The quarter of an hour in which the charged time begins: no time zone's day begins inside one.
    period_start timestamptz not null,
    price_id uuid not null,
    amount numeric(20, 6) not null constraint revenue_parts_amount_not_negative check (amount >= 0)
);
create index revenue_parts_by_time on revenue_parts (period_start);
create trigger revenue_parts_append_only before update or delete on revenue_parts
    for each row execute function refuse_change();
create trigger revenue_parts_no_truncate before truncate on revenue_parts
    for each statement execute function refuse_change();

create function add_to_revenue() returns trigger language plpgsql as $$
begin
    insert into revenue_parts (period_start, price_id, amount)
        select date_bin('15 minutes', period_start, '2000-01-01 00:00:00+00'), price_id, sum(amount) from added group by 1, 2;
    return null;
end $$;
create trigger charges_to_revenue after insert on charges
    referencing new table as added for each statement execute function add_to_revenue();

insert into revenue_parts (period_start, price_id, amount)
    select date_bin('15 minutes', period_start, '2000-01-01 00:00:00+00'), price_id, sum(amount) from charges group by 1, 2;
