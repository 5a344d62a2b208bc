-- The Proxmox clusters that machines run on, and what on them is ours to hand out.
create table clusters (
    id uuid primary key,
    name text not null,
    location_id uuid not null references locations (id),
    endpoint text not null,
    token_id text not null,
    -- Fernet; the key is in the settings, never here.
    token_secret_encrypted text not null,
    -- SHA-256 of the certificate, AA:BB:…; without it the certificate must be signed by a public authority or by ca_pem.
    fingerprint text,
    ca_pem text,
    storage text not null,
    -- Whether every node has that storage, so that a template can be cloned to any node.
    storage_shared boolean not null default false,
    bridge text not null,
    vmid_from integer not null,
    vmid_to integer not null,
    vmid_next integer not null,
    maintenance boolean not null default false,
    version text,
    -- The last look that was answered, and since when looks are not answered (null: they are).
    last_seen_at timestamptz,
    unreachable_since timestamptz,
    last_error text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint clusters_vmid_range check (vmid_from between 100 and 999999999 and vmid_to between vmid_from and 999999999)
);
create unique index clusters_name_once on clusters (lower(name));

-- What the last look saw of each node.
create table nodes (
    cluster_id uuid not null references clusters (id),
    name text not null,
    online boolean not null,
    cpu_count integer not null,
    memory_bytes bigint not null,
    memory_used_bytes bigint not null,
    seen_at timestamptz not null,
    primary key (cluster_id, name)
);

-- Which template on a cluster an image is cloned from.
create table image_templates (
    image_id uuid not null references images (id),
    cluster_id uuid not null references clusters (id),
    node text not null,
    vmid integer not null,
    primary key (image_id, cluster_id)
);

create table address_pools (
    id uuid primary key,
    location_id uuid not null references locations (id),
    name text not null unique,
    network cidr not null,
    gateway inet not null,
    nameserver inet not null,
    created_at timestamptz not null
);

-- One row per address that may be given out, so that a free one is found and locked without a race.
create table addresses (
    address inet primary key,
    pool_id uuid not null references address_pools (id),
    vm_id uuid,
    assigned_at timestamptz,
    -- An address rests after use, so that traffic meant for the last owner does not reach the next.
    resting_until timestamptz
);
create index addresses_free on addresses (pool_id, address) where vm_id is null;
create unique index addresses_one_per_vm on addresses (vm_id) where vm_id is not null;
