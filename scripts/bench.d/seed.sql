-- The bench's data, and an access token for each of its customers on standard output.
-- Variables: customers, providers, secret (JWT_SECRET, at most 64 bytes).
-- Customer n is user and customer 1000000 + n, provider n is user and provider 2000000 + n: the load makes
-- up its requests by counting, and asks nobody for ids.
\set ON_ERROR_STOP on
begin;

insert into stm.services (id, name, category) overriding system value values (1000000, 'Benchmarking', 'Bench');

insert into stm.users (id, email, phone_number, first_name, last_name, role) overriding system value
select 1000000 + n, format('customer%s@bench.example', n), format('+1212%s', 2000000 + n), 'Ann', 'Archer', 'customer'
from generate_series(0, :customers - 1) n
union all
select 2000000 + n, format('provider%s@bench.example', n), format('+1646%s', 2000000 + n), 'Clara', 'Clean', 'service_provider'
from generate_series(0, :providers - 1) n
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

-- Five settled jobs each, so that a profile has something to count.
insert into stm.jobs (customer_id, provider_id, service_id, status, price_cents, zipcode, response_deadline)
select c.id, 2000000 + (c.id + n) % :providers, 1000000, 'paid', 12000, '10001', now()
from stm.customers c, generate_series(1, 5) n
where c.id >= 1000000;

commit;
vacuum (analyze);
checkpoint;

-- HS256 (RFC 7515, appendix A.1): HMAC-SHA-256 (RFC 2104) out of sha256() alone.
create function pg_temp.base64url(bytea) returns text language sql as
$$ select rtrim(translate(encode($1, 'base64'), E'+/\n', '-_'), '=') $$;
create function pg_temp.padded(key bytea, pad integer) returns bytea language sql as
$$ select string_agg(set_byte('\x00', 0, case when i < length(key) then get_byte(key, i) else 0 end # pad), ''::bytea order by i)
   from generate_series(0, 63) i $$;

with key as materialized (
    select pg_temp.padded(:'secret', 54) as inner_pad, pg_temp.padded(:'secret', 92) as outer_pad
), claims as (
    select u.id, pg_temp.base64url('{"alg":"HS256","typ":"JWT"}') || '.' || pg_temp.base64url(convert_to(format(
               '{"sub":%s,"email":"%s","role":"customer","typ":"access","iat":%s,"exp":%s}',
               u.id, u.email, extract(epoch from now())::bigint, extract(epoch from now())::bigint + 86400), 'UTF8')) as signed
    from stm.users u
    where u.role = 'customer' and u.id >= 1000000
)
select signed || '.' || pg_temp.base64url(sha256(outer_pad || sha256(inner_pad || convert_to(signed, 'UTF8'))))
from claims, key
order by id;
