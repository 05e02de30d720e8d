-- What the dashboards of admins count, kept up to date where it happens. Each change is a row of its own, so nobody waits
-- for a counter; the worker folds the changes into one row for each kind and day. A count is the sum of both.

create table stm.tallies (
    kind text not null,
    day date not null,  -- in UTC
    count bigint not null,
    cents bigint not null default 0,
    primary key (kind, day)
);
create table stm.tally_changes (
    id bigint generated always as identity primary key,
    kind text not null,
    day date not null,
    count bigint not null,
    cents bigint not null default 0
);
alter table stm.tallies enable row level security;
alter table stm.tally_changes enable row level security;

create view stm.tallied with (security_invoker = true) as
select kind, day, count, cents from stm.tallies
union all
select kind, day, count, cents from stm.tally_changes;

-- One more of one kind, one less of another; null counts nowhere.
create function stm.tally(more text, more_day date, more_cents bigint, less text, less_day date, less_cents bigint) returns void
language sql
set search_path = ''
as $$
    insert into stm.tally_changes (kind, day, count, cents)
    select x.kind, x.day, x.count, x.cents
    from (values (more, more_day, 1, more_cents), (less, less_day, -1, -less_cents)) as x (kind, day, count, cents)
    where x.kind is not null;
$$;

-- Jobs by status, on the day of their booking.
create function stm.tally_job() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform stm.tally('job ' || new.status, (new.created_at at time zone 'UTC')::date, 0,
                      case when tg_op = 'UPDATE' then 'job ' || old.status end,
                      case when tg_op = 'UPDATE' then (old.created_at at time zone 'UTC')::date end, 0);
    return null;
end;
$$;
create trigger jobs_are_tallied after insert on stm.jobs for each row execute function stm.tally_job();
create trigger jobs_are_tallied_anew after update of status, created_at on stm.jobs for each row
    when (old.status <> new.status or old.created_at <> new.created_at) execute function stm.tally_job();

-- Payments that were received, on the day that they were marked.
create function stm.tally_payment() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform stm.tally(case when new.status = 'received' then 'payment ' || new.kind end,
                      (new.marked_at at time zone 'UTC')::date, new.amount_cents,
                      case when tg_op = 'UPDATE' and old.status = 'received' then 'payment ' || old.kind end,
                      case when tg_op = 'UPDATE' then (old.marked_at at time zone 'UTC')::date end,
                      case when tg_op = 'UPDATE' then old.amount_cents end);
    return null;
end;
$$;
create trigger payments_are_tallied after insert on stm.payments for each row
    when (new.status = 'received') execute function stm.tally_payment();
create trigger payments_are_tallied_anew after update on stm.payments for each row
    when (old.status = 'received' or new.status = 'received') execute function stm.tally_payment();

-- Reviews by their stars.
create function stm.tally_review() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform stm.tally(case when tg_op <> 'DELETE' then 'review ' || new.rating end,
                      case when tg_op <> 'DELETE' then (new.created_at at time zone 'UTC')::date end, 0,
                      case when tg_op <> 'INSERT' then 'review ' || old.rating end,
                      case when tg_op <> 'INSERT' then (old.created_at at time zone 'UTC')::date end, 0);
    return null;
end;
$$;
create trigger reviews_are_tallied after insert or delete on stm.reviews for each row execute function stm.tally_review();
create trigger reviews_are_tallied_anew after update of rating on stm.reviews for each row execute function stm.tally_review();

-- Users by role, those who are banned or closed apart.
create function stm.tally_user() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform stm.tally(case when tg_op <> 'DELETE' then
                          case when new.banned_at is null then 'user ' || new.role else 'user banned' end end,
                      case when tg_op <> 'DELETE' then (new.created_at at time zone 'UTC')::date end, 0,
                      case when tg_op <> 'INSERT' then
                          case when old.banned_at is null then 'user ' || old.role else 'user banned' end end,
                      case when tg_op <> 'INSERT' then (old.created_at at time zone 'UTC')::date end, 0);
    return null;
end;
$$;
create trigger users_are_tallied after insert or delete on stm.users for each row execute function stm.tally_user();
create trigger users_are_tallied_anew after update of banned_at, role on stm.users for each row
    when (old.role <> new.role or (old.banned_at is null) <> (new.banned_at is null)) execute function stm.tally_user();

-- Providers by status.
create function stm.tally_provider() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform stm.tally('provider ' || new.status, (new.created_at at time zone 'UTC')::date, 0,
                      case when tg_op = 'UPDATE' then 'provider ' || old.status end,
                      case when tg_op = 'UPDATE' then (old.created_at at time zone 'UTC')::date end, 0);
    return null;
end;
$$;
create trigger providers_are_tallied after insert on stm.providers for each row execute function stm.tally_provider();
create trigger providers_are_tallied_anew after update of status on stm.providers for each row
    when (old.status <> new.status) execute function stm.tally_provider();

revoke all on function stm.tally(text, date, bigint, text, date, bigint), stm.tally_job(), stm.tally_payment(), stm.tally_review(),
    stm.tally_user(), stm.tally_provider() from public;

-- What is there already.
insert into stm.tallies (kind, day, count, cents)
select 'job ' || status, (created_at at time zone 'UTC')::date, count(*), 0 from stm.jobs group by 1, 2
union all
select 'payment ' || kind, (marked_at at time zone 'UTC')::date, count(*), sum(amount_cents)
from stm.payments where status = 'received' group by 1, 2
union all
select 'review ' || rating, (created_at at time zone 'UTC')::date, count(*), 0 from stm.reviews group by 1, 2
union all
select case when banned_at is null then 'user ' || role else 'user banned' end, (created_at at time zone 'UTC')::date, count(*), 0
from stm.users group by 1, 2
union all
select 'provider ' || status, (created_at at time zone 'UTC')::date, count(*), 0 from stm.providers group by 1, 2;
