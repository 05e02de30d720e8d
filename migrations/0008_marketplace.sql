-- From request to review: what changes a job, what is offered, paid, said about it and disputed.

alter table stm.settings
    add column warning_threshold integer not null default 3 check (warning_threshold between 1 and 10),
    add column cancellation_fee_percentage integer not null default 25 check (cancellation_fee_percentage between 0 and 100);

-- `preferred_at`: when the customer wanted it, whatever was agreed upon since.
-- `deadline_missed_at`: the present response deadline has been acted upon; null again with every new deadline.
alter table stm.jobs
    add column preferred_at timestamptz,
    add column deadline_missed_at timestamptz,
    add constraint jobs_waits_only_while_new check (status = 'new' or not pending_approval);
update stm.jobs set preferred_at = scheduled_at;
create index jobs_response_deadline on stm.jobs (response_deadline)
    where status = 'new' and not sp_accepted and not pending_approval and deadline_missed_at is null;
-- Lists of a party's jobs, newest first.
create index jobs_customer_id_id on stm.jobs (customer_id, id desc);
create index jobs_provider_id_id on stm.jobs (provider_id, id desc);

-- A job's chats, newest first: the last one is with the present provider.
drop index stm.chats_job_id;
create index chats_job_id on stm.chats (job_id, id desc);

-- What was done with a job, by whom. Never updated, never deleted.
create table stm.job_events (
    id bigint generated always as identity primary key,
    job_id bigint not null references stm.jobs (id),
    actor_id bigint references stm.users (id),  -- null: the platform itself
    action text not null,
    from_status text,  -- null: the job was made
    to_status text not null,
    reason text,
    at timestamptz not null default now()
);
create index job_events_job_id on stm.job_events (job_id, id);
create index job_events_actor_id on stm.job_events (actor_id);

-- Offers: whoever did not make one answers it. At most one is open per job.
create table stm.offers (
    id bigint generated always as identity primary key,
    job_id bigint not null references stm.jobs (id),
    chat_id uuid not null references stm.chats (id),
    offered_by text not null check (offered_by in ('customer', 'service_provider')),
    price_cents bigint check (price_cents >= 0),  -- null: the price stays
    scheduled_at timestamptz,  -- null: the date stays
    notes text,
    answers jsonb,  -- changed answers to the service's questions; null: they stay
    status text not null default 'open' check (status in ('open', 'accepted', 'declined', 'countered', 'withdrawn')),
    created_at timestamptz not null default now(),
    answered_at timestamptz,
    constraint offers_answered_at check ((status = 'open') = (answered_at is null))
);
create unique index offers_one_open on stm.offers (job_id) where status = 'open';
create index offers_job_id on stm.offers (job_id, id);
create index offers_chat_id on stm.offers (chat_id);

-- What is owed for a job, and what was received.
create table stm.payments (
    id bigint generated always as identity primary key,
    job_id bigint not null references stm.jobs (id),
    kind text not null check (kind in ('job', 'cancellation_fee')),
    amount_cents bigint not null check (amount_cents >= 0),
    status text not null default 'pending' check (status in ('pending', 'received')),
    method text check (method in ('cash', 'card', 'bank_transfer', 'online')),
    notes text,
    marked_at timestamptz,  -- when it was received
    created_at timestamptz not null default now(),
    constraint payments_once unique (job_id, kind),
    constraint payments_marked_at check ((status = 'received') = (marked_at is not null))
);

create table stm.reviews (
    id bigint generated always as identity primary key,
    job_id bigint not null references stm.jobs (id),
    customer_id bigint not null references stm.customers (id),
    provider_id bigint not null references stm.providers (id),
    rating smallint not null check (rating between 1 and 5),
    feedback text,
    punctuality_rating smallint check (punctuality_rating between 1 and 5),
    response_time_minutes integer check (response_time_minutes >= 0),
    created_at timestamptz not null default now(),
    constraint reviews_once_per_job unique (job_id),
    constraint reviews_low_ratings_say_why check (rating >= 3 or feedback is not null)
);
create index reviews_provider_id on stm.reviews (provider_id, id desc);
create index reviews_customer_id on stm.reviews (customer_id, id desc);

create table stm.disputes (
    id bigint generated always as identity primary key,
    job_id bigint not null references stm.jobs (id),
    lsm_id bigint not null references stm.local_service_managers (id),
    description text not null,
    status text not null default 'open' check (status in ('open', 'resolved')),
    resolution_notes text,
    resolved_by bigint references stm.users (id),
    created_at timestamptz not null default now(),
    resolved_at timestamptz,
    constraint disputes_resolution check ((status = 'resolved') = (resolved_at is not null and resolution_notes is not null))
);
create unique index disputes_one_open on stm.disputes (job_id) where status = 'open';
create index disputes_job_id on stm.disputes (job_id);
create index disputes_lsm_id on stm.disputes (lsm_id, status, id desc);
create index disputes_resolved_by on stm.disputes (resolved_by);

-- Services that somebody misses: a customer, or a provider who would offer it.
create table stm.service_requests (
    id bigint generated always as identity primary key,
    requested_by bigint not null references stm.users (id),
    kind text not null check (kind in ('customer', 'service_provider')),
    lsm_id bigint references stm.local_service_managers (id),  -- null: nobody serves the region
    service_name text not null,
    category text,
    description text not null,
    questions_json jsonb,
    region text,
    zipcode text check (zipcode ~ '^[0-9]{5}$'),
    status text not null default 'pending' check (status in ('pending', 'lsm_approved', 'approved', 'rejected')),
    reason text,  -- why it was rejected
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index service_requests_requested_by on stm.service_requests (requested_by, id desc);
create index service_requests_lsm_id on stm.service_requests (lsm_id, status, id desc);

alter table stm.providers
    add column last_availability_confirmed_at timestamptz,
    add column job_accepted_subject text,
    add column job_accepted_body text,
    add column negotiation_subject text,
    add column negotiation_body text,
    add column images text[] not null default '{}',
    add column documents jsonb not null default '[]';

-- The answers to requests that carried an Idempotency-Key, written in the transaction of their effect.
create table stm.idempotency_keys (
    user_id bigint not null references stm.users (id) on delete cascade,
    key text not null check (length(key) between 1 and 255),
    request_digest bytea not null check (length(request_digest) = 32),  -- SHA-256 of operation and body
    status smallint,  -- null only inside the transaction that answers it
    response jsonb,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);
create index idempotency_keys_created_at on stm.idempotency_keys (created_at);

alter table stm.job_events enable row level security;
alter table stm.offers enable row level security;
alter table stm.payments enable row level security;
alter table stm.reviews enable row level security;
alter table stm.disputes enable row level security;
alter table stm.service_requests enable row level security;
alter table stm.idempotency_keys enable row level security;
