-- Stores a batch of messages and says what became of each, in the order of the batch.
--
-- $1 ids, $2 chats, $3 senders, $4 client message ids (or null), $5 texts, $6 types: one entry per message.
-- $7 chats and $8 users: who is looking at which chat, and so needs no notification.
--
-- What the rows of a batch need to know of each other comes from windows, not from joins: PostgreSQL cannot know how
-- large a batch is, and would compare each row with every other. Limits in lateral joins make it look rows up one by
-- one: the plan is made while the tables are small, and kept.
with input as (
    select *
    from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[]) with ordinality
         as input (id, chat_id, sender_id, client_message_id, message, message_type, position)
), locked as materialized (
    select id, last_seq, closed_at, member_ids from stm.chats where id = any($2::uuid[]) order by id for no key update
), known as (
    select input.*, locked.last_seq, locked.closed_at is not null as is_closed, locked.member_ids, member.side,
           u.first_name || ' ' || u.last_name as sender_name,
           stored.id as stored_id, stored.seq as stored_seq, stored.created_at as stored_at,
           stored.message as stored_message, stored.message_type as stored_type,
           row_number() over same as occurrence
    from input
    left join locked on locked.id = input.chat_id
    left join lateral (
        select m.user_id, m.side
        from stm.chat_members m
        where m.chat_id = locked.id and m.user_id = input.sender_id and m.left_at is null
          and m.user_id = any(locked.member_ids)
        limit 1
    ) member on true
    left join lateral (select first_name, last_name from stm.users where id = member.user_id limit 1) u on true
    -- A batch whose outcome was unknown is sent again under the same ids; a client, under its own.
    left join lateral (
        select m.id, m.seq, m.created_at, m.message, m.message_type
        from stm.messages m
        where m.id = input.id and m.sender_id = member.user_id
        union all
        select m.id, m.seq, m.created_at, m.message, m.message_type
        from stm.messages m
        where m.chat_id = locked.id and m.sender_id = member.user_id and m.client_message_id = input.client_message_id
        limit 1
    ) stored on true
    window same as (
        partition by input.chat_id, input.sender_id, input.client_message_id,
                     case when input.client_message_id is null then input.id end
        order by input.position)
), decided as (
    select known.*, side is not null and not is_closed and stored_id is null and occurrence = 1 as is_fresh from known
), numbered as materialized (
    select decided.*, last_seq + count(*) filter (where is_fresh) over (partition by chat_id order by position) as next_seq
    from decided
), counted as (
    update stm.chats chat
    set last_seq = last.seq
    from (select chat_id, max(next_seq) as seq from numbered where is_fresh group by chat_id) last
    where chat.id = last.chat_id and chat.id = any($2::uuid[])
), inserted as (
    insert into stm.messages (id, chat_id, seq, sender_id, sender_type, client_message_id, message, message_type)
    select id, chat_id, next_seq, sender_id, side, client_message_id, message, message_type
    from numbered
    where is_fresh
), notified as (
    insert into stm.notifications (recipient_id, type, title, message, metadata)
    select member.user_id, 'message', 'New message from ' || fresh.sender_name,
           case fresh.message_type when 'text' then left(fresh.message, 140) else 'Sent a file' end,
           jsonb_build_object('chatId', fresh.chat_id, 'messageId', fresh.id)
    from numbered fresh
    cross join lateral (
        select m.chat_id, m.user_id
        from stm.chat_members m
        where m.chat_id = fresh.chat_id and m.user_id <> fresh.sender_id and m.left_at is null
        limit 100
    ) member
    where fresh.is_fresh
      and not exists (
        select from unnest($7::uuid[], $8::bigint[]) as present (chat_id, user_id)
        where present.chat_id = member.chat_id and present.user_id = member.user_id)
    returning id, recipient_id, title, message, metadata, created_at
)
select side as "side?: Side", is_closed as "is_closed!", sender_name,
       coalesce(stored_id, first_value(id) over same) as "id: MessageId",
       coalesce(stored_seq, first_value(case when is_fresh then next_seq end) over same) as seq,
       coalesce(stored_at, now()) as "created_at!",
       is_fresh or coalesce(stored_id = id, false) as "is_new!",
       -- The same client message id for something else.
       (coalesce(stored_message, first_value(message) over same), coalesce(stored_type, first_value(message_type) over same))
           is distinct from (message, message_type) as "is_conflict!",
       coalesce(member_ids, '{}') as "member_ids!: Vec<UserId>",
       -- Of the whole batch, once.
       case position when 1 then (
           select jsonb_agg(jsonb_build_object(
                      'id', notified.id, 'message_id', notified.metadata -> 'messageId', 'recipient_type', u.role, 'recipient_id', notified.recipient_id,
                      'title', notified.title, 'message', notified.message, 'metadata', notified.metadata,
                      'created_at', notified.created_at))
           from notified
           cross join lateral (select role from stm.users where id = notified.recipient_id limit 1) u)
       end as "notifications: Json<Vec<NotificationRow>>"
from numbered
window same as (
    partition by chat_id, sender_id, client_message_id, case when client_message_id is null then id end
    order by position)
order by position
