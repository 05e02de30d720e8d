-- The public search: services by words and by nearly right words, offers by service, ZIP code, price and rating.

-- Supabase keeps extensions in the schema `extensions`; so do we everywhere, because statements name it.
do $$
begin
    if to_regnamespace('extensions') is null then
        create schema extensions;
    end if;
    create extension if not exists pg_trgm with schema extensions;
    if (select extnamespace from pg_extension where extname = 'pg_trgm') <> 'extensions'::regnamespace then
        raise exception 'the extension pg_trgm is not in the schema "extensions", where the search looks for it. Its owner can move it: alter extension pg_trgm set schema extensions. Other applications in this database that name it without its schema then need "extensions" in their search_path.';
    end if;
end
$$;

-- Words as they are written, in lower case, but without stop words: for words of which only the beginning is typed,
-- which stemming would spoil. "the" then begins "therapy", and finds no "the".
create text search dictionary stm.plain (template = pg_catalog.simple, stopwords = english);
create text search configuration stm.plain (copy = pg_catalog.simple);
alter text search configuration stm.plain alter mapping replace pg_catalog.simple with stm.plain;

alter table stm.services add column search tsvector not null generated always as (
    setweight(to_tsvector('stm.plain', name) || to_tsvector('pg_catalog.english', name), 'A')
    || setweight(to_tsvector('stm.plain', category) || to_tsvector('pg_catalog.english', category), 'B')
    || setweight(to_tsvector('pg_catalog.english', coalesce(description, '')), 'D')
) stored;
create index services_search on stm.services using gin (search) where status = 'approved';
-- Names that are nearly right.
create index services_nearly on stm.services using gin ((name || ' ' || category) extensions.gin_trgm_ops)
    where status = 'approved';
create index services_category on stm.services (lower(category), is_popular desc, name, id) where status = 'approved';

-- What searches ask of a provider rides in its offers, so that an index alone answers for a service, however many offer
-- it. Kept by the triggers below; nothing else writes these columns.
alter table stm.provider_services
    add column bookable boolean not null default false,  -- the provider is active
    add column min_price_cents bigint,
    add column max_price_cents bigint,
    add column rating numeric(3, 2) not null default 0,
    add column total_jobs integer not null default 0;
update stm.provider_services o
set bookable = p.status = 'active', min_price_cents = p.min_price_cents, max_price_cents = p.max_price_cents,
    rating = p.rating, total_jobs = p.total_jobs
from stm.providers p
where p.id = o.provider_id;

-- The provider is locked, because one whose change is not committed yet would not find the new offer.
create function stm.offer_added() returns trigger
language plpgsql
set search_path = ''
as $$
declare provider record;
begin
    select p.status, p.min_price_cents, p.max_price_cents, p.rating, p.total_jobs into provider
    from stm.providers p where p.id = new.provider_id for share;
    if found then  -- otherwise the foreign key refuses the row
        new.bookable := provider.status = 'active';
        new.min_price_cents := provider.min_price_cents;
        new.max_price_cents := provider.max_price_cents;
        new.rating := provider.rating;
        new.total_jobs := provider.total_jobs;
    end if;
    return new;
end;
$$;
create trigger offer_added before insert on stm.provider_services for each row execute function stm.offer_added();

create function stm.provider_changed() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update stm.provider_services
    set bookable = new.status = 'active', min_price_cents = new.min_price_cents, max_price_cents = new.max_price_cents,
        rating = new.rating, total_jobs = new.total_jobs
    where provider_id = new.id;
    return null;
end;
$$;
create trigger provider_changed after update of status, min_price_cents, max_price_cents, rating, total_jobs on stm.providers
    for each row when ((old.status, old.min_price_cents, old.max_price_cents, old.rating, old.total_jobs)
        is distinct from (new.status, new.min_price_cents, new.max_price_cents, new.rating, new.total_jobs))
    execute function stm.provider_changed();

create index provider_services_bookable on stm.provider_services (service_id, rating desc, total_jobs desc, provider_id)
    include (min_price_cents, max_price_cents) where bookable;
-- Finds who serves a ZIP code without looking into the table.
create index provider_zip_codes_zip_code_provider_id on stm.provider_zip_codes (zip_code, provider_id);
drop index stm.provider_zip_codes_zip_code;

-- ZIP codes that some provider has ever served, and the region they were served in: what the search for places knows.
create table stm.zip_codes (
    zip_code text primary key check (zip_code ~ '^[0-9]{5}$'),
    region text not null,
    search tsvector not null generated always as (
        to_tsvector('pg_catalog.simple', zip_code || ' ' || region)
    ) stored
);
create index zip_codes_search on stm.zip_codes using gin (search);
alter table stm.zip_codes enable row level security;

-- In order, so that two providers with the same new ZIP codes do not wait for each other.
create function stm.zip_codes_served() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    insert into stm.zip_codes (zip_code, region)
    select distinct on (a.zip_code) a.zip_code, p.region
    from added a
    join stm.providers p on p.id = a.provider_id
    where not exists (select from stm.zip_codes z where z.zip_code = a.zip_code)
    order by a.zip_code, a.provider_id
    on conflict do nothing;
    return null;
end;
$$;
create trigger zip_codes_served after insert on stm.provider_zip_codes
    referencing new table as added for each statement execute function stm.zip_codes_served();
create trigger zip_codes_changed after update on stm.provider_zip_codes
    referencing new table as added for each statement execute function stm.zip_codes_served();
insert into stm.zip_codes (zip_code, region)
select distinct on (z.zip_code) z.zip_code, p.region
from stm.provider_zip_codes z
join stm.providers p on p.id = z.provider_id
order by z.zip_code, z.provider_id;

revoke all on function stm.offer_added(), stm.provider_changed(), stm.zip_codes_served() from public;
