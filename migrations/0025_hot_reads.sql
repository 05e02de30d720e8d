-- The reads that run most often, as functions: PostgreSQL parses and plans them once for each of the pooler's servers, which is
-- most of what they cost. Versions as in migration 24.

-- One row if a user is there and not banned, and the login, if one is named, has neither ended nor been revoked; and when the
-- login ends.
create function stm.find_live_login_v1(p_user bigint, p_login uuid)
returns table (ends_at timestamptz)
language plpgsql stable
set search_path = ''
as $$
declare
    is_revoked boolean;
begin
    if not exists (select from stm.users u where u.id = p_user and u.banned_at is null) then
        return;
    end if;
    if p_login is not null then
        select max(t.expires_at), bool_or(t.revoked_at is not null)
        into ends_at, is_revoked
        from stm.refresh_tokens t
        where t.family_id = p_login;
        if ends_at is null or ends_at <= now() or is_revoked then
            return;
        end if;
    end if;
    return next;
end;
$$;

-- Approved services and their total number, the best match first, then the popular ones. The page is cut first: only the offers
-- of its services need to be counted. An offer at the right price is found with `limit 1`, not `exists`, which the planner would
-- turn into a join with all offers.
create function stm.search_services_v1(
    p_words text, p_beginnings text, p_category text, p_min_price_cents bigint, p_max_price_cents bigint,
    p_limit bigint, p_offset bigint)
returns table (
    total bigint, id bigint, name text, category text, description text, questions_json jsonb, is_popular boolean,
    available bigint, min_price_cents bigint, max_price_cents bigint)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    with found as materialized (
        select s.id, s.name, s.category, s.description, s.questions_json, s.is_popular,
               case when p_words is null then 0 else
                   ts_rank(s.search, websearch_to_tsquery('pg_catalog.english', p_words) || to_tsquery('stm.plain', p_beginnings)) end as rank,
               case when p_words is null then 0 else
                   extensions.word_similarity(p_words, s.name || ' ' || s.category) end as nearness
        from stm.services s
        where s.status = 'approved'
          and (p_words is null
               or s.search @@ (websearch_to_tsquery('pg_catalog.english', p_words) || to_tsquery('stm.plain', p_beginnings))
               or p_words operator(extensions.<%) (s.name || ' ' || s.category))
          and (p_category is null or lower(s.category) = lower(p_category))
          and ((p_min_price_cents is null and p_max_price_cents is null)
               or (select o.bookable from stm.provider_services o
                   where o.service_id = s.id and o.bookable
                     and (p_min_price_cents is null or coalesce(o.max_price_cents, p_min_price_cents) >= p_min_price_cents)
                     and (p_max_price_cents is null or coalesce(o.min_price_cents, p_max_price_cents) <= p_max_price_cents)
                   limit 1))
    ), page as (
        select f.* from found f
        order by f.rank desc, f.nearness desc, f.is_popular desc, f.name, f.id
        limit p_limit offset p_offset
    )
    select (select count(*) from found) as total, f.id, f.name, f.category,
           f.description, f.questions_json, f.is_popular, a.available,
           a.min_price_cents, a.max_price_cents
    from (select 1) as one
    left join page f on true
    left join lateral (
        select count(*) as available, min(o.min_price_cents) as min_price_cents, max(o.max_price_cents) as max_price_cents
        from stm.provider_services o
        where o.service_id = f.id and o.bookable
          and (p_min_price_cents is null or coalesce(o.max_price_cents, p_min_price_cents) >= p_min_price_cents)
          and (p_max_price_cents is null or coalesce(o.min_price_cents, p_max_price_cents) <= p_max_price_cents)
    ) a on true
    order by f.rank desc, f.nearness desc, f.is_popular desc, f.name, f.id;
end;
$$;

-- The same with a ZIP code: from the providers who serve it to the services that they offer.
create function stm.search_services_at_v1(
    p_words text, p_beginnings text, p_category text, p_min_price_cents bigint, p_max_price_cents bigint,
    p_zip_code text, p_limit bigint, p_offset bigint)
