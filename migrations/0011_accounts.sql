-- Accounts: one-time codes, closing, e-mail, and places by ZIP code.

-- A closed account is barred wherever a banned one is, and no ban can be lifted from it.
alter table stm.users
    add column closed_at timestamptz,
    add constraint users_closed_is_barred check (closed_at is null or banned_at is not null);

-- One live code per user and purpose. A new code replaces the last one, but the counts run on until the hour is over.
create table stm.one_time_codes (
    user_id bigint not null references stm.users (id) on delete cascade,
    purpose text not null check (purpose in ('password_reset', 'email_verification')),
    code_digest bytea not null check (length(code_digest) = 32),  -- HMAC-SHA-256; the key is not in the database
    expires_at timestamptz not null,
    tries integer not null default 0 check (tries >= 0),
    codes integer not null default 1 check (codes >= 1),
    counted_since timestamptz not null default now(),
    primary key (user_id, purpose)
);

-- E-mails to be sent, inserted in the transaction of their cause. A claim is a lease: if its holder dies, another
-- process sends the e-mail after `next_attempt_at`. What was sent keeps neither its text nor its address.
create table stm.emails (
    id uuid primary key default stm.uuid_v7(),  -- also the Message-ID, the same in every attempt
    user_id bigint not null references stm.users (id) on delete cascade,
    status text not null default 'queued' check (status in ('queued', 'sending', 'sent', 'dead')),
    recipient text,
    subject text,
    body_text text,
    body_html text,
    attempts integer not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    expires_at timestamptz,  -- of no use to its reader afterwards; null: never
    last_error text,
    created_at timestamptz not null default now(),
    ended_at timestamptz,  -- when it was sent or given up
    constraint emails_ended_at check ((status in ('sent', 'dead')) = (ended_at is not null)),
    constraint emails_are_whole check (
        status in ('sent', 'dead')
        or recipient is not null and subject is not null and body_text is not null and body_html is not null)
);
create index emails_due on stm.emails (next_attempt_at, id) where status in ('queued', 'sending');
create index emails_user_id on stm.emails (user_id);
create index emails_ended_at on stm.emails (ended_at) where ended_at is not null;

-- Places by ZIP code, loaded by scripts/load-zip-codes from a public file. Empty until then.
create table stm.zip_places (
    zip_code text not null check (zip_code ~ '^[0-9]{5}$'),
    city text not null check (city <> ''),
    state text not null check (state ~ '^[A-Z]{2}$'),
    position integer not null check (position >= 1),  -- 1 is the main place
    primary key (zip_code, city, state)
);
create index customers_zipcode on stm.customers (zipcode) where zipcode is not null;

-- The state behind a region's name: its two letters in lower case, or the name itself. `NY` and `New York` are one.
create function stm.region_key(region text) returns text
language sql immutable parallel safe
set search_path = ''
return coalesce(
    (select state.code
     from (values
         ('al', 'alabama'), ('ak', 'alaska'), ('az', 'arizona'), ('ar', 'arkansas'), ('ca', 'california'),
         ('co', 'colorado'), ('ct', 'connecticut'), ('de', 'delaware'), ('dc', 'district of columbia'),
         ('fl', 'florida'), ('ga', 'georgia'), ('hi', 'hawaii'), ('id', 'idaho'), ('il', 'illinois'),
         ('in', 'indiana'), ('ia', 'iowa'), ('ks', 'kansas'), ('ky', 'kentucky'), ('la', 'louisiana'),
         ('me', 'maine'), ('md', 'maryland'), ('ma', 'massachusetts'), ('mi', 'michigan'), ('mn', 'minnesota'),
         ('ms', 'mississippi'), ('mo', 'missouri'), ('mt', 'montana'), ('ne', 'nebraska'), ('nv', 'nevada'),
         ('nh', 'new hampshire'), ('nj', 'new jersey'), ('nm', 'new mexico'), ('ny', 'new york'),
         ('nc', 'north carolina'), ('nd', 'north dakota'), ('oh', 'ohio'), ('ok', 'oklahoma'), ('or', 'oregon'),
         ('pa', 'pennsylvania'), ('pr', 'puerto rico'), ('ri', 'rhode island'), ('sc', 'south carolina'),
         ('sd', 'south dakota'), ('tn', 'tennessee'), ('tx', 'texas'), ('ut', 'utah'), ('vt', 'vermont'),
         ('va', 'virginia'), ('wa', 'washington'), ('wv', 'west virginia'), ('wi', 'wisconsin'), ('wy', 'wyoming')
     ) as state (code, name)
     where state.name = lower(btrim(region))),
    lower(btrim(region)));
revoke all on function stm.region_key(text) from public;
drop index stm.local_service_managers_region;
create index local_service_managers_region on stm.local_service_managers (stm.region_key(region)) where status = 'active';

alter table stm.one_time_codes enable row level security;
alter table stm.emails enable row level security;
alter table stm.zip_places enable row level security;
