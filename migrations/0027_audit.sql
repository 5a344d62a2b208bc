-- An audit log that a careful person can trust: who acted is told apart (a person, a program with a key, staff, staff on
-- behalf of a customer, the platform), a change says what was before and after, the log is kept in a partition per month so
-- that what is too old goes as a whole table, and each event becomes a link of a chain of hashes, one chain per day, so that
-- a change by somebody who gets round the triggers is seen.

-- Without foreign keys: a log is no reason to keep or to lock what it tells of, and it has the names of that time.
alter table audit_events rename to audit_events_before;
alter table audit_events_before rename constraint audit_events_pkey to audit_events_before_pkey;
drop index audit_events_by_organisation;
drop index audit_events_by_subject;
create table audit_events (
    id uuid not null,
    at timestamptz not null,
    organisation_id uuid,
    -- The default is for the previous version, while it still runs.
    actor_kind text not null default 'person'
        constraint audit_events_actor_kind_known check (actor_kind in ('person', 'key', 'staff', 'system', 'stranger')),
    -- The person who answers for it: himself, the maker of the key, or the person of the staff.
    actor_user_id uuid,
    -- The name the actor had then; 'system' when no person acted.
    actor text not null,
    actor_key_id uuid,
    -- The name the key had then.
    actor_key text,
    -- As whom a person of the staff acted.
    on_behalf_user_id uuid,
    on_behalf text,
    event text not null,
    subject_kind text not null,
    subject_id text not null,
    subject_name text not null,
    -- What else is worth knowing; never a secret.
    detail jsonb not null default '{}',
    -- What was before and after: {"name": {"before": "a", "after": "b"}}.
    changes jsonb,
    address text,
    user_agent text,
    request_id text,
    constraint audit_events_pkey primary key (id, at),
    constraint audit_events_key_of_a_key check ((actor_kind = 'key') = (actor_key_id is not null)),
    constraint audit_events_behalf_of_staff check (on_behalf_user_id is null or actor_kind = 'staff')
) partition by range (at);
create index audit_events_by_organisation on audit_events (organisation_id, id desc);
create index audit_events_by_subject on audit_events (subject_id, id desc);
create index audit_events_by_time on audit_events (at);

create trigger audit_events_append_only before update or delete on audit_events
    for each row execute function refuse_change();
create trigger audit_events_no_truncate before truncate on audit_events
    for each statement execute function refuse_change();
revoke update, delete, truncate on audit_events from public, current_user;

-- Events that are not in the chain yet. The trigger writes them down, whoever inserts.
create table audit_unsealed (
    event_id uuid not null,
    at timestamptz not null,
    constraint audit_unsealed_pkey primary key (at, event_id)
);
create function await_sealing() returns trigger language plpgsql as $$
begin
    insert into audit_unsealed (event_id, at) values (new.id, new.at) on conflict do nothing;
    return null;
end
$$;
create trigger audit_events_await_sealing after insert on audit_events
    for each row execute function await_sealing();

-- The links: the event's place in the chain of its day, and the SHA-256 of the link before and of all that the event says.
create table audit_seals (
    day date not null,
    sequence bigint not null constraint audit_seals_sequence_from_one check (sequence > 0),
    event_id uuid not null,
    at timestamptz not null,
    hash bytea not null constraint audit_seals_hash_length check (length(hash) = 32),
    constraint audit_seals_pkey primary key (day, sequence)
) partition by range (day);
create trigger audit_seals_append_only before update or delete on audit_seals
    for each row execute function refuse_change();
create trigger audit_seals_no_truncate before truncate on audit_seals
    for each statement execute function refuse_change();
revoke update, delete, truncate on audit_seals from public, current_user;

-- The heads of the days, kept for ever: with them the chain holds together across days whose events are dropped. Only the
-- last day's row grows.
create table audit_days (
    day date constraint audit_days_pkey primary key,
    -- Where the day's chain begins: the last hash of the day before it; zeroes on the very first.
    began bytea not null constraint audit_days_began_length check (length(began) = 32),
    events bigint not null constraint audit_days_not_empty check (events > 0),
    hash bytea not null constraint audit_days_hash_length check (length(hash) = 32)
);
create function refuse_closed_day() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.day = old.day and new.began = old.began and new.events > old.events
        and not exists (select from audit_days where day > old.day) then
        return new;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;
create trigger audit_days_append_only before update or delete on audit_days
    for each row execute function refuse_closed_day();
create trigger audit_days_no_truncate before truncate on audit_days
    for each statement execute function refuse_change();
revoke delete, truncate on audit_days from public, current_user;

-- Months whose events were dropped because they were old enough.
create table audit_dropped_months (
    month date constraint audit_dropped_months_pkey primary key,
    dropped_at timestamptz not null
);
create trigger audit_dropped_months_append_only before update or delete on audit_dropped_months
    for each row execute function refuse_change();
create trigger audit_dropped_months_no_truncate before truncate on audit_dropped_months
    for each statement execute function refuse_change();
revoke update, delete, truncate on audit_dropped_months from public, current_user;

