-- Demo data: loaded at start if DEMO_DATA is set, into a local database only. Loading it again changes nothing.
-- A marketplace that runs: providers in every state, jobs in every state, chats, reviews, a dispute, an invoice. Ann and Bob are
-- free to book. Every password is `demo-password`.
begin;

insert into stm.services (name, category, description) values
    ('House cleaning', 'Cleaning', 'Rooms, kitchen and bathrooms, with or without your own supplies'),
    ('Window cleaning', 'Cleaning', 'Inside and outside, up to the third floor'),
    ('Plumbing', 'Repairs', 'Leaks, clogged drains, new fixtures'),
    ('Lawn care', 'Garden', 'Mowing, edging and weeding')
on conflict do nothing;

insert into stm.users (email, phone_number, password_hash, first_name, last_name, role, email_verified_at)
select person.email, person.phone_number, '$argon2id$v=19$m=19456,t=2,p=1$nHj7fOduIkt6o2tP8r9iUA$mR5CVe8sbVTfDu0tJzgctUoP4p4kS2SKVJ+hVE/Zors', person.first_name, person.last_name, person.role, now()
from (values
    ('ann@demo.example', '+12125550101', 'Ann', 'Archer', 'customer'),
    ('bob@demo.example', '+12125550102', 'Bob', 'Baker', 'customer'),
    ('clean@demo.example', '+12125550103', 'Clara', 'Clean', 'service_provider'),
    ('pipes@demo.example', '+12125550104', 'Pete', 'Pipes', 'service_provider'),
    ('lsm@demo.example', '+12125550105', 'Lena', 'Local', 'local_service_manager'),
    ('carol@demo.example', '+12125550106', 'Carol', 'Carter', 'customer'),
    ('dave@demo.example', '+12015550107', 'Dave', 'Dixon', 'customer'),
    ('lawn@demo.example', '+12015550108', 'Lars', 'Lawn', 'service_provider'),
    ('paint@demo.example', '+12125550109', 'Paula', 'Paint', 'service_provider'),
    ('roof@demo.example', '+12125550110', 'Rob', 'Roof', 'service_provider'),
    ('moving@demo.example', '+12015550111', 'Mia', 'Moves', 'service_provider'),
    ('shady@demo.example', '+12125550112', 'Sid', 'Shady', 'service_provider'),
    ('lsm.nj@demo.example', '+12015550113', 'Liam', 'Local', 'local_service_manager'),
    ('admin@demo.example', '+12125550114', 'Ada', 'Admin', 'admin')
) as person (email, phone_number, first_name, last_name, role)
on conflict do nothing;

insert into stm.customers (user_id, address, region, zipcode, city, state)
select u.id, demo.address, demo.region, demo.zipcode, demo.city, demo.state
from (values
    ('ann@demo.example', '1 Demo Street', 'New York', '10001', 'New York', 'NY'),
    ('bob@demo.example', '1 Demo Street', 'New York', '10001', 'New York', 'NY'),
    ('carol@demo.example', '2 Demo Street', 'New York', '10002', 'New York', 'NY'),
    ('dave@demo.example', '3 Demo Street', 'New Jersey', '07302', 'Jersey City', 'NJ')
) as demo (email, address, region, zipcode, city, state)
join stm.users u on u.email = demo.email
on conflict do nothing;

insert into stm.local_service_managers (user_id, region)
select u.id, demo.region
from (values ('lsm@demo.example', 'New York'), ('lsm.nj@demo.example', 'New Jersey')) as demo (email, region)
join stm.users u on u.email = demo.email
on conflict do nothing;

insert into stm.providers (
    user_id, lsm_id, business_name, description, region, location, min_price_cents, max_price_cents, status, experience_years,
    rejection_reason, first_message_template, terms_accepted_at)
select u.id, l.id, demo.business_name, demo.description, l.region, demo.location, demo.min_price_cents, demo.max_price_cents,
       demo.status, demo.experience_years, demo.rejection_reason, demo.template, now()
