-- Who did what to what. Appended in the transaction of the change itself; never changed, never deleted.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

create table audit_events (
    id uuid primary key,
    at timestamptz not null,
    organisation_id uuid references organisations (id),
    actor_user_id uuid references users (id),
    -- The name the actor had then; 'system' when no person acted.
    actor text not null,
    event text not null,
    subject_kind text not null,
    subject_id text not null,
    subject_name text not null,
    detail jsonb not null default '{}',
    address text,
    request_id text
);
create index audit_events_by_organisation on audit_events (organisation_id, id desc);
create index audit_events_by_subject on audit_events (subject_id, id desc);

create trigger audit_events_append_only before update or delete on audit_events
    for each row execute function refuse_change();
create trigger audit_events_no_truncate before truncate on audit_events
    for each statement execute function refuse_change();
