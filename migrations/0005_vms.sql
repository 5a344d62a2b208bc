-- Machines of customers. Proxmox is the truth about the guest; this is what we promised, believe and charge.
create table ssh_keys (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    name text not null constraint ssh_keys_name_length check (length(name) between 1 and 64),
    public_key text not null,
    fingerprint text not null,
    created_at timestamptz not null,
    constraint ssh_keys_once unique (organisation_id, fingerprint)
);

create table vms (
    id uuid primary key,
    number bigint generated always as identity unique,
    organisation_id uuid not null references organisations (id),
    name text not null,
    plan_id uuid not null references plans (id),
    image_id uuid not null references images (id),
    location_id uuid not null references locations (id),
    cluster_id uuid not null references clusters (id),
    node text not null,
    -- Null until the first step of provisioning has leased one.
    vmid integer,
    -- The keys as they were when the machine was ordered, one per line.
    authorized_keys text not null default '',
    state text not null constraint vms_state_known check (state in ('provisioning', 'running', 'stopped', 'failed', 'deleting', 'deleted')),
    state_since timestamptz not null,
    -- Why it failed, in words for the customer.
    state_reason text,
    -- Shut down by us because the credit ran out; started again by us when credit arrives.
    stopped_for_credit_at timestamptz,
    -- Two good looks at the cluster did not list the guest.
    missing_since timestamptz,
    missing_looks integer not null default 0,
    -- Makes a double submit of one order the same machine.
    order_key text,
    order_hash bytea,
    created_at timestamptz not null,
    deleted_at timestamptz,
    constraint vms_order_once unique (organisation_id, order_key)
);
create unique index vms_name_once on vms (organisation_id, name) where deleted_at is null;
create index vms_by_organisation on vms (organisation_id, id desc) where deleted_at is null;
create index vms_by_cluster on vms (cluster_id) where deleted_at is null;

alter table addresses add constraint addresses_vm foreign key (vm_id) references vms (id);

-- A VMID belongs to one machine before anything is sent to Proxmox, and rests after its machine is gone:
-- backups and leftovers on Proxmox are keyed by it.
create table vmid_leases (
    cluster_id uuid not null references clusters (id),
    vmid integer not null,
    -- Null: found in use by a guest that is not ours.
    vm_id uuid references vms (id),
    leased_at timestamptz not null,
    released_at timestamptz,
    primary key (cluster_id, vmid)
);
create unique index vmid_leases_one_per_vm on vmid_leases (vm_id) where released_at is null;