returns table (
    total bigint, id bigint, name text, category text, description text, questions_json jsonb, is_popular boolean,
    available bigint, min_price_cents bigint, max_price_cents bigint)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    with offered as materialized (
        select o.service_id, count(*) as available, min(o.min_price_cents) as min_price_cents,
               max(o.max_price_cents) as max_price_cents
        from stm.provider_zip_codes z
        join stm.provider_services o on o.provider_id = z.provider_id and o.bookable
        where z.zip_code = p_zip_code
          and (p_min_price_cents is null or coalesce(o.max_price_cents, p_min_price_cents) >= p_min_price_cents)
          and (p_max_price_cents is null or coalesce(o.min_price_cents, p_max_price_cents) <= p_max_price_cents)
        group by o.service_id
    ), found as materialized (
        select s.id, s.name, s.category, s.description, s.questions_json, s.is_popular,
               a.available, a.min_price_cents, a.max_price_cents,
               case when p_words is null then 0 else
                   ts_rank(s.search, websearch_to_tsquery('pg_catalog.english', p_words) || to_tsquery('stm.plain', p_beginnings)) end as rank,
               case when p_words is null then 0 else
                   extensions.word_similarity(p_words, s.name || ' ' || s.category) end as nearness
        from offered a
        join stm.services s on s.id = a.service_id
        where s.status = 'approved'
          and (p_words is null
               or s.search @@ (websearch_to_tsquery('pg_catalog.english', p_words) || to_tsquery('stm.plain', p_beginnings))
               or p_words operator(extensions.<%) (s.name || ' ' || s.category))
          and (p_category is null or lower(s.category) = lower(p_category))
    ), page as (
        select f.* from found f
        order by f.rank desc, f.nearness desc, f.is_popular desc, f.name, f.id
        limit p_limit offset p_offset
    )
    select (select count(*) from found) as total, f.id, f.name, f.category,
           f.description, f.questions_json, f.is_popular, f.available,
           f.min_price_cents, f.max_price_cents
    from (select 1) as one
    left join page f on true
    order by f.rank desc, f.nearness desc, f.is_popular desc, f.name, f.id;
end;
$$;

-- An approved service and its active providers; with a ZIP code, only those who serve it.
create function stm.list_service_providers_v1(p_service bigint, p_zip_code text, p_sort_by text, p_limit bigint)
returns table (
    service_id bigint, name text, category text, service_description text, id bigint, business_name text,
    first_name text, last_name text, description text, experience_years integer, rating double precision,
    total_jobs integer, min_price_cents bigint, max_price_cents bigint, service_areas text[])
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select s.id as service_id, s.name, s.category, s.description as service_description,
           p.id, p.business_name, u.first_name,
           u.last_name, p.description, p.experience_years,
           p.rating::float8 as rating, p.total_jobs, p.min_price_cents, p.max_price_cents,
           array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id order by z.position)
               as service_areas
    from stm.services s
    left join lateral (
        select o.provider_id,
               row_number() over (order by case when p_sort_by = 'price' then o.min_price_cents end,
                                           case when p_sort_by = 'jobs' then o.total_jobs end desc,
                                           o.rating desc, o.total_jobs desc, o.provider_id) as place
        from stm.provider_services o
        where o.service_id = p_service and o.bookable
          and (p_zip_code is null
               or exists (select from stm.provider_zip_codes z where z.provider_id = o.provider_id and z.zip_code = p_zip_code))
        order by place
        limit p_limit
    ) best on true
    left join stm.providers p on p.id = best.provider_id
    left join stm.users u on u.id = p.user_id
    where s.id = p_service and s.status = 'approved'
    order by best.place;
end;
$$;

