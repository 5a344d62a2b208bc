-- Who may do what. An organisation makes roles of its own beside those that everyone has; a person is active, suspended
-- (looks, and changes nothing) or banned (does not come in).
alter table users
    add column state text not null default 'active' constraint users_state_known check (state in ('active', 'suspended', 'banned')),
    add column state_reason text constraint users_state_reason_length check (length(state_reason) between 1 and 200),
    add column state_since timestamptz,
    add constraint users_state_has_a_reason check ((state = 'active') = (state_reason is null) and (state = 'active') = (state_since is null));

create table roles (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    name text not null constraint roles_name_length check (length(name) between 1 and 40),
    -- Patterns of permissions: a name, the beginning of names (`vm.*`), or `*`.
    permissions text[] not null constraint roles_permissions_count check (cardinality(permissions) between 1 and 64),
    created_at timestamptz not null,
    changed_at timestamptz not null,
    unique (organisation_id, id)
);
create unique index roles_name_once on roles (organisation_id, lower(name));

-- A member has one of the roles that every organisation has, or one of its own.
alter table members
    alter column role drop not null,
    add column role_id uuid,
    add constraint members_role_of_own_organisation foreign key (organisation_id, role_id) references roles (organisation_id, id),
    add constraint members_one_role check ((role is null) <> (role_id is null));
create index members_by_role on members (role_id) where role_id is not null;
