-- What a person would write to charge this one hour of these machines: the same rows, the same columns, one statement.
-- It knows that every machine has run at one price since its sum was written down; the engine must find that out.
with charged as (
    insert into charges (meter_id, period_start, period_end, organisation_id, quantity, price_id, rate, amount)
    select m.id, $1, $2, m.organisation_id, i.quantity, p.id, p.hourly_rate,
           round(least(m.accrued + (s.since + 3600) * p.hourly_rate, 3600 * greatest(m.cap, p.monthly_cap)) / 3600, 6)
               - round(least(m.accrued + s.since * p.hourly_rate, 3600 * greatest(m.cap, p.monthly_cap)) / 3600, 6)
    from meters m
    cross join lateral (select extract(epoch from $1 - m.accrued_through) as since) s
    join meter_intervals i on i.meter_id = m.id and not i.settled and i.during @> tstzrange($1, $2)
    join price_list_periods t on t.price_list_id = i.price_list_id and t.during @> $1
    join prices p on p.price_list_version_id = t.id and p.kind = i.kind and p.plan_id = i.plan_id
    returning organisation_id, amount),
totals as materialized (
    select gen_random_uuid() as id, w.organisation_id, w.account_id, sum(c.amount) as amount
    from charged c join wallets w on w.organisation_id = c.organisation_id group by w.organisation_id),
posted as (
    insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo)
    select id, id, account_id, '00000000-0000-7000-8000-000000000001', amount, 'charge',
           'charge:' || organisation_id || ':' || to_char($1 at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), $2,
           'VMs, ' || to_char($1 at time zone 'UTC', 'FMDD Mon HH24:MI') || '–' || to_char($2 at time zone 'UTC', 'HH24:MI') || ' UTC'
    from totals)
update wallets w
set balance = w.balance - t.amount, charged_through = $2, runs_out_at = $2 + (w.balance - t.amount) / w.burn * interval '1 hour', due_at = null,
    charging_error = null
from totals t where w.organisation_id = t.organisation_id