-- An active provider with its services and the newest reviews.
create function stm.provider_page_v1(p_provider bigint, p_reviews bigint)
returns table (
    id bigint, business_name text, owner_name text, description text, experience_years integer, experience_level text,
    location text, website_url text, region text, images text[], logo_file_id uuid, logo_file_name text,
    banner_file_id uuid, banner_file_name text, gallery jsonb, rating double precision, total_jobs integer,
    min_price_cents bigint, max_price_cents bigint, created_at timestamptz, service_areas text[], services jsonb,
    review_count bigint, reviews jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select p.id, p.business_name, u.first_name || ' ' || u.last_name as owner_name, p.description,
           coalesce(p.experience_years, 0) as experience_years, p.experience_level,
           p.location, p.website_url, p.region, p.images,
           p.logo_file_id, p.logo_file_name, p.banner_file_id,
           p.banner_file_name,
           (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'file_id', g.file_id, 'file_name', g.file_name,
                                                         'caption', g.caption) order by g.position, g.id), '[]')
            from stm.gallery_images g where g.provider_id = p.id) as gallery,
           p.rating::float8 as rating, p.total_jobs, p.min_price_cents, p.max_price_cents, p.created_at,
           array(select z.zip_code from stm.provider_zip_codes z where z.provider_id = p.id order by z.position)
               as service_areas,
           (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'category', s.category, 'isActive', true)
                                      order by s.name, s.id), '[]')
            from stm.provider_services o join stm.services s on s.id = o.service_id and s.status = 'approved'
            where o.provider_id = p.id) as services,
           (select count(*) from stm.reviews r where r.provider_id = p.id) as review_count,
           (select coalesce(jsonb_agg(jsonb_build_object('rating', n.rating, 'feedback', n.feedback, 'customer', n.first_name,
                                                         'service', n.name, 'created_at', n.created_at) order by n.id desc), '[]')
            from (select r.id, r.rating, r.feedback, cu.first_name, s.name, r.created_at
                  from stm.reviews r
                  join stm.customers c on c.id = r.customer_id
                  join stm.users cu on cu.id = c.user_id
                  join stm.jobs j on j.id = r.job_id
                  join stm.services s on s.id = j.service_id
                  where r.provider_id = p.id
                  order by r.id desc
                  limit p_reviews) n) as reviews
    from stm.providers p
    join stm.users u on u.id = p.user_id
    where p.id = p_provider and p.status = 'active';
end;
$$;

-- The dashboard of a user who is a customer and not banned.
create function stm.customer_dashboard_v1(p_user bigint)
returns table (
    total_jobs bigint, total_spent_cents bigint, pending_feedback bigint, new bigint, in_progress bigint,
    completed bigint, paid bigint, cancelled bigint, rejected_by_sp bigint, recent_jobs json, recent_feedback json)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select n.total as total_jobs, n.spent_cents as total_spent_cents, n.paid - n.reviewed as pending_feedback,
           n.new, n.in_progress, n.completed, n.paid,
           n.cancelled, n.rejected_by_sp,
           coalesce((
               select json_agg(recent order by recent.id desc)
               from (select j.id, s.name as service, p.business_name as provider, j.status, j.price_cents,
                            j.scheduled_at, j.created_at
                     from (select j.id, j.service_id, j.provider_id, j.status, j.price_cents, j.scheduled_at, j.created_at
                           from stm.jobs j
                           where j.customer_id = c.id
                           order by j.id desc
                           limit 5) j
                     join stm.services s on s.id = j.service_id
                     join stm.providers p on p.id = j.provider_id) recent
           ), '[]') as recent_jobs,
           coalesce((
               select json_agg(recent order by recent.id desc)
               from (select r.id, r.job_id, s.name as service, p.business_name as provider, r.rating, r.feedback,
                            r.created_at
                     from (select r.id, r.job_id, r.provider_id, r.rating, r.feedback, r.created_at
                           from stm.reviews r
                           where r.customer_id = c.id
                           order by r.id desc
                           limit 5) r
                     join stm.jobs j on j.id = r.job_id
                     join stm.services s on s.id = j.service_id
                     join stm.providers p on p.id = r.provider_id) recent
           ), '[]') as recent_feedback
    from stm.customers c
    join stm.users u on u.id = c.user_id
    cross join lateral (
        select count(*) as total,
               coalesce(sum(j.price_cents) filter (where j.status = 'paid'), 0)::bigint as spent_cents,
               count(*) filter (where j.status = 'new') as new,
               count(*) filter (where j.status = 'in_progress') as in_progress,
               count(*) filter (where j.status = 'completed') as completed,
               count(*) filter (where j.status = 'paid') as paid,
               count(r.id) filter (where j.status = 'paid') as reviewed,
               count(*) filter (where j.status = 'cancelled') as cancelled,
               count(*) filter (where j.status = 'rejected_by_sp') as rejected_by_sp
        from stm.jobs j
        left join stm.reviews r on r.job_id = j.id
        where j.customer_id = c.id
    ) n
    where c.user_id = p_user and u.banned_at is null;
