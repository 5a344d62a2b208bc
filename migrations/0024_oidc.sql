-- People may come in with an account at the operator's identity provider (OpenID Connect). What names a person there is the
-- issuer with its own word for him, never his mail address, which may become another person's.
create table user_identities (
    id uuid primary key,
    user_id uuid not null constraint user_identities_user references users (id),
    issuer text not null constraint user_identities_issuer_length check (length(issuer) between 1 and 300),
    subject text not null constraint user_identities_subject_length check (length(subject) between 1 and 255),
    -- As the provider gave it when they were linked, so that people can tell them apart.
    email text constraint user_identities_email_length check (length(email) <= 254),
    created_at timestamptz not null,
    last_used_at timestamptz,
    constraint user_identities_once unique (issuer, subject)
);
create index user_identities_by_user on user_identities (user_id);

-- Somebody who was sent to the provider and is not done. Only hashes are kept of what proves that it is he who comes back; what
-- the provider must repeat follows from the browser's own token.
create table oidc_journeys (
    id uuid primary key,
    -- None: he came back, and has still to say that he wants to link what he showed.
    state_hash bytea constraint oidc_journeys_state_once unique,
    browser_hash bytea not null,
    purpose text not null constraint oidc_journeys_purpose_known check (purpose in ('log in', 'link', 'confirm')),
    -- In whose login he is: to link, or to confirm who he is.
    user_id uuid constraint oidc_journeys_user references users (id),
    session_id uuid,
    -- Where he goes afterwards; a path of ours.
    next text not null constraint oidc_journeys_next_length check (length(next) between 1 and 2000),
    issuer text constraint oidc_journeys_issuer_length check (length(issuer) between 1 and 300),
    subject text constraint oidc_journeys_subject_length check (length(subject) between 1 and 255),
    email text constraint oidc_journeys_email_length check (length(email) <= 254),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    constraint oidc_journeys_whose check ((purpose = 'log in') = (user_id is null) and (user_id is null) = (session_id is null)),
    constraint oidc_journeys_shown check (state_hash is not null or (purpose = 'link' and issuer is not null and subject is not null))
);
create index oidc_journeys_by_browser on oidc_journeys (browser_hash) where state_hash is null;
create index oidc_journeys_by_expiry on oidc_journeys (expires_at);

-- Whose account was made at the provider has a password that nobody knows, until he sets one.
alter table users add column has_password boolean not null default true;
