-- A marketplace at work: `stm_seed.providers` providers (ids from 3000000), ten times as many jobs, twice as many customers
-- (ids from 4000000) as providers, and ten messages per job unless `stm_seed.messages` is off. Every ZIP code has about fifty
-- providers, however many there are. For throw-away data only; runs in one session.
begin;
set local synchronous_commit = off;
select setseed(0.5);

create temporary table seed on commit drop as
select current_setting('stm_seed.providers')::int as providers, greatest(1, current_setting('stm_seed.providers')::int / 100) as lsms,
       2 * current_setting('stm_seed.providers')::int as customers, 10 * current_setting('stm_seed.providers')::int as jobs,
       greatest(1, current_setting('stm_seed.providers')::int / 10) as zip_codes,
       case when coalesce(current_setting('stm_seed.messages', true), 'on') = 'on' then 10 else 1 end as messages;

insert into stm.services (id, name, category, description, is_popular) overriding system value
select 3000000 + n, kind.name || ' ' || subject.name, kind.category, kind.name || ' of every ' || lower(subject.name) || ', done well.', n % 10 = 0
from (values (0, 'Cleaning', 'Cleaning'), (1, 'Repair', 'Repairs'), (2, 'Painting', 'Painting'), (3, 'Installation', 'Installation'),
             (4, 'Inspection', 'Inspection'), (5, 'Removal', 'Moving'), (6, 'Gardening', 'Garden'), (7, 'Treatment', 'Pest control'),
             (8, 'Assembly', 'Assembly'), (9, 'Design', 'Design')) as kind (id, name, category),
     (values (0, 'Kitchen'), (1, 'Bathroom'), (2, 'Roof'), (3, 'Window'), (4, 'Garage'), (5, 'Floor'), (6, 'Furnace'), (7, 'Fence'),
             (8, 'Carpet'), (9, 'Pool'), (10, 'Deck'), (11, 'Gutter'), (12, 'Chimney'), (13, 'Door'), (14, 'Ceiling'), (15, 'Basement'),
             (16, 'Attic'), (17, 'Driveway'), (18, 'Patio'), (19, 'Shed')) as subject (id, name),
     lateral (select kind.id * 20 + subject.id as n) as numbered;

insert into stm.users (id, email, first_name, last_name, role, phone_number) overriding system value
select 2900000 + n, 'seed-lsm-' || n || '@example.com', 'Lena', 'Local', 'local_service_manager', '+12125550100'
from seed, generate_series(0, lsms - 1) n
union all
select 3000000 + n, 'seed-provider-' || n || '@example.com', 'Pete', 'Pipes', 'service_provider', '+12125550101'
from seed, generate_series(0, providers - 1) n
union all
select 4000000 + n, 'seed-customer-' || n || '@example.com', 'Ann', 'Archer', 'customer', '+12125550102'
from seed, generate_series(0, customers - 1) n;

insert into stm.local_service_managers (id, user_id, region) overriding system value
select 2900000 + n, 2900000 + n, 'Seed region ' || n from seed, generate_series(0, lsms - 1) n;

insert into stm.providers (id, user_id, lsm_id, business_name, description, experience_years, region, min_price_cents, max_price_cents,
                           status, rating, total_jobs, earnings_cents, terms_accepted_at) overriding system value
select 3000000 + n, 3000000 + n, 2900000 + n % lsms, 'Seed business ' || n, 'Done well since long.', n % 30, 'Seed region ' || n % lsms,
       (20 + n % 80) * 100, (120 + n % 200) * 100,
       case when n % 20 = 0 then 'inactive' when n % 50 = 1 then 'pending' else 'active' end,
       case when n % 7 = 0 then 0 else round((3 + 2 * random())::numeric, 2) end, n % 40, n % 40 * 12000, now()
from seed, generate_series(0, providers - 1) n;

insert into stm.provider_zip_codes (provider_id, zip_code, position)
select 3000000 + n, lpad((20000 + (n * 7 + k * (zip_codes / 5 + 1)) % zip_codes)::text, 5, '0'), k + 1
from seed, generate_series(0, providers - 1) n, generate_series(0, 4) k
on conflict do nothing;

