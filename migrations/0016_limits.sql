-- Limits on attempts at passwords and one-time codes, counted here for all processes.

-- Whose attempts they are is a bucket: a keyed digest of an e-mail address or a client address, cut to 20 bits, so that the
-- table cannot grow. A bucket without a row is full.
create table stm.attempts (
    key bigint primary key,  -- the policy, and its bucket
    full_at timestamptz not null  -- when nothing of the quota is used any more
);
create index attempts_full_at on stm.attempts (full_at);
alter table stm.attempts enable row level security;

-- Where a login was opened: a keyed digest of the account and the client's address. Logins from there are not counted with
-- those of strangers.
alter table stm.refresh_tokens add column place_digest bytea check (length(place_digest) = 32);
create index refresh_tokens_place_digest on stm.refresh_tokens (user_id, place_digest) where place_digest is not null;
