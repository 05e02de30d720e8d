-- Everything that the booking of job $1 has stored, without what differs between two bookings: ids, times, and the provider.
select jsonb_build_object(
    'job', to_jsonb(j) - '{id,provider_id,created_at,updated_at,response_deadline}'::text[],
    'minutes', round(extract(epoch from j.response_deadline - j.created_at) / 60),
    'events', (
        select jsonb_agg(to_jsonb(e) - '{id,job_id,at}'::text[] order by e.id) from stm.job_events e where e.job_id = j.id),
    'chats', (
        select jsonb_agg(to_jsonb(c) - '{id,job_id,created_at,member_ids}'::text[]
                         || jsonb_build_object('members', cardinality(c.member_ids)))
        from stm.chats c where c.job_id = j.id),
    'members', (
        select jsonb_agg(to_jsonb(m) - '{chat_id,user_id,joined_at}'::text[]
                         || jsonb_build_object('is_provider', m.user_id = p.user_id, 'is_customer', m.user_id = u.user_id)
                         order by m.side)
        from stm.chat_members m join stm.chats c on c.id = m.chat_id where c.job_id = j.id),
    'messages', (
        select jsonb_agg(to_jsonb(m) - '{id,chat_id,created_at}'::text[] order by m.seq)
        from stm.messages m join stm.chats c on c.id = m.chat_id where c.job_id = j.id),
    'notifications', (
        select jsonb_agg(to_jsonb(n) - '{id,recipient_id,created_at,metadata}'::text[]
                         || jsonb_build_object('is_provider', n.recipient_id = p.user_id,
                                               'names', (select jsonb_agg(name order by name) from jsonb_object_keys(n.metadata) name),
                                               'is_its_chat', (select c.id::text = n.metadata ->> 'chatId' from stm.chats c where c.job_id = j.id)))
        from stm.notifications n where n.metadata -> 'jobId' = to_jsonb(j.id)))
from stm.jobs j
join stm.providers p on p.id = j.provider_id
join stm.customers u on u.id = j.customer_id
where j.id = $1