from (values
    ('clean@demo.example', 'lsm@demo.example', 'Clara Cleans', 'A clean home in three hours', 'New York, NY', 8000, 25000,
     'active', 6, null,
     'Hi [CUSTOMER_NAME], thank you for asking about [SERVICE_NAME]. See you on [SCHEDULED_DATE]!'),
    ('pipes@demo.example', 'lsm@demo.example', 'Pete''s Pipes', 'Licensed plumber, day and night', 'New York, NY', 12000, 90000,
     'active', 12, null, null),
    ('lawn@demo.example', 'lsm.nj@demo.example', 'Lars Lawns', 'Green by Saturday', 'Jersey City, NJ', 5000, 30000,
     'active', 3, null, null),
    ('paint@demo.example', 'lsm@demo.example', 'Paula Paints', 'Walls and ceilings', 'New York, NY', 20000, 200000,
     'pending', 4, null, null),
    ('roof@demo.example', 'lsm@demo.example', 'Rob''s Roofs', 'On holiday until spring', 'New York, NY', 50000, 900000,
     'inactive', 20, null, null),
    ('moving@demo.example', 'lsm.nj@demo.example', 'Mia Moves', 'Two people and a van', 'Newark, NJ', 30000, 150000,
     'rejected', 1, 'The insurance document has expired', null),
    ('shady@demo.example', 'lsm@demo.example', 'Shady Repairs', null, 'New York, NY', 1000, 2000,
     'banned', 0, null, null)
) as demo (email, lsm, business_name, description, location, min_price_cents, max_price_cents, status, experience_years,
           rejection_reason, template)
join stm.users u on u.email = demo.email
join stm.users m on m.email = demo.lsm
join stm.local_service_managers l on l.user_id = m.id
on conflict do nothing;

update stm.users set banned_at = now() where email = 'shady@demo.example' and banned_at is null;

insert into stm.provider_zip_codes (provider_id, zip_code, position)
select p.id, zip.code, zip.position
from stm.providers p
join stm.users u on u.id = p.user_id and u.email like '%@demo.example'
join stm.local_service_managers l on l.id = p.lsm_id
cross join unnest(case l.region when 'New York' then array['10001', '10002', '10003'] else array['07302', '07030'] end)
    with ordinality as zip (code, position)
on conflict do nothing;

insert into stm.provider_services (provider_id, service_id)
select p.id, s.id
from stm.providers p
join stm.users u on u.id = p.user_id
join stm.services s on s.name = any (case u.email
    when 'clean@demo.example' then array['House cleaning', 'Window cleaning']
    when 'pipes@demo.example' then array['Plumbing']
    when 'lawn@demo.example' then array['Lawn care']
end)
on conflict do nothing;

insert into stm.service_requests (requested_by, kind, lsm_id, service_name, category, description, region)
select p.user_id, 'service_provider', p.lsm_id, 'Painting', 'Repairs', 'Walls, ceilings and doors', p.region
from stm.providers p
join stm.users u on u.id = p.user_id and u.email = 'paint@demo.example'
where not exists (select from stm.service_requests r where r.requested_by = p.user_id);

-- A job with its audit rows and its chat. What is said alternates between the parties; the customer begins.
create function pg_temp.demo_job(
    customer text, provider text, service text, status text, dollars integer, days_ago integer, said text[]
) returns bigint
language plpgsql
as $$
declare
    booked timestamptz := now() - make_interval(days => days_ago);
    ended timestamptz := least(booked + interval '1 day', now());
    customer_user bigint := (select id from stm.users where email = customer);
    provider_user bigint := (select id from stm.users where email = provider);
    is_accepted boolean := status in ('in_progress', 'completed', 'paid');
    is_done boolean := status in ('completed', 'paid');
    job bigint;
    chat uuid;
begin
    insert into stm.jobs (
        customer_id, provider_id, service_id, status, sp_accepted, price_cents, customer_budget_cents, zipcode, location,
        scheduled_at, preferred_at, response_deadline, completed_at, created_at)
    select c.id, p.id, s.id, demo_job.status, is_accepted, dollars * 100, dollars * 100, coalesce(c.zipcode, '10001'), c.address,
           booked + interval '7 days', booked + interval '7 days', booked + interval '1 hour',
           case when is_done then ended end, booked
    from stm.customers c, stm.providers p, stm.services s
    where c.user_id = customer_user and p.user_id = provider_user and s.name = service
    returning id into job;

    insert into stm.job_events (job_id, actor_id, action, from_status, to_status, at)
    select job, case who when 'customer' then customer_user else provider_user end, step, before, after, at
    from (values
        ('customer', 'book', null, 'new', booked, true),
        ('provider', 'accept', 'new', 'new', booked, is_accepted),
        ('customer', 'close_deal', 'new', 'in_progress', booked, is_accepted),
        ('provider', 'mark_complete', 'in_progress', 'completed', ended, is_done),
        ('provider', 'mark_payment', 'completed', 'paid', ended, demo_job.status = 'paid'),
        ('provider', 'reject', 'new', 'rejected_by_sp', ended, demo_job.status = 'rejected_by_sp'),
        ('customer', 'cancel', 'new', 'cancelled', ended, demo_job.status = 'cancelled')
    ) as steps (who, step, before, after, at, happened)
    where happened;

    insert into stm.payments (job_id, kind, amount_cents, status, method, marked_at, created_at)
    select job, 'job', dollars * 100, case demo_job.status when 'paid' then 'received' else 'pending' end,
           case demo_job.status when 'paid' then 'cash' end, case demo_job.status when 'paid' then ended end, ended
    where is_done;

    insert into stm.chats (job_id, last_seq, created_at, closed_at)
    values (job, cardinality(said), booked, case when demo_job.status = 'rejected_by_sp' then ended end)
    returning id into chat;
    insert into stm.chat_members (chat_id, user_id, side, joined_at)
    values (chat, customer_user, 'customer', booked), (chat, provider_user, 'service_provider', booked);
    insert into stm.messages (chat_id, seq, sender_id, sender_type, message, created_at)
    select chat, line.seq,
           case line.seq % 2 when 1 then customer_user else provider_user end,
           case line.seq % 2 when 1 then 'customer' else 'service_provider' end,
           line.text, booked + line.seq * interval '1 minute'
    from unnest(said) with ordinality as line (text, seq);
    return job;