insert into stm.provider_services (provider_id, service_id)
select 3000000 + n, 3000000 + (n + k * 67) % 200 from seed, generate_series(0, providers - 1) n, generate_series(0, 2) k;

insert into stm.customers (id, user_id, address, region, zipcode) overriding system value
select 4000000 + n, 4000000 + n, n || ' Main Street', 'Seed region ' || n % lsms, lpad((20000 + n % zip_codes)::text, 5, '0')
from seed, generate_series(0, customers - 1) n;

-- Most jobs are over.
insert into stm.jobs (id, customer_id, provider_id, service_id, status, sp_accepted, price_cents, customer_budget_cents, zipcode, location,
                      answers, scheduled_at, preferred_at, response_deadline, completed_at, created_at) overriding system value
select 5000000 + n, 4000000 + n % customers, 3000000 + (n * 13) % providers, 3000000 + ((n * 13) % providers + n % 3 * 67) % 200,
       state.status, state.status not in ('new', 'rejected_by_sp'), 5000 + n % 400 * 100, 5000 + n % 400 * 100,
       lpad((20000 + n % zip_codes)::text, 5, '0'), n || ' Main Street', '{"Rooms": "3", "Pets": "none"}',
       made.at + interval '5 days', made.at + interval '5 days',
       case when state.status = 'new' then now() + interval '10 years' else made.at + interval '1 hour' end,
       case when state.status in ('completed', 'paid') then made.at + interval '5 days' end, made.at
from seed, generate_series(0, jobs - 1) n,
     lateral (select now() - (jobs - n) * interval '1 minute' as at) made,
     lateral (select (array['paid', 'paid', 'paid', 'paid', 'paid', 'paid', 'completed', 'cancelled', 'in_progress', 'new', 'rejected_by_sp'])
              [1 + (n / 7) % 11] as status) state;

insert into stm.job_events (job_id, actor_id, action, from_status, to_status, at)
select j.id, c.user_id, 'book', null, 'new', j.created_at from stm.jobs j join stm.customers c on c.id = j.customer_id where j.id >= 5000000;

insert into stm.payments (job_id, kind, amount_cents, status, method, marked_at)
select id, 'job', price_cents, case status when 'paid' then 'received' else 'pending' end,
       case status when 'paid' then 'cash' end, case status when 'paid' then completed_at end
from stm.jobs where id >= 5000000 and status in ('completed', 'paid');

insert into stm.reviews (job_id, customer_id, provider_id, rating, feedback, created_at)
select id, customer_id, provider_id, 3 + id % 3, 'As it was.', completed_at
from stm.jobs where id >= 5000000 and status = 'paid' and id % 10 < 7;

create temporary table seed_chats on commit drop as
select j.id as job_id, ('019a0000-0000-7000-8000-' || lpad(j.id::text, 12, '0'))::uuid as chat_id, c.user_id as customer, p.user_id as provider, j.created_at, seed.messages
from stm.jobs j join stm.customers c on c.id = j.customer_id join stm.providers p on p.id = j.provider_id, seed
where j.id >= 5000000;
insert into stm.chats (id, job_id, last_seq, created_at) select chat_id, job_id, messages, created_at from seed_chats;
insert into stm.chat_members (chat_id, user_id, side, last_read_seq)
select chat_id, customer, 'customer', messages from seed_chats
union all
select chat_id, provider, 'service_provider', messages - 1 from seed_chats;
insert into stm.messages (chat_id, seq, sender_id, sender_type, message, created_at)
select chat_id, seq, case seq % 2 when 1 then customer else provider end,
       case seq % 2 when 1 then 'customer' else 'service_provider' end, 'Message ' || seq || ' about the job', created_at + seq * interval '1 minute'
from seed_chats, generate_series(1, messages) seq;

insert into stm.notifications (recipient_id, type, title, message, metadata, read_at)
select user_id, 'job', 'Job completed', 'Something has happened.', jsonb_build_object('jobId', job_id), case when n % 5 > 0 then now() end
from (select customer as user_id, job_id, row_number() over () as n from seed_chats
      union all select provider, job_id, row_number() over () from seed_chats) recipients;
commit;
analyze;
