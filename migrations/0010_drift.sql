-- What looks remember from one to the next, so that the same listing is not questioned again, and where they failed.

-- Whose a guest under our VMID was found to be, by its SMBIOS uuid, when its listing alone did not say so.
create table guest_verdicts (
    vm_id uuid primary key references vms (id),
    -- Node and tags as they were listed then: while they stay so, the guest is not asked again.
    listing text not null,
    ours boolean not null,
    -- What its configuration said.
    tagged boolean not null,
    uuid text,
    at timestamptz not null
);

-- Machines whose change of a look could not be written; each is tried again by the next.
create table look_failures (
    vm_id uuid primary key references vms (id),
    error text not null,
    since timestamptz not null
);

-- An accepted difference stands until the guest is right again; then the same difference is a new one.
alter table drifts add column ended_at timestamptz;
create index drifts_standing on drifts (cluster_id) where ended_at is null and (resolution is null or resolution = 'accepted');

-- How an adopted guest was found: what its machine is when the adoption is done.
alter table vms add column found_state text constraint vms_found_state_known check (found_state in ('running', 'stopped'));

-- A look asks which machines a job has just left.
create index jobs_by_finish on jobs (finished_at) where finished_at is not null;
