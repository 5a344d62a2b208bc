-- Mails that the platform owes somebody, and notices in the portal. Both are written in the transaction of what they tell of:
-- what was rolled back is not told, and what was committed is not forgotten. A worker carries the mails to the mail server.
create table mails (
    id uuid primary key,
    -- Names the cause: it is told once, whoever asks how often. In the order of bytes, so that a prefix is a range.
    key text collate "C" not null constraint mails_key_once unique
        constraint mails_key_length check (length(key) between 1 and 300),
    kind text not null constraint mails_kind_length check (length(kind) between 1 and 60),
    organisation_id uuid references organisations (id),
    user_id uuid references users (id),
    to_address text not null constraint mails_to_address_line check (length(to_address) <= 320 and to_address !~ '[[:cntrl:]]'),
    to_name text not null constraint mails_to_name_line check (length(to_name) <= 100 and to_name !~ '[[:cntrl:]]'),
    subject text not null constraint mails_subject_line check (length(subject) between 1 and 200 and subject !~ '[[:cntrl:]]'),
    body text not null constraint mails_body_length check (length(body) <= 20000),
    status text not null default 'pending'
        constraint mails_status_known check (status in ('pending', 'sent', 'failed', 'unsent', 'withdrawn')),
    -- How often it was tried in vain, and how often of these the server itself put it off.
    attempts integer not null default 0,
    deferrals integer not null default 0,
    -- By the machine's time, unlike all else here: none is at once.
    next_attempt_at timestamptz,
    leased_until timestamptz,
    lease uuid,
    -- Why it is where it is, in the words of the mail server where it spoke.
    error text,
    created_at timestamptz not null,
    -- When the mail server took it: what "delivered" means here.
    sent_at timestamptz,
    withdrawn_at timestamptz,
    constraint mails_sent_has_time check ((status = 'sent') = (sent_at is not null)),
    constraint mails_withdrawn_has_time check (status <> 'withdrawn' or withdrawn_at is not null)
);
create index mails_due on mails (next_attempt_at nulls first, id) where status = 'pending';
create index mails_in_trouble on mails (status, id) where status in ('failed', 'unsent');
create index mails_by_organisation on mails (organisation_id, id);

-- What an organisation should know, shown in its portal until it is read or no longer true.
create table notifications (
    id uuid primary key,
    organisation_id uuid not null references organisations (id),
    key text collate "C" not null constraint notifications_key_length check (length(key) between 1 and 200),
    kind text not null constraint notifications_kind_length check (length(kind) between 1 and 60),
    severity text not null constraint notifications_severity_known check (severity in ('info', 'warning', 'urgent')),
    title text not null constraint notifications_title_line check (length(title) between 1 and 200 and title !~ '[[:cntrl:]]'),
    body text not null constraint notifications_body_length check (length(body) <= 10000),
    -- A path of the portal.
    link text constraint notifications_link_path check (link like '/%' and link not like '//%'),
    created_at timestamptz not null,
    read_at timestamptz,
    withdrawn_at timestamptz,
    constraint notifications_key_once unique (organisation_id, key)
);
create index notifications_by_organisation on notifications (organisation_id, id) where withdrawn_at is null;
create index notifications_unread on notifications (organisation_id) where withdrawn_at is null and read_at is null;