-- An event is part of somebody's transaction, which must not fail for want of a partition. What lies here was written while
-- the months ahead had not been made; it moves when its month is made.
create function make_audit_net() returns void language plpgsql as $$
declare
    name text;
begin
    foreach name in array array['audit_events', 'audit_seals'] loop
        execute format('create table %I (like %I including defaults including constraints)', name || '_net', name);
        execute format('revoke update, delete, truncate on %I from public, current_user', name || '_net');
        execute format('create trigger %I before truncate on %I for each statement execute function refuse_change()', name || '_net_no_truncate', name || '_net');
        execute format('alter table %I attach partition %I default', name, name || '_net');
    end loop;
end
$$;
select make_audit_net();

-- Makes the partitions of a month if they are not there, and says whether it did. Attached rather than made in place, which
-- would lock out everybody who reads or writes.
create function ensure_audit_partition(month date) returns boolean language plpgsql as $$
declare
    first date := date_trunc('month', month::timestamp)::date;
    next date := (date_trunc('month', month::timestamp) + interval '1 month')::date;
    suffix text := '_' || to_char(month, 'YYYY_MM');
    table_name text;
begin
    if exists (select from pg_class where relname = 'audit_events' || suffix and relnamespace = current_schema()::regnamespace) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('ensure_audit_partition'));
    if exists (select from pg_class where relname = 'audit_events' || suffix and relnamespace = current_schema()::regnamespace) then
        return false;
    end if;
    foreach table_name in array array['audit_events', 'audit_seals'] loop
        execute format('create table %I (like %I including defaults including constraints)', table_name || suffix, table_name);
        execute format('revoke update, delete, truncate on %I from public, current_user', table_name || suffix);
        execute format('create trigger %I before truncate on %I for each statement execute function refuse_change()', table_name || suffix || '_no_truncate', table_name || suffix);
    end loop;
    -- Rows of the month in the net would forbid it: a new net takes the others, the old one goes.
    if exists (select from audit_events_net where at >= first::timestamp at time zone 'UTC' and at < next::timestamp at time zone 'UTC')
        or exists (select from audit_seals_net where day >= first and day < next) then
        alter table audit_events detach partition audit_events_net;
        alter table audit_seals detach partition audit_seals_net;
        alter table audit_events_net rename to audit_events_old_net;
        alter table audit_seals_net rename to audit_seals_old_net;
        perform make_audit_net();
        execute format('alter table audit_events attach partition %I for values from (%L) to (%L)', 'audit_events' || suffix, first::timestamp at time zone 'UTC', next::timestamp at time zone 'UTC');
        execute format('alter table audit_seals attach partition %I for values from (%L) to (%L)', 'audit_seals' || suffix, first, next);
        create temporary table waiting on commit drop as select * from audit_unsealed;
        insert into audit_events select * from audit_events_old_net;
        insert into audit_seals select * from audit_seals_old_net;
        delete from audit_unsealed u where not exists (select from waiting w where w.event_id = u.event_id and w.at = u.at);
        drop table audit_events_old_net, audit_seals_old_net;
    else
        execute format('alter table audit_events attach partition %I for values from (%L) to (%L)', 'audit_events' || suffix, first::timestamp at time zone 'UTC', next::timestamp at time zone 'UTC');
        execute format('alter table audit_seals attach partition %I for values from (%L) to (%L)', 'audit_seals' || suffix, first, next);
    end if;
    return true;
end
$$;
-- Drops what a month holds, and writes down that it did. Its heads in audit_days stay.
create function drop_audit_partition(month date, now timestamptz) returns boolean language plpgsql as $$
declare
    first date := date_trunc('month', month::timestamp)::date;
    suffix text := '_' || to_char(month, 'YYYY_MM');
begin
    if not exists (select from pg_class where relname = 'audit_events' || suffix and relnamespace = current_schema()::regnamespace) then
        return false;
    end if;
    execute format('drop table %I, %I', 'audit_events' || suffix, 'audit_seals' || suffix);
    insert into audit_dropped_months (month, dropped_at) values (first, now) on conflict do nothing;
    return true;
end
$$;

-- The months of what was written so far and of the next year; the worker goes on from there.
do $$
begin
    perform ensure_audit_partition(month::date)
        from (select distinct date_trunc('month', at at time zone 'UTC') as month from audit_events_before
              union
              select generate_series(date_trunc('month', current_timestamp at time zone 'UTC'),
                                     date_trunc('month', current_timestamp at time zone 'UTC') + interval '12 months', interval '1 month')) months;
end
$$;
insert into audit_events (id, at, organisation_id, actor_kind, actor_user_id, actor, event, subject_kind, subject_id, subject_name, detail, address, request_id)
    select e.id, e.at, e.organisation_id,
           case when u.platform_role is not null then 'staff' when e.actor_user_id is not null then 'person' when e.actor = 'system' then 'system' else 'stranger' end,
           e.actor_user_id, e.actor, e.event, e.subject_kind, e.subject_id, e.subject_name, e.detail, e.address, e.request_id
    from audit_events_before e left join users u on u.id = e.actor_user_id;
drop table audit_events_before;
