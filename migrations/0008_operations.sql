-- What a machine needs so that it can be changed after it was made, and what its cluster needs so that it is not oversold.

-- CD images that an operator offers, by cluster: a VM can be given one, and the rescue image is what it boots when it is ill.
create table iso_images (
    id uuid primary key,
    cluster_id uuid not null references clusters (id),
    -- As Proxmox names it, such as local:iso/debian-12.11.0-amd64-netinst.iso.
    volume text not null,
    name text not null constraint iso_images_name_length check (length(name) between 1 and 120),
    size_bytes bigint not null constraint iso_images_size_not_negative check (size_bytes >= 0),
    offered boolean not null default false,
    rescue boolean not null default false,
    -- The last listing that had it.
    seen_at timestamptz not null,
    constraint iso_images_once unique (cluster_id, volume)
);
create unique index iso_images_one_rescue on iso_images (cluster_id) where rescue;

alter table vms
    -- The SMBIOS uuid of the guest: the machine's own id, except for an adopted guest, which keeps the one it had.
    add column guest_uuid uuid,
    -- The disk as it is. It only grows, so it may be larger than the plan's.
    add column disk_gib integer constraint vms_disk_range check (disk_gib between 1 and 65536),
    -- What a job at work on it will make of it. Room is kept for both, here and there, until the job is over.
    add column next_plan_id uuid references plans (id),
    add column next_node text,
    add column next_image_id uuid references images (id),
    -- The second guest while a rebuild makes it beside the first.
    add column next_vmid integer,
    add column tags text[] not null default '{}',
    -- Neither deleted nor rebuilt until its owner takes this away.
    add column protected boolean not null default false,
    -- Its processors stand still since; it holds its memory and is charged as running.
    add column paused_at timestamptz,
    add column iso_image_id uuid references iso_images (id),
    -- It starts from the CD, not from its disk.
    add column boot_from_iso boolean not null default false,
    add column user_data text,
    -- Machines of one organisation with the same group are never on one node.
    add column placement_group text constraint vms_placement_group_length check (length(placement_group) between 1 and 40),
    -- Whether it was taken over rather than made.
    add column adopted_at timestamptz;
update vms set guest_uuid = id, disk_gib = (select disk_gib from plans where plans.id = vms.plan_id);
alter table vms alter column guest_uuid set not null, alter column disk_gib set not null;
create unique index vms_guest_once on vms (guest_uuid) where deleted_at is null;
create index vms_by_placement_group on vms (organisation_id, placement_group) where placement_group is not null and deleted_at is null;

-- A rebuild holds two leases of one machine for a while.
drop index vmid_leases_one_per_vm;
create index vmid_leases_by_vm on vmid_leases (vm_id) where released_at is null;

-- Further nodes of a cluster that answer for it when the first does not. Each has a certificate of its own.
create table cluster_endpoints (
    cluster_id uuid not null references clusters (id),
    position integer not null,
    url text not null,
    fingerprint text,
    primary key (cluster_id, position),
    constraint cluster_endpoints_once unique (cluster_id, url)
);

alter table clusters
    -- How much may be sold of what is there, in percent.
    add column memory_percent integer not null default 100 constraint clusters_memory_percent_range check (memory_percent between 10 and 400),
    add column cpu_percent integer not null default 400 constraint clusters_cpu_percent_range check (cpu_percent between 100 and 3200),
    add column disk_percent integer not null default 100 constraint clusters_disk_percent_range check (disk_percent between 10 and 1000),
    -- Memory of each node that is never sold: for Proxmox itself.
    add column node_reserve_mib integer not null default 2048 constraint clusters_node_reserve_range check (node_reserve_mib between 0 and 1048576),
    -- Where CD images are; null: none are offered.
    add column iso_storage text,
    -- Looks in a row that were not answered, and when the next is due: each waits longer than the one before.
    add column failed_looks integer not null default 0,
    add column next_look_at timestamptz;

-- What the last look saw of each storage on each node. A shared one is listed once for every node that has it.
create table storages (
    cluster_id uuid not null references clusters (id),
    node text not null,
    name text not null,
    kind text not null,
    shared boolean not null,
    total_bytes bigint not null,
    used_bytes bigint not null,
    seen_at timestamptz not null,
    primary key (cluster_id, node, name)
);

-- Guests on a cluster that are not ours, as the last look listed them.
create table foreign_guests (
    cluster_id uuid not null references clusters (id),
    vmid integer not null,
    name text not null,
    node text not null,
    status text not null,
    template boolean not null,
    vcpu integer not null,
    memory_mib integer not null,
    disk_gib integer not null,
    tags text[] not null default '{}',
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    primary key (cluster_id, vmid)
);

-- Where a guest is not what we sell: found by a look, ended by an operator's decision or by the guest being right again.
create table drifts (
    id uuid primary key,
    cluster_id uuid not null references clusters (id),
    vm_id uuid not null references vms (id),
    kind text not null constraint drifts_kind_known check (kind in ('size', 'disk', 'tags', 'identity', 'missing')),
    expected jsonb not null,
    found jsonb not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    -- Null while it waits for a decision.
    resolution text constraint drifts_resolution_known check (resolution in ('accepted', 'enforced', 'adopted', 'gone')),
    resolved_at timestamptz,
    resolved_by uuid references users (id),
    constraint drifts_resolved_both check ((resolution is null) = (resolved_at is null))
);
create unique index drifts_one_open on drifts (vm_id, kind) where resolution is null;
create index drifts_open on drifts (cluster_id) where resolution is null;
create index drifts_by_vm on drifts (vm_id, id desc);
