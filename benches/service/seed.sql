-- `stm_seed.customers` customers and `stm_seed.providers` providers. Customer n is user and customer 1000000 + n, provider n
-- is user and provider 2000000 + n: the load makes up its requests by counting, without looking up ids.
begin;

insert into stm.services (id, name, category) overriding system value values (1000000, 'Benchmarking', 'Bench');

insert into stm.users (id, email, phone_number, first_name, last_name, role) overriding system value
select 1000000 + n, format('customer%s@bench.example', n), format('+1212%s', 2000000 + n), 'Ann', 'Archer', 'customer'
from generate_series(0, current_setting('stm_seed.customers')::int - 1) n
union all
select 2000000 + n, format('provider%s@bench.example', n), format('+1646%s', 2000000 + n), 'Clara', 'Clean', 'service_provider'
from generate_series(0, current_setting('stm_seed.providers')::int - 1) n
union all
select 3000000, 'lsm@bench.example', null, 'Lena', 'Local', 'local_service_manager';

insert into stm.local_service_managers (id, user_id, region) overriding system value values (3000000, 3000000, 'New York');

insert into stm.customers (id, user_id, address, region, zipcode) overriding system value
select id, id, '1 Bench Street', 'New York', '10001' from stm.users where role = 'customer' and id >= 1000000;

insert into stm.providers (id, user_id, lsm_id, business_name, region, status, terms_accepted_at) overriding system value
select id, id, 3000000, 'Clara Cleans', 'New York', 'active', now() from stm.users where role = 'service_provider' and id >= 1000000;

insert into stm.provider_zip_codes (provider_id, zip_code, position)
select id, zip.code, zip.position
from stm.providers, unnest(array['10001', '10002', '10003']) with ordinality as zip (code, position)
where id >= 1000000;

insert into stm.provider_services (provider_id, service_id)
select id, 1000000 from stm.providers where id >= 1000000;

-- Five paid jobs each, so that a profile has something to count, with the rows that bookings leave: on empty tables
-- PostgreSQL plans, and keeps, scans of the whole table.
insert into stm.jobs (customer_id, provider_id, service_id, status, price_cents, zipcode, response_deadline)
select c.id, 2000000 + (c.id + n) % current_setting('stm_seed.providers')::int, 1000000, 'paid', 12000, '10001', now()
from stm.customers c, generate_series(1, 5) n
where c.id >= 1000000;

insert into stm.job_events (job_id, actor_id, action, to_status)
select id, customer_id, 'book', 'new' from stm.jobs where service_id = 1000000;

insert into stm.notifications (recipient_id, type, title, message, metadata)
select provider_id, 'job', 'New job request', 'Ann Archer has requested Benchmarking', jsonb_build_object('jobId', id)
from stm.jobs where service_id = 1000000;

insert into stm.chats (job_id, last_seq, member_ids)
select id, 2, array[customer_id, provider_id] from stm.jobs where service_id = 1000000;

insert into stm.chat_members (chat_id, user_id, side)
select c.id, m.user_id, m.side
from stm.chats c
join stm.jobs j on j.id = c.job_id,
lateral (values (j.customer_id, 'customer'), (j.provider_id, 'service_provider')) m (user_id, side)
where j.service_id = 1000000;

insert into stm.messages (chat_id, seq, sender_id, sender_type, message)
select c.id, n, j.customer_id, 'customer', 'New booking request: Benchmarking'
from stm.chats c
join stm.jobs j on j.id = c.job_id, generate_series(1, 2) n
where j.service_id = 1000000;

commit;
