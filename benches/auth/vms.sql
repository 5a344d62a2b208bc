-- What GET /api/v1/vms asks of the database, without the checks before it and the jobs beside it.
select v.id as id, v.number, v.organisation_id as organisation, v.name, v.state, v.state_since, v.state_reason,
        v.stopped_for_credit_at, v.missing_since, v.authorized_keys, v.created_at, v.node, v.vmid,
        v.plan_id as plan, p.name as plan_name, p.vcpu, p.memory_mib, v.disk_gib,
        v.image_id as image, i.name as image_name, i.login, v.guest_uuid, v.tags, v.protected, v.importance, v.paused_at, v.boot_from_iso,
        v.iso_image_id as iso_image, v.placement_group, octet_length(v.user_data) as user_data_bytes, v.adopted_at, v.next_plan_id as next_plan,
        v.location_id as location, l.name as location_name, v.cluster_id as cluster, c.unreachable_since,
        (select host(a.address) from addresses a where a.vm_id = v.id) as address,
        coalesce(metered.rate, 0) as rate, running.monthly_cap as monthly_cap
 from vms v
 join plans p on p.id = v.plan_id join images i on i.id = v.image_id join locations l on l.id = v.location_id
 join clusters c on c.id = v.cluster_id
 join organisations o on o.id = v.organisation_id
 left join price_list_periods t on t.price_list_id = coalesce(o.price_list_id, (select l.id from price_lists l where l.is_default)) and t.during @> $5::timestamptz
 left join prices running on running.price_list_version_id = t.id and running.kind = 'vm_running' and running.plan_id = v.plan_id
 -- What it costs now is the price of everything that is metered of it now.
 cross join lateral (
     select sum(mp.hourly_rate * mi.quantity) as rate
     from meters m join meter_intervals mi on mi.meter_id = m.id and not mi.settled and upper_inf(mi.during)
     join price_list_periods mt on mt.price_list_id = mi.price_list_id and mt.during @> $5::timestamptz
     join prices mp on mp.price_list_version_id = mt.id and mp.kind = mi.kind
          and mp.plan_id is not distinct from mi.plan_id and mp.image_id is not distinct from mi.image_id
     where m.vm_id = v.id) metered
 where v.deleted_at is null and ($1::uuid is null or v.organisation_id = $1) and ($2::uuid is null or v.id = $2)
   and ($3::uuid is null or v.id < $3) and ($6::uuid is null or v.cluster_id = $6) and ($7::text is null or v.tags @> array[$7])
 order by v.id desc limit $4
