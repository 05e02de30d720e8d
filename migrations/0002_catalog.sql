-- What can be booked, and who offers it.

create table stm.services (
    id bigint generated always as identity primary key,
    name text not null,
    category text not null,
    description text,
    questions_json jsonb,
    is_popular boolean not null default false,
    status text not null default 'approved' check (status in ('pending', 'approved', 'rejected', 'deleted')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index services_name_key on stm.services (lower(name)) where status <> 'deleted';

create table stm.provider_services (
    provider_id bigint not null references stm.providers (id) on delete cascade,
    service_id bigint not null references stm.services (id),
    created_at timestamptz not null default now(),
    primary key (provider_id, service_id)
);
create index provider_services_service_id on stm.provider_services (service_id);

alter table stm.services enable row level security;
alter table stm.provider_services enable row level security;
