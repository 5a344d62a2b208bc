-- A person of the operator can look at the portal as a customer sees it: for a stated reason, for a short time, from one
-- browser, and never as one of the operator's own people. What he does meanwhile is in the customer's log under both names.
create table impersonations (
    id uuid constraint impersonations_pkey primary key,
    -- The browser in which it goes on; gone when that is logged out, which ends it.
    session_id uuid constraint impersonations_session_fkey references sessions (id) on delete set null,
    staff_user_id uuid not null constraint impersonations_staff_fkey references users (id),
    user_id uuid not null constraint impersonations_user_fkey references users (id),
    organisation_id uuid not null constraint impersonations_organisation_fkey references organisations (id),
    reason text not null constraint impersonations_reason_length check (length(reason) between 1 and 200),
    -- By the machine's time, like the sessions that it is part of.
    started_at timestamptz not null,
    ends_at timestamptz not null,
    ended_at timestamptz,
    constraint impersonations_forward check (ends_at > started_at),
    constraint impersonations_of_somebody_else check (staff_user_id <> user_id)
);
-- One at a time in a browser.
create unique index impersonations_open_by_session on impersonations (session_id) where ended_at is null;
create index impersonations_open on impersonations (ends_at) where ended_at is null;
create index impersonations_open_by_staff on impersonations (staff_user_id) where ended_at is null;
create index impersonations_open_by_user on impersonations (user_id) where ended_at is null;
