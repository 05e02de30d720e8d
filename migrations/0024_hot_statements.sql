-- Statements that run often, as functions: PostgreSQL parses and plans them once for each of the pooler's servers, not for
-- each request. `_v1` is a version: such a function is never changed. A new version is created beside it, and an old one is
-- dropped only when no running build can call it.

-- As in migration 1, but planned once: PostgreSQL prepares a body in SQL anew for each statement.
create or replace function stm.uuid_v7() returns uuid
language plpgsql volatile parallel safe
set search_path = ''
as $$
begin
    return encode(
        set_bit(set_bit(
            overlay(
                uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3 for 6)
                from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid;
end;
$$;

-- A customer's own profile, if the user is one and not banned.
create function stm.customer_profile_v1(p_user bigint)
returns table (
    first_name text, last_name text, email text, phone_number text, address text, region text, zipcode text,
    total_jobs bigint, total_spent_cents bigint)
language plpgsql stable
set search_path = ''
as $$
begin
    return query
    select u.first_name, u.last_name, u.email, u.phone_number, c.address, c.region, c.zipcode, j.total_jobs, j.total_spent_cents
    from stm.users u
    join stm.customers c on c.user_id = u.id
    cross join lateral (
        select count(*) as total_jobs,
               coalesce(sum(x.price_cents) filter (where x.status = 'paid'), 0)::bigint as total_spent_cents
        from stm.jobs x
        where x.customer_id = c.id
    ) j
    where u.id = p_user and u.banned_at is null;
end;
$$;

-- A part of a chat's history, oldest first: the messages after one, or else the newest. A member of a chat without messages
-- in this window gets one row of nulls, everybody else none.
create function stm.list_messages_v1(p_chat uuid, p_user bigint, p_after bigint, p_before bigint, p_limit bigint)
returns table (
    id uuid, seq bigint, sender_type text, sender_id bigint, sender_name text, message text, message_type text,
    created_at timestamptz)
language plpgsql stable
set search_path = ''
as $$
begin
    perform from stm.chat_members x where x.chat_id = p_chat and x.user_id = p_user and x.left_at is null;
    if not found then
        return;
    end if;
    if p_after is not null then
        return query
        select m.id, m.seq, m.sender_type, m.sender_id, u.first_name || ' ' || u.last_name, m.message, m.message_type, m.created_at
        from (select * from stm.messages y
              where y.chat_id = p_chat and y.seq > p_after and y.seq < coalesce(p_before, 9223372036854775807)
              order by y.seq limit p_limit) m
        join stm.users u on u.id = m.sender_id
        order by m.seq;
    else
        return query
        select m.id, m.seq, m.sender_type, m.sender_id, u.first_name || ' ' || u.last_name, m.message, m.message_type, m.created_at
        from (select * from stm.messages y
              where y.chat_id = p_chat and y.seq < coalesce(p_before, 9223372036854775807)
              order by y.seq desc limit p_limit) m
        join stm.users u on u.id = m.sender_id
        order by m.seq;
    end if;
    if not found then
        return next;
    end if;
end;
$$;

-- Inserts a notification, and says what its recipient's clients show.
create function stm.insert_notification_v1(p_recipient bigint, p_type text, p_title text, p_message text, p_metadata jsonb)
returns table (id uuid, created_at timestamptz, role text, total_unread_count bigint)
language plpgsql
set search_path = ''
as $$
begin
    insert into stm.notifications as n (recipient_id, type, title, message, metadata)
    values (p_recipient, p_type, p_title, p_message, p_metadata)
    returning n.id, n.created_at into insert_notification_v1.id, insert_notification_v1.created_at;
    select u.role, (select count(*) from stm.notifications n where n.recipient_id = p_recipient and n.read_at is null)
    into insert_notification_v1.role, insert_notification_v1.total_unread_count
    from stm.users u
    where u.id = p_recipient;
    return next;
end;
$$;

-- Fills a template: `[CUSTOMER_NAME]`, `[SERVICE_NAME]`, `[LOCATION]`, `[SCHEDULED_DATE]`, in one pass, so that a value that
-- looks like a variable is not replaced.
create function stm.fill_template_v1(p_template text, p_customer text, p_service text, p_place text, p_date text)
returns text
language plpgsql immutable
set search_path = ''
as $$
begin
    if strpos(p_template, '[') = 0 then
        return p_template;
    end if;
    return (
        select string_agg(
            case
                when x.n = 1 then x.part
                when starts_with(x.part, 'CUSTOMER_NAME]') then p_customer || substr(x.part, 15)
                when starts_with(x.part, 'SERVICE_NAME]') then p_service || substr(x.part, 14)
                when starts_with(x.part, 'LOCATION]') then p_place || substr(x.part, 10)
                when starts_with(x.part, 'SCHEDULED_DATE]') then p_date || substr(x.part, 16)
                else '[' || x.part
            end, '' order by x.n)
        from unnest(string_to_array(p_template, '[')) with ordinality as x (part, n));
end;
$$;

-- An approved service and a provider, with all that decides whether this customer can book the one with the other. The
-- provider's row is share-locked until the transaction ends, by a statement of its own: the one that waits for a lock sees
-- all other rows as of before the wait.
create function stm.lock_candidate_v1(p_customer bigint, p_service bigint, p_provider bigint, p_zip_code text)
returns table (
    service_name text, user_id bigint, first_message_template text, response_deadline_minutes integer, is_active boolean,
    offers_service boolean, serves_zip_code boolean, unpaid_job_id bigint, unpaid_business_name text,
    has_open_job_with_provider boolean, has_accepted_job boolean)
language plpgsql
set search_path = ''
as $$
declare
    has_completed_job boolean;
begin
    perform from stm.providers p where p.id = p_provider for share;
    select s.name, p.user_id, p.first_message_template, t.response_deadline_minutes, p.status = 'active',
           exists (select from stm.provider_services x where x.provider_id = p.id and x.service_id = s.id),
           exists (select from stm.provider_zip_codes z where z.provider_id = p.id and z.zip_code = p_zip_code)
    into service_name, user_id, first_message_template, response_deadline_minutes, is_active, offers_service, serves_zip_code
    from stm.services s
    cross join stm.providers p
    cross join stm.settings t
    where s.id = p_service and s.status = 'approved' and p.id = p_provider;
    if not found then
        return;
    end if;
    select coalesce(bool_or(j.provider_id = p_provider and j.status <> 'completed'), false),
           coalesce(bool_or(j.status = 'new' and j.sp_accepted), false),
           bool_or(j.status = 'completed')
    into has_open_job_with_provider, has_accepted_job, has_completed_job
    from (values ('new'), ('in_progress'), ('completed')) as x (status)
    join stm.jobs j on j.customer_id = p_customer and j.status = x.status;
    if has_completed_job then
        select j.id, x.business_name
        into unpaid_job_id, unpaid_business_name
        from stm.jobs j
        join stm.providers x on x.id = j.provider_id
        where j.customer_id = p_customer and j.status = 'completed' and x.status <> 'banned'
        order by j.id
        limit 1;
    end if;
    return next;
end;
$$;

-- Opens a chat about a job, with both parties as members and the messages that it begins with: the customer's request, its
-- pictures, and the provider's template. What is longer than a message may be is cut.
create function stm.open_job_chat_v1(
    p_chat uuid, p_messages uuid[], p_job bigint, p_customer_user bigint, p_customer_name text, p_provider_user bigint,
    p_service text, p_request text, p_details text, p_image_messages text[], p_template text, p_place text, p_date text,
    p_max_chars integer)
returns timestamptz
language plpgsql
set search_path = ''
as $$
declare
    opened_at timestamptz;
    filled text := stm.fill_template_v1(p_template, p_customer_name, p_service, p_place, p_date);
    images bigint := cardinality(p_image_messages);
begin
    insert into stm.chats as c (id, job_id, last_seq, member_ids)
    values (p_chat, p_job, 1 + images + (filled is not null)::int, array[p_customer_user, p_provider_user])
    returning c.created_at into opened_at;
    insert into stm.chat_members (chat_id, user_id, side)
    values (p_chat, p_customer_user, 'customer'), (p_chat, p_provider_user, 'service_provider');
    insert into stm.messages (id, chat_id, seq, sender_id, sender_type, message_type, message)
    select p_messages[x.n], p_chat, x.n,
           case when x.n <= 1 + images then p_customer_user else p_provider_user end,
           case when x.n <= 1 + images then 'customer' else 'service_provider' end,
           case when x.n between 2 and 1 + images then 'image' else 'text' end,
           left(x.message, p_max_chars)
    from unnest(array[stm.fill_template_v1(p_request, p_customer_name, p_service, p_place, p_date) || p_details]
                || p_image_messages || filled) with ordinality as x (message, n)
    where x.message is not null;
    return opened_at;
end;
$$;

-- A booking: locks, facts, and, if nothing prevents it, all its rows. The rules and their words are the caller's: it learns
-- the facts either way, and `job_id` is null if nothing was inserted. No row at all if the user is not a customer; without
-- `service_name` there is no such approved service or provider.
create function stm.book_v1(
    p_user bigint, p_service bigint, p_provider bigint, p_zip_code text, p_location text, p_answers jsonb, p_images text[],
    p_files uuid[], p_visit boolean, p_visit_cents bigint, p_size_sqft integer, p_scheduled_at timestamptz, p_budget_cents bigint,
    p_chat uuid, p_messages uuid[], p_request text, p_details text, p_image_messages text[], p_date text,
    p_max_chars integer, p_title text, p_requested text)
returns table (
    is_banned boolean, service_name text, is_active boolean, offers_service boolean, serves_zip_code boolean, unpaid_job_id bigint,
    unpaid_business_name text, has_open_job_with_provider boolean, has_accepted_job boolean, attached_files bigint,
    job_id bigint, created_at timestamptz, response_deadline timestamptz, chat_created_at timestamptz,
    provider_user_id bigint, notice text, notification_id uuid, notified_at timestamptz, provider_role text, unread bigint)
language plpgsql
set search_path = ''
as $$
declare
    booker bigint;
    customer_name text;
    place text := coalesce(p_location, p_zip_code);
    candidate record;
begin
    -- The user's row too, so that a ban that was waited for is seen.
    select c.id, u.first_name || ' ' || u.last_name, u.banned_at is not null
    into booker, customer_name, is_banned
    from stm.customers c
    join stm.users u on u.id = c.user_id
    where c.user_id = p_user
    for no key update of c for share of u;
    if not found then
        return;
    end if;
    select * into candidate from stm.lock_candidate_v1(booker, p_service, p_provider, p_zip_code);
    service_name := candidate.service_name;
    is_active := candidate.is_active;
    offers_service := candidate.offers_service;
    serves_zip_code := candidate.serves_zip_code;
    unpaid_job_id := candidate.unpaid_job_id;
    unpaid_business_name := candidate.unpaid_business_name;
    has_open_job_with_provider := candidate.has_open_job_with_provider;
    has_accepted_job := candidate.has_accepted_job;
    if cardinality(p_files) > 0 then
        update stm.files f
        set state = 'attached'
        where f.id = any(p_files) and f.owner_id = p_user and f.purpose = 'job_image' and f.state in ('pending', 'attached');
        get diagnostics attached_files = row_count;
    else
        attached_files := 0;
    end if;
    if is_banned or service_name is null or not (is_active and offers_service and serves_zip_code) or unpaid_job_id is not null
       or has_open_job_with_provider or has_accepted_job or attached_files <> cardinality(p_files) then
        return next;
        return;
    end if;

    insert into stm.jobs as j (
        customer_id, provider_id, service_id, status, price_cents, customer_budget_cents, zipcode, location, answers, images,
        requires_in_person_visit, in_person_visit_cost_cents, project_size_sqft, scheduled_at, preferred_at, response_deadline)
    select booker, p_provider, p_service, 'new', coalesce(p_budget_cents, 0), p_budget_cents, p_zip_code, p_location,
           p_answers, p_images, p_visit,
           case when p_visit then coalesce(p_visit_cents, t.default_in_person_visit_cost_cents) else p_visit_cents end,
           p_size_sqft, p_scheduled_at, p_scheduled_at,
           clock_timestamp() + make_interval(mins => candidate.response_deadline_minutes)
    from stm.settings t
    returning j.id, j.created_at, j.response_deadline into book_v1.job_id, book_v1.created_at, book_v1.response_deadline;
    insert into stm.job_events (job_id, actor_id, action, to_status) values (book_v1.job_id, p_user, 'book', 'new');
    chat_created_at := stm.open_job_chat_v1(
        p_chat, p_messages, book_v1.job_id, p_user, customer_name, candidate.user_id, service_name, p_request, p_details, p_image_messages,
        candidate.first_message_template, place, p_date, p_max_chars);
    provider_user_id := candidate.user_id;
    notice := customer_name || p_requested || service_name;
    select n.id, n.created_at, n.role, n.total_unread_count
    into notification_id, notified_at, provider_role, unread
    from stm.insert_notification_v1(
        candidate.user_id, 'job', p_title, notice, jsonb_build_object('jobId', book_v1.job_id, 'chatId', p_chat)) n;
    return next;
end;
$$;

revoke all on function
    stm.customer_profile_v1, stm.list_messages_v1, stm.insert_notification_v1, stm.fill_template_v1, stm.lock_candidate_v1,
    stm.open_job_chat_v1, stm.book_v1
from public;

-- What rides along with a booking. `stm.tally` in plpgsql, because PostgreSQL plans a body in SQL anew for each call.
create or replace function stm.tally(more text, more_day date, more_cents bigint, less text, less_day date, less_cents bigint)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if more is not null then
        insert into stm.tally_changes (kind, day, count, cents) values (more, more_day, 1, more_cents);
    end if;
    if less is not null then
        insert into stm.tally_changes (kind, day, count, cents) values (less, less_day, -1, -less_cents);
    end if;
end;
$$;

-- A chat that begins with its members' ids is left alone.
create or replace function stm.keep_chat_member_ids() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if tg_op <> 'INSERT' then
        update stm.chats set member_ids = array_remove(member_ids, old.user_id) where id = old.chat_id;
    end if;
    if tg_op <> 'DELETE' and new.left_at is null then
        update stm.chats set member_ids = array_append(member_ids, new.user_id)
        where id = new.chat_id and not new.user_id = any(member_ids);
    end if;
    return null;
end;
$$;

-- Nothing is counted for a service that is popular already, or of which an admin has said whether it is.
create function stm.job_booked() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if exists (select from stm.services s where s.id = new.service_id and not s.is_popular and s.popular_by_admin is null) then
        update stm.services s
        set is_popular = true
        from stm.settings t
        where s.id = new.service_id and not s.is_popular and s.popular_by_admin is null
          and (select count(*)
               from (select from stm.jobs j where j.service_id = s.id limit t.popularity_threshold) j) >= t.popularity_threshold;
    end if;
    return null;
end;
$$;
revoke all on function stm.job_booked() from public;
drop trigger service_booked on stm.jobs;
drop function stm.service_booked();
create trigger job_booked after insert on stm.jobs for each row execute function stm.job_booked();

-- Nor are pictures from elsewhere looked through.
drop trigger message_attaches_files on stm.messages;
create trigger message_attaches_files after insert on stm.messages
    for each row when (new.message_type <> 'text' and strpos(new.message, '/files/') > 0)
    execute function stm.attach_files_of_message();
