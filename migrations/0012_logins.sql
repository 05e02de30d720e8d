-- Logins: how a refresh token came about, and news of accounts that are gone.

-- The token that this one was exchanged for. With it, an exchange whose answer was lost differs from a theft.
alter table stm.refresh_tokens add column parent_digest bytea;
create index refresh_tokens_parent_digest on stm.refresh_tokens (parent_digest);

create function stm.user_gone() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform pg_notify('stm_realtime', jsonb_build_object('kind', 'user_banned', 'user_id', old.id)::text);
    return null;
end;
$$;
revoke all on function stm.user_gone() from public;

create trigger user_deleted after delete on stm.users
    for each row execute function stm.user_gone();
