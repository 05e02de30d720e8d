-- Stores a batch of messages and says what became of each, in the order of the batch.
--
-- $1 ids, $2 chats, $3 senders, $4 client message ids (or null), $5 texts, $6 types: one entry per message.
-- $7 chats and $8 users: who is looking at which chat, and so needs no notification.
with input as (
    select *
    from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[]) with ordinality
         as input (id, chat_id, sender_id, client_message_id, message, message_type, position)
), locked as materialized (
    select id, closed_at from stm.chats where id = any($2::uuid[]) order by id for no key update
), allowed as materialized (
    select input.*, member.side, locked.closed_at is not null as is_closed, u.first_name || ' ' || u.last_name as sender_name
    from input
    join locked on locked.id = input.chat_id
    join stm.chat_members member
         on member.chat_id = input.chat_id and member.user_id = input.sender_id and member.left_at is null
    join stm.users u on u.id = input.sender_id
), fresh as (
    select allowed.*, row_number() over (partition by allowed.chat_id order by allowed.position) as place
    from allowed
    where not allowed.is_closed
      and not exists (select from stm.messages stored where stored.id = allowed.id)
      and (allowed.client_message_id is null
           or not exists (
                  select from stm.messages stored
                  where stored.chat_id = allowed.chat_id and stored.sender_id = allowed.sender_id
                    and stored.client_message_id = allowed.client_message_id)
              and not exists (
                  select from allowed earlier
                  where earlier.chat_id = allowed.chat_id and earlier.sender_id = allowed.sender_id
                    and earlier.client_message_id = allowed.client_message_id
                    and earlier.position < allowed.position))
), numbered as (
    update stm.chats chat
    set last_seq = chat.last_seq + counted.messages
    from (select chat_id, count(*) as messages from fresh group by chat_id) counted
    where chat.id = counted.chat_id
    returning chat.id, chat.last_seq - counted.messages as base
), inserted as (
    insert into stm.messages (id, chat_id, seq, sender_id, sender_type, client_message_id, message, message_type)
    select fresh.id, fresh.chat_id, numbered.base + fresh.place, fresh.sender_id, fresh.side,
           fresh.client_message_id, fresh.message, fresh.message_type
    from fresh
    join numbered on numbered.id = fresh.chat_id
    returning id, chat_id, seq, sender_id, client_message_id, created_at
), notified as (
    insert into stm.notifications (recipient_id, type, title, message, metadata)
    select member.user_id, 'message', 'New message from ' || fresh.sender_name,
           case fresh.message_type when 'text' then left(fresh.message, 140) else 'Sent a file' end,
           jsonb_build_object('chatId', fresh.chat_id, 'messageId', fresh.id)
    from fresh
    join stm.chat_members member
         on member.chat_id = fresh.chat_id and member.user_id <> fresh.sender_id and member.left_at is null
    where not exists (
        select from unnest($7::uuid[], $8::bigint[]) as present (chat_id, user_id)
        where present.chat_id = member.chat_id and present.user_id = member.user_id)
    returning id, recipient_id, title, message, metadata, created_at
)
select allowed.side as "side?: Side", allowed.is_closed as "is_closed?", allowed.sender_name,
       coalesce(inserted.id, repeated.id, named.id) as "id: MessageId",
       coalesce(inserted.seq, repeated.seq, named.seq) as seq,
       coalesce(inserted.created_at, repeated.created_at, named.created_at) as created_at,
       coalesce(inserted.id = input.id, repeated.id is not null) as "is_new!",
       (select jsonb_agg(jsonb_build_object(
                   'id', notified.id, 'recipient_type', u.role, 'recipient_id', notified.recipient_id,
                   'title', notified.title, 'message', notified.message, 'metadata', notified.metadata,
                   'created_at', notified.created_at))
        from notified
        join stm.users u on u.id = notified.recipient_id
        where notified.metadata ->> 'messageId' = input.id::text) as "notifications: Json<Vec<NotificationRow>>"
from input
left join allowed on allowed.position = input.position
left join inserted
     on inserted.chat_id = input.chat_id and inserted.sender_id = input.sender_id
        and (inserted.id = input.id or inserted.client_message_id = input.client_message_id)
-- A batch whose outcome was unknown is sent again under the same ids: they are new if they are there.
left join stm.messages repeated on repeated.id = input.id and repeated.sender_id = input.sender_id
left join stm.messages named
     on allowed.position is not null and named.chat_id = input.chat_id and named.sender_id = input.sender_id
        and named.client_message_id = input.client_message_id
order by input.position
