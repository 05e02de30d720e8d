-- Bookings, and the marketplace's settings that rule them.

create table stm.settings (
    singleton boolean primary key default true check (singleton),
    response_deadline_minutes integer not null default 60 check (response_deadline_minutes between 15 and 1440),
    updated_at timestamptz not null default now()
);
insert into stm.settings default values;

create table stm.jobs (
    id bigint generated always as identity primary key,
    customer_id bigint not null references stm.customers (id),
    provider_id bigint not null references stm.providers (id),
    service_id bigint not null references stm.services (id),
    status text not null default 'new'
        check (status in ('new', 'in_progress', 'completed', 'paid', 'cancelled', 'rejected_by_sp')),
    sp_accepted boolean not null default false,
    pending_approval boolean not null default false,  -- an offer is open
    price_cents bigint not null check (price_cents >= 0),
    customer_budget_cents bigint check (customer_budget_cents >= 0),
    zipcode text not null check (zipcode ~ '^[0-9]{5}$'),
    location text,
    answers jsonb not null default '{}',
    images text[] not null default '{}',
    requires_in_person_visit boolean not null default false,
    in_person_visit_cost_cents bigint check (in_person_visit_cost_cents >= 0),
    project_size_sqft integer check (project_size_sqft > 0),
    scheduled_at timestamptz,
    response_deadline timestamptz not null,
    completed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index jobs_customer_id on stm.jobs (customer_id, status);
create index jobs_provider_id on stm.jobs (provider_id, status);
create index jobs_service_id on stm.jobs (service_id);

alter table stm.settings enable row level security;
alter table stm.jobs enable row level security;
