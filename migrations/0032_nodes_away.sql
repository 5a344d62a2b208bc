-- A node that is down is not a cluster that is down: its machines cannot be seen, and nobody pays for that time.
alter table vms add column unseen_since timestamptz;
alter table uncharged_times
    drop constraint uncharged_times_reason_known,
    add constraint uncharged_times_reason_known check (reason in ('cluster_away', 'node_away', 'missing', 'waived'));
-- Since when a node is not online, for whoever has to look after it.
alter table nodes add column offline_since timestamptz;
update nodes set offline_since = seen_at where not online;
alter table nodes add constraint nodes_offline_since check (online = (offline_since is null));
-- A customer reads which time of his was not charged.
create index uncharged_times_by_organisation on uncharged_times (organisation_id, id desc);
