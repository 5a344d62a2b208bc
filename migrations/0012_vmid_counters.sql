-- The next VMID of each cluster, in a row of its own: a job that leases one must not wait for orders, which lock the cluster
-- while they choose a place.
create table vmid_counters (
    cluster_id uuid primary key references clusters (id),
    next integer not null
);
insert into vmid_counters (cluster_id, next) select id, vmid_next from clusters;
alter table clusters drop column vmid_next;