end;
$$;

do $$
declare
    clean bigint;
    leak bigint;
    windows bigint;
begin
    if exists (
        select from stm.jobs j join stm.customers c on c.id = j.customer_id join stm.users u on u.id = c.user_id
        where u.email = 'carol@demo.example')
    then
        return;
    end if;

    clean := pg_temp.demo_job('carol@demo.example', 'clean@demo.example', 'House cleaning', 'paid', 140, 20,
        array['Could you come this week?', 'On Thursday at nine', 'Perfect']);
    insert into stm.reviews (job_id, customer_id, provider_id, rating, feedback, punctuality_rating, response_time_minutes)
    select id, customer_id, provider_id, 5, 'Everything shines', 5, 12 from stm.jobs where id = clean;

    leak := pg_temp.demo_job('carol@demo.example', 'pipes@demo.example', 'Plumbing', 'paid', 320, 12,
        array['The kitchen sink leaks', 'I will be there tomorrow', 'It still leaks', 'I will look at it again']);
    insert into stm.reviews (job_id, customer_id, provider_id, rating, feedback, punctuality_rating, response_time_minutes)
    select id, customer_id, provider_id, 2, 'It leaks again', 3, 90 from stm.jobs where id = leak;
    insert into stm.disputes (job_id, lsm_id, description, created_at)
    select j.id, p.lsm_id, 'Two days later the sink leaked again, and nobody came', now() - interval '2 days'
    from stm.jobs j join stm.providers p on p.id = j.provider_id
    where j.id = leak;
    insert into stm.notifications (recipient_id, type, title, message, metadata)
    select id, 'feedback', 'New dispute', 'Carol Carter disputes a job of Pete''s Pipes', jsonb_build_object('jobId', leak)
    from stm.users where email = 'lsm@demo.example';

    windows := pg_temp.demo_job('carol@demo.example', 'clean@demo.example', 'Window cleaning', 'completed', 90, 3,
        array['Twelve windows', 'Done today']);
    insert into stm.invoices (job_id, provider_id, amount_cents, status, via_stripe, times_asked)
    select id, provider_id, price_cents, 'open', false, 1 from stm.jobs where id = windows;
    perform pg_temp.demo_job('dave@demo.example', 'lawn@demo.example', 'Lawn care', 'paid', 60, 40, array['Mow it, please']);
    perform pg_temp.demo_job('dave@demo.example', 'lawn@demo.example', 'Lawn care', 'cancelled', 60, 15, array['Every two weeks?']);
    perform pg_temp.demo_job('dave@demo.example', 'lawn@demo.example', 'Lawn care', 'in_progress', 75, 1,
        array['The hedge too?', 'With pleasure']);
    perform pg_temp.demo_job('bob@demo.example', 'pipes@demo.example', 'Plumbing', 'rejected_by_sp', 150, 9,
        array['A new tap', 'Sorry, fully booked']);
    perform pg_temp.demo_job('dave@demo.example', 'pipes@demo.example', 'Plumbing', 'new', 200, 0, array['A slow drain']);

    -- What is counted follows from the rows.
    update stm.providers p
    set total_jobs = earned.jobs, earnings_cents = earned.cents, rating = earned.rating
    from (
        select j.provider_id, count(*) as jobs, sum(j.price_cents) as cents,
               coalesce((select round(avg(r.rating), 2) from stm.reviews r where r.provider_id = j.provider_id), 0) as rating
        from stm.jobs j
        where j.status = 'paid'
        group by j.provider_id
    ) earned
    where earned.provider_id = p.id;
end;
$$;
drop function pg_temp.demo_job(text, text, text, text, integer, integer, text[]);

commit;
