-- ORGANISATIONS organisations with 100 € each and MACHINES machines that have run since HOUR (replaced by the driver), written in bulk.
-- The machines of one organisation lie far apart, as they do when customers come and order over the years.
-- Ids as the product makes them, one a millisecond: with ids that differ at their ends only, the index against overlapping
-- intervals, which compares their beginnings, takes a hundred times as long to fill.
create function pg_temp.id(kind integer, number bigint) returns uuid language sql immutable as
    $$ select (lpad(to_hex(1747000000000 + number), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8000' || left(md5(number::text), 12))::uuid $$;

insert into locations (id, slug, name, country) values (pg_temp.id(1, 1), 'here', 'Here', 'Nowhere');
insert into images (id, slug, name, login, minimum_disk_gib) values (pg_temp.id(2, 1), 'debian-12', 'Debian 12', 'debian', 10);
insert into clusters (id, name, location_id, endpoint, token_id, token_secret_encrypted, storage, bridge, vmid_from, vmid_to, created_at, updated_at)
    values (pg_temp.id(3, 1), 'measured', pg_temp.id(1, 1), 'https://127.0.0.1:8006', 'a@pve!b', '', 'shared', 'vmbr0', 10000, 99999999, 'HOUR', 'HOUR');
insert into vmid_counters (cluster_id, next) values (pg_temp.id(3, 1), 10000 + MACHINES);
insert into plans (id, slug, name, vcpu, memory_mib, disk_gib)
    select pg_temp.id(4, n), 'plan-' || n, 'Plan ' || n, 1 << n::integer, 1024 << n::integer, 20 << n::integer from generate_series(0, 3) n;
insert into price_list_versions (id, price_list_id, number, effective_from, created_at)
    select pg_temp.id(12, 1), id, 1, timestamptz 'HOUR' - interval '1 year', 'HOUR' from price_lists;
insert into prices (id, price_list_version_id, kind, plan_id, hourly_rate, monthly_cap)
    select pg_temp.id(5, n), pg_temp.id(12, 1), 'vm_running', pg_temp.id(4, n), 0.0101 * (1 << n::integer), 6.72 * (1 << n::integer) from generate_series(0, 3) n
    union all
    select pg_temp.id(6, n), pg_temp.id(12, 1), 'vm_stopped', pg_temp.id(4, n), 0.0025 * (1 << n::integer), 6.72 * (1 << n::integer) from generate_series(0, 3) n;

insert into organisations (id, name, created_at) select pg_temp.id(7, n), 'Customer ' || n, 'HOUR' from generate_series(1, ORGANISATIONS) n;
insert into accounts (id, kind, organisation_id) select pg_temp.id(8, n), 'wallet', pg_temp.id(7, n) from generate_series(1, ORGANISATIONS) n;
insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo)
    select pg_temp.id(9, n), pg_temp.id(9, n), '00000000-0000-7000-8000-000000000002', pg_temp.id(8, n), 100, 'manual_credit', 'credit:' || pg_temp.id(7, n) || ':1',
           'HOUR', 'To begin with'
    from generate_series(1, ORGANISATIONS) n;

insert into vms (id, organisation_id, name, plan_id, image_id, location_id, cluster_id, node, vmid, state, state_since, created_at, guest_uuid, disk_gib)
    select pg_temp.id(10, n), pg_temp.id(7, (n - 1) % ORGANISATIONS + 1), 'vm-' || n, pg_temp.id(4, (n + n / ORGANISATIONS) % 4), pg_temp.id(2, 1), pg_temp.id(1, 1), pg_temp.id(3, 1),
           'pve' || n % 16 + 1, 9999 + n, 'running', 'HOUR', 'HOUR', pg_temp.id(10, n), 10
    from generate_series(1, MACHINES) n;
insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) select cluster_id, vmid, id, created_at from vms;
insert into meters (id, organisation_id, vm_id, kind, month, accrued, cap, accrued_through)
    select pg_temp.id(11, n), organisation_id, id, 'vm', date_trunc('month', timestamptz 'HOUR' at time zone 'UTC')::date, 0, 0, 'HOUR'
    from (select *, row_number() over (order by id) as n from vms) v;
insert into meter_intervals (organisation_id, meter_id, kind, plan_id, quantity, price_list_id, during)
    select m.organisation_id, m.id, 'vm_running', v.plan_id, 1, l.id, tstzrange('HOUR', null) from meters m join vms v on v.id = m.vm_id cross join price_lists l;
insert into wallets (organisation_id, account_id, balance, charged_through, burn, metered)
    select o.id, a.id, 100, 'HOUR', b.burn, true
    from organisations o join accounts a on a.organisation_id = o.id
    join (select v.organisation_id, sum(p.hourly_rate) as burn from vms v join prices p on p.plan_id = v.plan_id and p.kind = 'vm_running' group by 1) b
      on b.organisation_id = o.id;
-- A pass makes the partition of its month before it charges; who charges by hand finds it made.
select ensure_charges_partition((timestamptz 'HOUR' at time zone 'UTC')::date);