end;
$$;

-- The jobs of a user who is a customer, newest first.
create function stm.list_customer_jobs_v1(p_user bigint, p_limit bigint, p_offset bigint)
returns table (
    id bigint, status text, service_id bigint, service_name text, service_category text, provider_id bigint,
    business_name text, rating double precision, first_name text, last_name text, phone_number text, location text,
    zipcode text, images text[], scheduled_at timestamptz, completed_at timestamptz, created_at timestamptz)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select j.id, j.status, s.id as service_id,
           s.name as service_name, s.category as service_category, p.id as provider_id,
           p.business_name, p.rating::float8 as rating, u.first_name, u.last_name, u.phone_number,
           j.location, j.zipcode, j.images, j.scheduled_at, j.completed_at, j.created_at
    from (select j.id, j.status, j.service_id, j.provider_id, j.location, j.zipcode, j.images, j.scheduled_at,
                 j.completed_at, j.created_at
          from stm.jobs j
          where j.customer_id = (select c.id from stm.customers c where c.user_id = p_user)
          order by j.id desc
          limit p_limit offset p_offset) j
    join stm.services s on s.id = j.service_id
    join stm.providers p on p.id = j.provider_id
    join stm.users u on u.id = p.user_id
    order by j.id desc;
end;
$$;

-- A job for one of its two parties.
create function stm.job_details_v1(p_job bigint, p_user bigint)
returns table (
    id bigint, service text, category text, status text, price_cents bigint, original_answers jsonb,
    project_size_sqft integer, requires_in_person_visit boolean, edited_answers jsonb, sp_accepted boolean,
    location text, zipcode text, images text[], scheduled_at timestamptz, response_deadline timestamptz,
    deadline_missed boolean, completed_at timestamptz, created_at timestamptz, paid_at timestamptz,
    customer_name text, customer_phone text, customer_address text, provider_id bigint, business_name text,
    owner_name text, provider_phone text, rating double precision, provider_location text, chat_id uuid,
    amount_cents bigint, payment_status text, method text, marked_at timestamptz, payment_notes text, offer_id bigint,
    offered_by text, offered_price_cents bigint, offered_date timestamptz, offer_notes text, offer_answers jsonb,
    offered_at timestamptz, is_reviewed boolean)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select j.id, s.name as service, s.category, j.status, j.price_cents,
           j.answers as original_answers, j.project_size_sqft, j.requires_in_person_visit,
           case when jsonb_typeof(j.answers) = 'object' and jsonb_typeof(e.answers) = 'object'
                then j.answers || coalesce(m.answers, '{}') else e.answers end as edited_answers,
           j.sp_accepted, j.location, j.zipcode, j.images, j.scheduled_at, j.response_deadline,
           j.deadline_missed_at is not null as deadline_missed, j.completed_at, j.created_at,
           case when j.status = 'paid'
                then (select x.marked_at from stm.payments x where x.job_id = j.id and x.kind = 'job') end as paid_at,
           cu.first_name || ' ' || cu.last_name as customer_name, cu.phone_number as customer_phone,
           c.address as customer_address,
           p.id as provider_id, p.business_name, pu.first_name || ' ' || pu.last_name as owner_name,
           pu.phone_number as provider_phone, p.rating::float8 as rating, p.location as provider_location,
           chat.id as chat_id,
           y.amount_cents, y.status as payment_status, y.method, y.marked_at,
           y.notes as payment_notes,
           o.id as offer_id, o.offered_by, o.price_cents as offered_price_cents,
           o.scheduled_at as offered_date, o.notes as offer_notes, o.answers as offer_answers,
           o.created_at as offered_at,
           exists (select from stm.reviews r where r.job_id = j.id) as is_reviewed
    from stm.jobs j
    join stm.services s on s.id = j.service_id
    join stm.customers c on c.id = j.customer_id
    join stm.users cu on cu.id = c.user_id
    join stm.providers p on p.id = j.provider_id
    join stm.users pu on pu.id = p.user_id
    left join lateral (
        select ch.id from stm.chats ch where ch.job_id = j.id order by ch.id desc limit 1
    ) chat on true
    left join lateral (
        select x.answers from stm.offers x
        where x.job_id = j.id and x.chat_id = chat.id and x.answers is not null and x.status = 'accepted'
        order by x.id desc limit 1
    ) e on true
    left join lateral (
        select jsonb_object_agg(a.key, a.value order by x.id) as answers
        from stm.offers x,
             jsonb_each(case when jsonb_typeof(x.answers) = 'object' then x.answers else '{}' end) a
        where x.job_id = j.id and x.chat_id = chat.id and x.status = 'accepted'
    ) m on true
    left join stm.offers o on o.job_id = j.id and o.status = 'open'
    left join lateral (
        select x.amount_cents, x.status, x.method, x.marked_at, x.notes from stm.payments x
        where x.job_id = j.id order by x.id desc limit 1
    ) y on true
    where j.id = p_job and (c.user_id = p_user or p.user_id = p_user);
