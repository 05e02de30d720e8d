-- A token for each of up to 1,000 customers and 1,000 active providers of marketplace.sql: `role number token`.
-- HS256 (RFC 7515, appendix A.1): HMAC-SHA-256 (RFC 2104) out of sha256() alone.
create function pg_temp.base64url(bytea) returns text language sql as
$$ select rtrim(translate(encode($1, 'base64'), E'+/\n', '-_'), '=') $$;
create function pg_temp.padded(key bytea, pad integer) returns bytea language sql as
$$ select string_agg(set_byte('\x00', 0, case when i < length(key) then get_byte(key, i) else 0 end # pad), ''::bytea order by i)
   from generate_series(0, 63) i $$;

with key as materialized (
    select pg_temp.padded(:'secret', 54) as inner_pad, pg_temp.padded(:'secret', 92) as outer_pad
), people as (
    (select 'customer' as name, user_id, user_id - 4000000 as number from stm.customers where id >= 4000000 order by id % 97, id limit 1000)
    union all
    (select 'provider', user_id, user_id - 3000000 from stm.providers where id >= 3000000 and status = 'active' order by id % 97, id limit 1000)
), claims as (
    select p.name, p.number, pg_temp.base64url('{"alg":"HS256","typ":"JWT"}') || '.' || pg_temp.base64url(convert_to(format(
               '{"sub":%s,"email":"%s","role":"%s","typ":"access","iat":%s,"exp":%s}',
               u.id, u.email, u.role, extract(epoch from now())::bigint, extract(epoch from now())::bigint + 86400), 'UTF8')) as signed
    from people p join stm.users u on u.id = p.user_id
)
select name || ' ' || number || ' ' || signed || '.'
       || pg_temp.base64url(sha256(outer_pad || sha256(inner_pad || convert_to(signed, 'UTF8'))))
from claims, key
order by name, number;
