-- A secret that a job needs and nothing else may keep, such as a new password: Fernet, gone when the job is over.
alter table jobs add column secret_encrypted text;