end;
$$;

-- A page of the jobs of a user who is a provider, newest first, and their total number. The page is cut from the jobs alone, in
-- the order of their index; everything else is looked up for its rows.
create function stm.list_provider_jobs_v1(
    p_user bigint, p_statuses text[], p_from timestamptz, p_until timestamptz, p_limit bigint, p_offset bigint)
returns table (
    total bigint, id bigint, service text, category text, customer_name text, customer_phone text, status text,
    price_cents bigint, payment_status text, images text[], scheduled_at timestamptz, completed_at timestamptz,
    created_at timestamptz, chat_id uuid)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select n.total,
           j.id, s.name as service, s.category,
           u.first_name || ' ' || u.last_name as customer_name, u.phone_number as customer_phone,
           j.status, j.price_cents,
           coalesce(y.status, case when j.status = 'completed' then 'pending' end) as payment_status,
           j.images, j.scheduled_at, j.completed_at,
           j.created_at,
           (select h.id
            from stm.chats h
            join stm.chat_members m on m.chat_id = h.id and m.user_id = p_user and m.left_at is null
            where h.job_id = j.id
            order by h.id desc
            limit 1) as chat_id
    from stm.providers p
    cross join lateral (
        select count(*) as total
        from stm.jobs n
        where n.provider_id = p.id
          and (p_statuses is null or n.status = any(p_statuses))
          and (p_from is null or n.created_at >= p_from)
          and (p_until is null or n.created_at < p_until)
    ) n
    left join lateral (
        select j.id, j.service_id, j.customer_id, j.status, j.price_cents, j.images, j.scheduled_at,
               j.completed_at, j.created_at
        from stm.jobs j
        where j.provider_id = p.id
          and (p_statuses is null or j.status = any(p_statuses))
          and (p_from is null or j.created_at >= p_from)
          and (p_until is null or j.created_at < p_until)
        order by j.id desc
        limit p_limit offset p_offset
    ) j on true
    left join stm.services s on s.id = j.service_id
    left join stm.customers c on c.id = j.customer_id
    left join stm.users u on u.id = c.user_id
    left join stm.payments y on y.job_id = j.id and y.kind = 'job'
    where p.user_id = p_user
    order by j.id desc;
end;
$$;

