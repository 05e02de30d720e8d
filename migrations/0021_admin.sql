-- Admins: the settings they may change, a record of what they do, and the indexes of their lists.

alter table stm.settings
    add column popularity_threshold integer not null default 50 check (popularity_threshold between 1 and 1000),
    add column default_in_person_visit_cost_cents bigint not null default 0
        check (default_in_person_visit_cost_cents >= 0);

-- Everything that admins do, inserted with its effect. Never updated, never deleted.
create table stm.admin_events (
    id bigint generated always as identity primary key,
    actor_id bigint not null references stm.users (id),
    action text not null check (action <> ''),
    subject text not null check (subject <> ''),
    subject_id bigint,  -- null: there is only one, or they are many
    before jsonb,  -- what was there; null: nothing was
    after jsonb,  -- what is there now; null: nothing is
    at timestamptz not null default now()
);
create index admin_events_actor_id on stm.admin_events (actor_id, id desc);
create index admin_events_action on stm.admin_events (action, id desc);
create index admin_events_subject on stm.admin_events (subject, subject_id, id desc);
alter table stm.admin_events enable row level security;

create function stm.refuse_change() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '% is append-only', tg_table_name;
end;
$$;
revoke all on function stm.refuse_change() from public;
create trigger admin_events_are_append_only before update or delete or truncate on stm.admin_events
    for each statement execute function stm.refuse_change();

-- A removed LSM keeps its row, for what refers to it.
alter table stm.local_service_managers
    add column deleted_at timestamptz,
    add constraint local_service_managers_deleted_is_inactive check (deleted_at is null or status = 'inactive');

-- Why and by whom a user was banned.
alter table stm.users
    add column ban_reason text,
    add column banned_by bigint references stm.users (id);
create index users_banned_by on stm.users (banned_by);

-- A service is popular because an admin says so, or by the number of its bookings. `popular_by_admin` is null where no
-- admin has said anything.
alter table stm.services add column popular_by_admin boolean;
update stm.services set popular_by_admin = true where is_popular;

create function stm.service_booked() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update stm.services s
    set is_popular = true
    from stm.settings t
    where s.id in (select b.service_id from booked b)
      and not s.is_popular and s.popular_by_admin is null
      and (select count(*)
           from (select from stm.jobs j where j.service_id = s.id limit t.popularity_threshold) j) >= t.popularity_threshold;
    return null;
end;
$$;
revoke all on function stm.service_booked() from public;
create trigger service_booked after insert on stm.jobs
    referencing new table as booked for each statement execute function stm.service_booked();

-- When providers were last reminded to confirm their availability.
alter table stm.providers add column availability_reminded_at timestamptz;

-- The lists of admins, each in the orders that it offers.
create index providers_status on stm.providers (status, id desc);
create index providers_region on stm.providers (stm.region_key(region), id desc);
create index providers_rating on stm.providers (rating desc, id desc);
create index providers_total_jobs on stm.providers (total_jobs desc, id desc);
create index providers_earnings on stm.providers (earnings_cents desc, id desc);
create index providers_business_name on stm.providers (lower(business_name), id);
create index providers_business_name_parts on stm.providers using gin (business_name extensions.gin_trgm_ops);
create index users_parts on stm.users
    using gin ((first_name || ' ' || last_name || ' ' || email) extensions.gin_trgm_ops);
create index users_free on stm.users (role) where banned_at is null;
create index users_banned_at on stm.users (banned_at desc, id) where banned_at is not null;
create index customers_region on stm.customers (stm.region_key(region), id desc);
create index jobs_status on stm.jobs (status, created_at desc, id desc);
create index jobs_created_at on stm.jobs (created_at desc, id desc) include (status);
create index jobs_price on stm.jobs (price_cents desc, id desc);
create index payments_marked_at on stm.payments (marked_at) include (amount_cents, kind) where status = 'received';
create index reviews_rating on stm.reviews (rating, id desc);
create index disputes_status on stm.disputes (status, id desc);
create index service_requests_status on stm.service_requests (status, id desc);
