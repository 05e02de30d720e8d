-- What the chat remembers of its connections, and how it learns of changes made elsewhere.

-- `delivered_seq`: the last message that the member's sockets were given. `dropped_at`: when the last of them
-- dropped; 'infinity' while one is in the chat; null if there was none, or it left on purpose.
alter table stm.chat_members
    add column delivered_seq bigint not null default 0 check (delivered_seq >= 0),
    add column dropped_at timestamptz;
alter table stm.chat_members set (fillfactor = 80);
-- A member of a chat is found by one row of either index, so that no plan walks through all chats of a busy provider.
drop index stm.chat_members_user_id;
create index chat_members_user_id on stm.chat_members (user_id, chat_id);
-- Finds, at start, whoever was in a chat when the process before was killed.
create index chat_members_connected on stm.chat_members (chat_id) where dropped_at = 'infinity';

-- When somebody was last online. Refreshed while they are, so that a killed process loses a minute at most.
create table stm.presence (
    user_id bigint primary key references stm.users (id) on delete cascade,
    last_seen_at timestamptz not null
);
alter table stm.presence enable row level security;

-- Changes that live sockets must follow, whoever makes them: told on the channel `stm_realtime` when their
-- transaction commits. All are rare; messages are never told this way, because NOTIFY serializes commits.
create function stm.chat_member_changed() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op = 'DELETE' then
        perform pg_notify('stm_realtime', json_build_object('kind', 'member_left', 'chat_id', old.chat_id, 'user_id', old.user_id)::text);
    elsif new.left_at is null then
        perform pg_notify('stm_realtime', json_build_object('kind', 'member_joined', 'chat_id', new.chat_id, 'user_id', new.user_id)::text);
    else
        perform pg_notify('stm_realtime', json_build_object('kind', 'member_left', 'chat_id', new.chat_id, 'user_id', new.user_id)::text);
    end if;
    return null;
end;
$$;
-- The members that a chat begins with need no telling: nobody is there yet. LSMs come later.
create trigger chat_member_inserted after insert on stm.chat_members
    for each row when (new.side = 'local_service_manager' and new.left_at is null) execute function stm.chat_member_changed();
create trigger chat_member_updated after update of left_at on stm.chat_members
    for each row when (old.left_at is distinct from new.left_at) execute function stm.chat_member_changed();
create trigger chat_member_deleted after delete on stm.chat_members
    for each row execute function stm.chat_member_changed();

-- Tells of a row: what happened, under which name, and which column tells whose.
create function stm.tell_of_row() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform pg_notify('stm_realtime', jsonb_build_object('kind', tg_argv[0], tg_argv[1], to_jsonb(new) -> tg_argv[2])::text);
    return null;
end;
$$;
create trigger chat_closed after update of closed_at on stm.chats
    for each row when (old.closed_at is null and new.closed_at is not null)
    execute function stm.tell_of_row('chat_closed', 'chat_id', 'id');
create trigger user_banned after update of banned_at on stm.users
    for each row when (old.banned_at is null and new.banned_at is not null)
    execute function stm.tell_of_row('user_banned', 'user_id', 'id');
create trigger login_ended after update of revoked_at on stm.refresh_tokens
    for each row when (old.revoked_at is null and new.revoked_at is not null)
    execute function stm.tell_of_row('login_ended', 'user_id', 'user_id');

revoke all on function stm.chat_member_changed(), stm.tell_of_row() from public;
