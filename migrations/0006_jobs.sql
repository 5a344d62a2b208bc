-- Durable work. A job is inserted in the transaction of the change that wants it, claimed with a lease, and every
-- write of its runner names the lease, so that a runner that lost it can change nothing.
create table jobs (
    id uuid primary key,
    number bigint generated always as identity unique,
    kind text not null,
    organisation_id uuid references organisations (id),
    vm_id uuid references vms (id),
    status text not null constraint jobs_status_known check (status in ('pending', 'running', 'completed', 'failed', 'cancelled', 'parked')),
    -- The index of the step to run next; counts down again while undoing.
    step integer not null default 0,
    undoing boolean not null default false,
    cancel_requested boolean not null default false,
    -- What the current step must remember across interruptions (a Proxmox task id, when it began).
    scratch jsonb not null default '{}',
    payload jsonb not null default '{}',
    attempts integer not null default 0,
    -- What went wrong last, in Proxmox's own words where it spoke; and the sentence for the customer.
    error text,
    waiting_for text,
    requested_by uuid references users (id),
    created_at timestamptz not null,
    finished_at timestamptz,
    -- Times of the machinery, not of the books: when to run next, until when the lease holds.
    run_at timestamptz not null,
    leased_until timestamptz,
    lease uuid
);
create index jobs_due on jobs (run_at) where status in ('pending', 'running');
create index jobs_by_vm on jobs (vm_id, number) where status in ('pending', 'running', 'parked');
create index jobs_by_organisation on jobs (organisation_id, id desc);
create index jobs_by_status on jobs (status, id desc);

create table job_logs (
    id bigint generated always as identity primary key,
    job_id uuid not null references jobs (id),
    at timestamptz not null,
    step text not null,
    message text not null
);
create index job_logs_by_job on job_logs (job_id, id);
