-- Who has to prove once more that it is him goes on with what he had typed: the form waits with his session.
alter table sessions
    add column kept_form jsonb,
    add column kept_at timestamptz,
    add constraint sessions_kept_form check ((kept_form is null) = (kept_at is null));
