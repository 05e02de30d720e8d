-- What was stored before requests were read in one place takes the form in which it is stored and looked up now.

-- A day without a time was midnight in UTC, the evening before in New York. Now it is noon, marked by a microsecond.
update stm.jobs set scheduled_at = scheduled_at + interval '12 hours 1 microsecond'
where scheduled_at = date_trunc('day', scheduled_at, 'UTC');
update stm.jobs set preferred_at = preferred_at + interval '12 hours 1 microsecond'
where preferred_at = date_trunc('day', preferred_at, 'UTC');
update stm.offers set scheduled_at = scheduled_at + interval '12 hours 1 microsecond'
where scheduled_at = date_trunc('day', scheduled_at, 'UTC');

-- The label of a domain in ASCII (RFC 3492, section 6.3).
create function pg_temp.ascii_label(label text) returns text
language plpgsql immutable
as $$
declare
    codes int[] := array(select ascii(substr(label, at, 1)) from generate_series(1, length(label)) at order by at);
    digits constant text := 'abcdefghijklmnopqrstuvwxyz0123456789';
    result text := coalesce((select string_agg(chr(code), '' order by at)
                             from unnest(codes) with ordinality as basic (code, at) where code < 128), '');
    basic constant int := length(result);
    handled int := basic;
    threshold int := 128;
    delta int := 0;
    bias int := 72;
    next int;
    code int;
    rest int;
    k int;
    least_digit int;
begin
    if basic = length(label) then
        return label;
    end if;
    if basic > 0 then
        result := result || '-';
    end if;
    while handled < length(label) loop
        select min(one) into next from unnest(codes) one where one >= threshold;
        delta := delta + (next - threshold) * (handled + 1);
        threshold := next;
        foreach code in array codes loop
            if code < threshold then
                delta := delta + 1;
            elsif code = threshold then
                rest := delta;
                k := 36;
                loop
                    least_digit := least(greatest(k - bias, 1), 26);
                    exit when rest < least_digit;
                    result := result || substr(digits, least_digit + (rest - least_digit) % (36 - least_digit) + 1, 1);
                    rest := (rest - least_digit) / (36 - least_digit);
                    k := k + 36;
                end loop;
                result := result || substr(digits, rest + 1, 1);
                delta := case when handled = basic then delta / 700 else delta / 2 end;
                delta := delta + delta / (handled + 1);
                k := 0;
                while delta > 455 loop
                    delta := delta / 35;
                    k := k + 36;
                end loop;
                bias := k + 36 * delta / (delta + 38);
                delta := 0;
                handled := handled + 1;
            end if;
        end loop;
        delta := delta + 1;
        threshold := threshold + 1;
    end loop;
    return 'xn--' || result;
end
$$;

-- E-mail addresses: nothing invisible, composed, the domain in ASCII. Of several accounts with one address, the one that
-- has the form already, or else the oldest, gets it; the others stay as they are.
with visible as (
    select id,
           regexp_replace(
               email,
               E'[\u0085\u00a0\u00ad\u0600-\u0605\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]', '', 'g'
           ) as email
    from stm.users
    where email ~ E'[^\\x01-\\x7f]'
), form as (
    select distinct on (form) id, form
    from (
        select id,
               lower(normalize(regexp_replace(email, '@[^@]*$', ''), nfc)) || '@' || (
                   select string_agg(pg_temp.ascii_label(label), '.' order by at)
                   from regexp_split_to_table(lower(normalize(regexp_replace(email, '^.*@', ''), nfkc)), '\.')
                        with ordinality as labels (label, at)
               ) as form
        from visible
    ) formed
    order by form, id
)
update stm.users u set email = form.form
from form
where u.id = form.id and u.email <> form.form
  and not exists (select from stm.users other where other.email = form.form);

drop function pg_temp.ascii_label(text);
