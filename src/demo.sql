-- Demo data: loaded at start if DEMO_DATA is set, into a local database only. Loading it again changes nothing.
-- Every password is `demo-password`.
begin;

insert into stm.services (name, category, description) values
    ('House cleaning', 'Cleaning', 'Rooms, kitchen and bathrooms, with or without your own supplies'),
    ('Window cleaning', 'Cleaning', 'Inside and outside, up to the third floor'),
    ('Plumbing', 'Repairs', 'Leaks, clogged drains, new fixtures'),
    ('Lawn care', 'Garden', 'Mowing, edging and weeding')
on conflict do nothing;

insert into stm.users (email, phone_number, password_hash, first_name, last_name, role)
select person.email, person.phone_number, '$argon2id$v=19$m=19456,t=2,p=1$nHj7fOduIkt6o2tP8r9iUA$mR5CVe8sbVTfDu0tJzgctUoP4p4kS2SKVJ+hVE/Zors', person.first_name, person.last_name, person.role
from (values
    ('ann@demo.example', '+12125550101', 'Ann', 'Archer', 'customer'),
    ('bob@demo.example', '+12125550102', 'Bob', 'Baker', 'customer'),
    ('clean@demo.example', '+12125550103', 'Clara', 'Clean', 'service_provider'),
    ('pipes@demo.example', '+12125550104', 'Pete', 'Pipes', 'service_provider'),
    ('lsm@demo.example', '+12125550105', 'Lena', 'Local', 'local_service_manager')
) as person (email, phone_number, first_name, last_name, role)
on conflict do nothing;

insert into stm.customers (user_id, address, region, zipcode, city, state)
select id, '1 Demo Street', 'New York', '10001', 'New York', 'NY'
from stm.users where email in ('ann@demo.example', 'bob@demo.example')
on conflict do nothing;

insert into stm.local_service_managers (user_id, region)
select id, 'New York' from stm.users where email = 'lsm@demo.example'
on conflict do nothing;

insert into stm.providers (
    user_id, lsm_id, business_name, description, region, min_price_cents, max_price_cents, status, first_message_template, terms_accepted_at)
select u.id, l.id, demo.business_name, demo.description, 'New York', demo.min_price_cents, demo.max_price_cents, 'active', demo.template, now()
from (values
    ('clean@demo.example', 'Clara Cleans', 'A clean home in three hours', 8000, 25000,
     'Hi [CUSTOMER_NAME], thank you for asking about [SERVICE_NAME]. See you on [SCHEDULED_DATE]!'),
    ('pipes@demo.example', 'Pete''s Pipes', 'Licensed plumber, day and night', 12000, 90000, null)
) as demo (email, business_name, description, min_price_cents, max_price_cents, template)
join stm.users u on u.email = demo.email
cross join (
    select l.id from stm.local_service_managers l join stm.users u on u.id = l.user_id where u.email = 'lsm@demo.example'
) l
on conflict do nothing;

insert into stm.provider_zip_codes (provider_id, zip_code, position)
select p.id, zip.code, zip.position
from stm.providers p
join stm.users u on u.id = p.user_id and u.email in ('clean@demo.example', 'pipes@demo.example')
cross join unnest(array['10001', '10002', '10003']) with ordinality as zip (code, position)
on conflict do nothing;

insert into stm.provider_services (provider_id, service_id)
select p.id, s.id
from stm.providers p
join stm.users u on u.id = p.user_id
join stm.services s on s.name = any (case u.email
    when 'clean@demo.example' then array['House cleaning', 'Window cleaning']
    when 'pipes@demo.example' then array['Plumbing']
end)
on conflict do nothing;

commit;
