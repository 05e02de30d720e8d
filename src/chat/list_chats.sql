-- The chats of a member on one side, the most recent activity first.
--
-- $1 user, $2 side, $3 at most so many, $4 skip so many.
with page as materialized (
    select chat.id, chat.job_id, chat.closed_at, chat.created_at, member.last_read_seq,
           last.id as message_id, last.seq, last.sender_id, last.sender_type, last.message, last.message_type,
           last.created_at as sent_at, coalesce(last.created_at, chat.created_at) as active_at
    from stm.chat_members member
    join stm.chats chat on chat.id = member.chat_id
    left join stm.messages last on last.chat_id = chat.id and last.seq = chat.last_seq
    where member.user_id = $1 and member.side = $2 and member.left_at is null
    order by active_at desc, chat.id desc
    limit $3 offset $4
)
select page.id as "id: ChatId", page.created_at,
       job.id as "job_id: JobId", job.status as "job_status: JobStatus",
       service.name as service_name, service.category as service_category,
       provider.id as "provider_id: ProviderId", provider.business_name,
       provider_user.id as "provider_user_id: UserId", provider_user.first_name as provider_first_name,
       provider_user.last_name as provider_last_name, provider_user.profile_picture as provider_picture,
       provider_presence.last_seen_at as "provider_last_seen_at?",
       customer.id as "customer_id: CustomerId",
       customer_user.id as "customer_user_id: UserId", customer_user.first_name as customer_first_name,
       customer_user.last_name as customer_last_name, customer_user.profile_picture as customer_picture,
       customer_presence.last_seen_at as "customer_last_seen_at?",
       page.message_id as "message_id?: MessageId", page.seq as "seq?", page.sender_type as "sender_type?: Side",
       page.sender_id as "sender_id?: UserId", sender.first_name || ' ' || sender.last_name as sender_name,
       manager.id as "manager_id?", manager.first_name as "manager_first_name?", manager.last_name as "manager_last_name?",
       page.message as "message?", page.message_type as "message_type?: MessageType", page.sent_at as "sent_at?",
       (select count(*)
        from stm.messages unread
        where page.closed_at is null and unread.chat_id = page.id and unread.seq > page.last_read_seq
          and unread.sender_id <> $1) as "unread!"
from page
join stm.jobs job on job.id = page.job_id
join stm.services service on service.id = job.service_id
-- Not the job's provider: a job that was given to another one keeps the chat with the first.
cross join lateral (
    select user_id from stm.chat_members where chat_id = page.id and side = 'service_provider' limit 1
) booked
join stm.providers provider on provider.user_id = booked.user_id
join stm.users provider_user on provider_user.id = provider.user_id
left join stm.presence provider_presence on provider_presence.user_id = provider_user.id
join stm.customers customer on customer.id = job.customer_id
join stm.users customer_user on customer_user.id = customer.user_id
left join stm.presence customer_presence on customer_presence.user_id = customer_user.id
left join stm.users sender on sender.id = page.sender_id
left join lateral (
    select l.id, u.first_name, u.last_name
    from stm.chat_members m
    join stm.users u on u.id = m.user_id
    join stm.local_service_managers l on l.user_id = m.user_id
    where m.chat_id = page.id and m.side = 'local_service_manager' and m.left_at is null
    limit 1
) manager on true
order by page.active_at desc, page.id desc
