-- The members of a chat, on its own row: whoever locks the row to write a message knows exactly who may read it, however
-- late the news of an ended membership arrive.
alter table stm.chats add column member_ids bigint[] not null default '{}';

update stm.chats chat
set member_ids = members.ids
from (select chat_id, array_agg(user_id order by user_id) as ids from stm.chat_members where left_at is null group by chat_id) members
where members.chat_id = chat.id;

-- One expression on the row itself, so that of two changes at once neither is lost.
create function stm.keep_chat_member_ids() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op <> 'INSERT' then
        update stm.chats set member_ids = array_remove(member_ids, old.user_id) where id = old.chat_id;
    end if;
    if tg_op <> 'DELETE' and new.left_at is null then
        update stm.chats set member_ids = array_append(array_remove(member_ids, new.user_id), new.user_id) where id = new.chat_id;
    end if;
    return null;
end;
$$;
revoke all on function stm.keep_chat_member_ids() from public;
create trigger chat_member_ids_inserted after insert on stm.chat_members
    for each row when (new.left_at is null) execute function stm.keep_chat_member_ids();
create trigger chat_member_ids_updated after update of chat_id, user_id, left_at on stm.chat_members
    for each row when (old.left_at is distinct from new.left_at or old.user_id <> new.user_id or old.chat_id <> new.chat_id)
    execute function stm.keep_chat_member_ids();
create trigger chat_member_ids_deleted after delete on stm.chat_members
    for each row execute function stm.keep_chat_member_ids();
