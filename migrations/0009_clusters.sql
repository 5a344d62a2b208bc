-- What is sold of each node, and what operators need to change a cluster and to take one away.

alter table clusters
    -- Taken away by an operator: machines of long ago still name it. Its secret is gone.
    add column removed_at timestamptz;
drop index clusters_name_once;
create unique index clusters_name_once on clusters (lower(name)) where removed_at is null;

alter table nodes
    -- Load of all processors at the last look, in percent.
    add column cpu_used_percent integer not null default 0;

alter table storages
    -- What it may hold, separated by commas, such as iso,backup.
    add column content text not null default '',
    -- Whether the node could use it at the last look. Its sizes are those of the last look at which it could.
    add column available boolean not null default true;

-- What every machine takes of every node: at the larger of what it is and what a job will make of it, here and where a job
-- moves it, and two disks while a rebuild makes the second beside the first.
create view holdings as
select v.id as vm_id, v.organisation_id, v.cluster_id, v.placement_group, place.node, place.is_home,
       greatest(p.vcpu, next.vcpu) as vcpu,
       greatest(p.memory_mib, next.memory_mib) as memory_mib,
       greatest(v.disk_gib, next.disk_gib) * case when v.next_image_id is not null or v.next_vmid is not null then 2 else 1 end as disk_gib
from vms v
join plans p on p.id = v.plan_id
left join plans next on next.id = v.next_plan_id
cross join lateral (values (v.node, true), (case when v.next_node <> v.node then v.next_node end, false)) as place (node, is_home)
where v.deleted_at is null and v.state <> 'failed' and place.node is not null;
