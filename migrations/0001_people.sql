-- Who uses the marketplace. Everything lives in the private schema `stm`: Supabase's Data API
-- exposes `public` only, and row level security without a policy keeps its roles out even so.

revoke all on schema stm from public;
do $$
declare api_role text;
begin
    for api_role in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on schema stm from %I', api_role);
        execute format('alter default privileges in schema stm revoke all on tables from %I', api_role);
        execute format('alter default privileges in schema stm revoke all on sequences from %I', api_role);
        execute format('alter default privileges in schema stm revoke all on functions from %I', api_role);
    end loop;
end
$$;

-- UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits.
-- PostgreSQL has none of its own before version 18.
create function stm.uuid_v7() returns uuid
language sql volatile parallel safe
set search_path = ''
return encode(
    set_bit(set_bit(
        overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3 for 6)
            from 1 for 6),
        52, 1), 53, 1),  -- version 4 (0100) becomes 7 (0111)
    'hex')::uuid;
revoke all on function stm.uuid_v7() from public;

create table stm.users (
    id bigint generated always as identity primary key,
    auth_uid uuid unique,  -- Supabase Auth's `sub`
    email text not null,
    phone_number text,
    password_hash text,  -- PHC string; null when only Supabase Auth knows the user
    first_name text not null,
    last_name text not null,
    profile_picture text,
    role text not null check (role in ('customer', 'service_provider', 'local_service_manager', 'admin')),
    banned_at timestamptz,
    email_verified_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint users_email_key unique (email),
    constraint users_email_is_lower_case check (email = lower(email))
);

-- Opaque refresh tokens, rotated at every use: a family is one login on one device.
create table stm.refresh_tokens (
    token_digest bytea primary key check (length(token_digest) = 32),  -- SHA-256 of the token
    family_id uuid not null,
    user_id bigint not null references stm.users (id) on delete cascade,
    expires_at timestamptz not null,
    replaced_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default now()
);
create index refresh_tokens_family_id on stm.refresh_tokens (family_id);
create index refresh_tokens_user_id on stm.refresh_tokens (user_id);

create table stm.customers (
    id bigint generated always as identity primary key,
    user_id bigint not null unique references stm.users (id),
    address text not null,
    region text not null,
    zipcode text check (zipcode ~ '^[0-9]{5}$'),
    city text,
    state text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table stm.local_service_managers (
    id bigint generated always as identity primary key,
    user_id bigint not null unique references stm.users (id),
    region text not null,
    area text,
    status text not null default 'active' check (status in ('active', 'inactive')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index local_service_managers_region on stm.local_service_managers (lower(region)) where status = 'active';

create table stm.providers (
    id bigint generated always as identity primary key,
    user_id bigint not null unique references stm.users (id),
    lsm_id bigint not null references stm.local_service_managers (id),
    business_name text not null,
    service_type text,
    description text,
    experience_years integer check (experience_years between 0 and 100),
    experience_level text,
    location text,
    website_url text,
    region text not null,
    area text,
    min_price_cents bigint check (min_price_cents >= 0),
    max_price_cents bigint check (max_price_cents >= 0),
    status text not null default 'pending'
        check (status in ('pending', 'active', 'inactive', 'rejected', 'banned')),
    rating numeric(3, 2) not null default 0 check (rating between 0 and 5),
    total_jobs integer not null default 0 check (total_jobs >= 0),
    earnings_cents bigint not null default 0,
    warnings integer not null default 0 check (warnings >= 0),
    first_message_template text,  -- sent into every new chat, after the booking's own first message
    terms_accepted_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint providers_price_range check (min_price_cents <= max_price_cents)
);
create index providers_lsm_id on stm.providers (lsm_id);

create table stm.provider_zip_codes (
    provider_id bigint not null references stm.providers (id) on delete cascade,
    zip_code text not null check (zip_code ~ '^[0-9]{5}$'),
    position smallint not null,  -- 1 is the primary one
    primary key (provider_id, zip_code),
    unique (provider_id, position)
);
create index provider_zip_codes_zip_code on stm.provider_zip_codes (zip_code);

alter table stm._sqlx_migrations enable row level security;
alter table stm.users enable row level security;
alter table stm.refresh_tokens enable row level security;
alter table stm.customers enable row level security;
alter table stm.local_service_managers enable row level security;
alter table stm.providers enable row level security;
alter table stm.provider_zip_codes enable row level security;