-- The chats of a member on one side, the most recent activity first.
create function stm.list_chats_v1(p_user bigint, p_side text, p_limit bigint, p_offset bigint)
returns table (
    id uuid, created_at timestamptz, job_id bigint, job_status text, service_name text, service_category text,
    provider_id bigint, business_name text, provider_user_id bigint, provider_first_name text,
    provider_last_name text, provider_picture text, provider_last_seen_at timestamptz, customer_id bigint,
    customer_user_id bigint, customer_first_name text, customer_last_name text, customer_picture text,
    customer_last_seen_at timestamptz, message_id uuid, seq bigint, sender_type text, sender_id bigint,
    sender_name text, manager_id bigint, manager_first_name text, manager_last_name text, message text,
    message_type text, sent_at timestamptz, unread bigint)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    with page as materialized (
        select chat.id, chat.job_id, chat.closed_at, chat.created_at, member.last_read_seq,
               last.id as message_id, last.seq, last.sender_id, last.sender_type, last.message, last.message_type,
               last.created_at as sent_at, coalesce(last.created_at, chat.created_at) as active_at
        from stm.chat_members member
        join stm.chats chat on chat.id = member.chat_id
        left join stm.messages last on last.chat_id = chat.id and last.seq = chat.last_seq
        where member.user_id = p_user and member.side = p_side and member.left_at is null
        order by active_at desc, chat.id desc
        limit p_limit offset p_offset
    )
    select page.id, page.created_at,
           job.id as job_id, job.status as job_status,
           service.name as service_name, service.category as service_category,
           provider.id as provider_id, provider.business_name,
           provider_user.id as provider_user_id, provider_user.first_name as provider_first_name,
           provider_user.last_name as provider_last_name, provider_user.profile_picture as provider_picture,
           provider_presence.last_seen_at as provider_last_seen_at,
           customer.id as customer_id,
           customer_user.id as customer_user_id, customer_user.first_name as customer_first_name,
           customer_user.last_name as customer_last_name, customer_user.profile_picture as customer_picture,
           customer_presence.last_seen_at as customer_last_seen_at,
           page.message_id, page.seq, page.sender_type,
           page.sender_id, sender.first_name || ' ' || sender.last_name as sender_name,
           manager.id as manager_id, manager.first_name as manager_first_name, manager.last_name as manager_last_name,
           page.message, page.message_type, page.sent_at,
           (select count(*)
            from stm.messages unread
            where page.closed_at is null and unread.chat_id = page.id and unread.seq > page.last_read_seq
              and unread.sender_id <> p_user) as unread
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
    order by page.active_at desc, page.id desc;
end;
$$;

-- A part of a user's notifications, newest first, how many there are, and how many are unread.
create function stm.list_notifications_v1(
    p_user bigint, p_type text, p_is_read boolean, p_before uuid, p_limit bigint, p_offset bigint)
returns table (
    role text, total bigint, unread bigint, id uuid, kind text, title text, message text, is_read boolean,
    created_at timestamptz, metadata jsonb)
language plpgsql stable
set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select u.role,
           (select count(*)
            from stm.notifications
            where recipient_id = p_user
              and (p_type is null or type = p_type)
              and (p_is_read is null or (read_at is not null) = p_is_read)) as total,
           (select count(*) from stm.notifications where recipient_id = p_user and read_at is null) as unread,
           page.id, page.type as kind, page.title,
           page.message, page.is_read, page.created_at,
           page.metadata
    from stm.users u
    left join (
        select id, type, title, message, read_at is not null as is_read, created_at, metadata
        from stm.notifications
        where recipient_id = p_user
          and (p_type is null or type = p_type)
          and (p_is_read is null or (read_at is not null) = p_is_read)
          and (p_before is null or id < p_before)
        order by id desc
        limit p_limit offset p_offset
    ) page on true
    where u.id = p_user
    order by page.id desc;
end;
$$;

revoke all on function
    stm.find_live_login_v1, stm.search_services_v1, stm.search_services_at_v1, stm.list_service_providers_v1, stm.provider_page_v1,
    stm.customer_dashboard_v1, stm.list_customer_jobs_v1, stm.job_details_v1, stm.list_provider_jobs_v1,
    stm.list_chats_v1, stm.list_notifications_v1
from public;
