-- How somebody comes into an organisation, and how much an organisation may have. An invitation is a promise to whoever reads the
-- mails of one address: only the hash of its token is kept, it ends after a week, and it is redeemed once.
create table invitations (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    email text not null constraint invitations_email_length check (length(email) between 3 and 254),
    role text constraint invitations_role_known check (role in ('owner', 'admin', 'operator', 'billing', 'viewer')),
    role_id uuid,
    token_hash bytea not null constraint invitations_token_once unique,
    invited_by uuid not null references users (id),
    created_at timestamptz not null,
    -- By the machine's time, as tokens are: when it was last sent, until when it is good, and how often it was sent.
    sent_at timestamptz not null,
    expires_at timestamptz not null,
    sends integer not null default 1 constraint invitations_sends_positive check (sends >= 1),
    accepted_at timestamptz,
    accepted_by uuid references users (id),
    withdrawn_at timestamptz,
    constraint invitations_role_of_own_organisation foreign key (organisation_id, role_id) references roles (organisation_id, id),
    constraint invitations_one_role check ((role is null) <> (role_id is null)),
    constraint invitations_accepted_by_somebody check ((accepted_at is null) = (accepted_by is null)),
    constraint invitations_end_once check (accepted_at is null or withdrawn_at is null)
);
create unique index invitations_open_once on invitations (organisation_id, lower(email)) where accepted_at is null and withdrawn_at is null;
create index invitations_by_organisation on invitations (organisation_id, created_at);
create index invitations_by_role on invitations (role_id) where role_id is not null;

-- How much an organisation may have at once, unless it has an answer of its own.
create table default_quotas (
    only_row boolean primary key default true constraint default_quotas_only_row check (only_row),
    vms bigint not null default 50 constraint default_quotas_vms_range check (vms between 0 and 1000000),
    vcpu bigint not null default 200 constraint default_quotas_vcpu_range check (vcpu between 0 and 10000000),
    memory_mib bigint not null default 524288 constraint default_quotas_memory_range check (memory_mib between 0 and 1000000000),
    disk_gib bigint not null default 10000 constraint default_quotas_disk_range check (disk_gib between 0 and 1000000000),
    snapshots bigint not null default 200 constraint default_quotas_snapshots_range check (snapshots between 0 and 1000000),
    backups bigint not null default 200 constraint default_quotas_backups_range check (backups between 0 and 1000000),
    addresses bigint not null default 50 constraint default_quotas_addresses_range check (addresses between 0 and 1000000),
    api_requests_per_minute bigint not null default 600 constraint default_quotas_api_range check (api_requests_per_minute between 1 and 1000000),
    -- Where customers ask for more: an e-mail address or an https:// address.
    contact text constraint default_quotas_contact_length check (length(contact) between 3 and 200),
    changed_at timestamptz
);
insert into default_quotas default values;

-- The own answers of an organisation; null is the default of the platform.
create table quotas (
    organisation_id uuid primary key references organisations (id),
    vms bigint constraint quotas_vms_range check (vms between 0 and 1000000),
    vcpu bigint constraint quotas_vcpu_range check (vcpu between 0 and 10000000),
    memory_mib bigint constraint quotas_memory_range check (memory_mib between 0 and 1000000000),
    disk_gib bigint constraint quotas_disk_range check (disk_gib between 0 and 1000000000),
    snapshots bigint constraint quotas_snapshots_range check (snapshots between 0 and 1000000),
    backups bigint constraint quotas_backups_range check (backups between 0 and 1000000),
    addresses bigint constraint quotas_addresses_range check (addresses between 0 and 1000000),
    api_requests_per_minute bigint constraint quotas_api_range check (api_requests_per_minute between 1 and 1000000),
    changed_at timestamptz not null
);
