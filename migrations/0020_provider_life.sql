-- The life of a provider, from its registration on; LSMs who ask for a ban; what LSMs read.

-- Every change of a provider's status. Never updated, never deleted.
create table stm.provider_events (
    id bigint generated always as identity primary key,
    provider_id bigint not null references stm.providers (id),
    actor_id bigint not null references stm.users (id),
    action text not null
        check (action in ('approve', 'reject', 'activate', 'deactivate', 'force_deactivate', 'ban', 'unban', 'close')),
    from_status text not null check (from_status in ('pending', 'active', 'inactive', 'rejected', 'banned')),
    to_status text not null check (to_status in ('pending', 'active', 'inactive', 'rejected', 'banned')),
    reason text,
    at timestamptz not null default now()
);
create index provider_events_provider_id on stm.provider_events (provider_id, id);
create index provider_events_actor_id on stm.provider_events (actor_id);

-- An LSM asks for the ban of one of its providers; an admin decides. At most one request per provider waits.
create table stm.ban_requests (
    id bigint generated always as identity primary key,
    provider_id bigint not null references stm.providers (id),
    requested_by bigint not null references stm.users (id),
    reason text not null,
    status text not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by bigint references stm.users (id),
    decided_at timestamptz,
    created_at timestamptz not null default now(),
    constraint ban_requests_decision check ((status = 'pending') = (decided_by is null and decided_at is null))
);
create unique index ban_requests_one_pending on stm.ban_requests (provider_id) where status = 'pending';
create index ban_requests_provider_id on stm.ban_requests (provider_id);
create index ban_requests_requested_by on stm.ban_requests (requested_by);
create index ban_requests_decided_by on stm.ban_requests (decided_by);
create index ban_requests_status on stm.ban_requests (status, id desc);

-- When the LSM decided on a request for a service. An admin's decision is later, at `updated_at`.
alter table stm.service_requests add column lsm_reviewed_at timestamptz;
update stm.service_requests set lsm_reviewed_at = updated_at where status <> 'pending';
create index service_requests_lsm_id_id on stm.service_requests (lsm_id, id desc);

-- The admins, who are notified of what waits for them.
create index users_admins on stm.users (id) where role = 'admin';

-- Lists of an LSM's providers, newest first, and sums over their jobs.
drop index stm.providers_lsm_id;
create index providers_lsm_id on stm.providers (lsm_id, id desc);
create index jobs_of_provider on stm.jobs (provider_id, created_at desc) include (status, price_cents);

alter table stm.provider_events enable row level security;
alter table stm.ban_requests enable row level security;
