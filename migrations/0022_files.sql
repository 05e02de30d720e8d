-- Files: what people upload. The bytes are in the object store, under the row's key.

-- `uploading`: its bytes may not be stored yet. `pending`: nothing refers to it yet. A sweep deletes rows that stay so.
create table stm.files (
    id uuid primary key,  -- random: URLs name it
    owner_id bigint not null references stm.users (id),
    purpose text not null check (purpose in ('job_image', 'chat_attachment', 'provider_document', 'provider_logo',
                                             'provider_banner', 'gallery_image')),
    state text not null default 'uploading' check (state in ('uploading', 'pending', 'attached', 'deleted')),
    key text not null unique,  -- the folder of its objects
    name text not null check (name <> ''),
    content_type text not null,
    bytes bigint not null check (bytes >= 0),  -- as stored
    received_bytes bigint not null check (received_bytes >= 0),
    sha256 bytea not null check (length(sha256) = 32),  -- of what was received
    width integer check (width > 0),
    height integer check (height > 0),
    created_at timestamptz not null default now(),
    deleted_at timestamptz,
    erased_at timestamptz,  -- when its objects were deleted
    constraint files_size check ((width is null) = (height is null)),
    constraint files_deleted_at check ((state = 'deleted') = (deleted_at is not null)),
    constraint files_erased_at check (erased_at is null or state = 'deleted')
);
-- Equal bytes of one owner are stored once.
create unique index files_same_bytes on stm.files (owner_id, purpose, sha256) where state in ('pending', 'attached');
create index files_owner_id on stm.files (owner_id, created_at);
create index files_unfinished on stm.files (created_at) where state in ('uploading', 'pending');
create index files_to_erase on stm.files (deleted_at) where state = 'deleted' and erased_at is null;
create index files_erased on stm.files (created_at) where erased_at is not null;

-- Documents of providers, which their LSM verifies or rejects.
create table stm.provider_documents (
    id bigint generated always as identity primary key,
    provider_id bigint not null references stm.providers (id),
    file_id uuid not null references stm.files (id),
    file_name text not null check (file_name <> ''),
    description text not null,
    status text not null default 'pending' check (status in ('pending', 'verified', 'rejected')),
    reason text,  -- why it was rejected
    reviewed_by bigint references stm.users (id),
    reviewed_at timestamptz,
    created_at timestamptz not null default now(),
    constraint provider_documents_review check ((status = 'pending') = (reviewed_at is null)),
    constraint provider_documents_reason check ((status = 'rejected') = (reason is not null))
);
create index provider_documents_provider_id on stm.provider_documents (provider_id, id);
create index provider_documents_file_id on stm.provider_documents (file_id);
create index provider_documents_reviewed_by on stm.provider_documents (reviewed_by);

-- The documents of a provider, as all views show them.
create function stm.documents_of(provider bigint) returns jsonb
language sql stable
set search_path = ''
as $$
    select coalesce(jsonb_agg(jsonb_build_object(
               'id', d.id, 'fileName', d.file_name, 'description', d.description, 'status', d.status, 'reason', d.reason,
               'verifiedAt', case when d.status = 'verified'
                                  then to_char(d.reviewed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end,
               'uploadedAt', to_char(d.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
           ) order by d.id), '[]')
    from stm.provider_documents d
    where d.provider_id = provider
$$;
revoke all on function stm.documents_of(bigint) from public;

-- A provider who was rejected hands in documents, and waits for the LSM again.
alter table stm.provider_events
    drop constraint provider_events_action_check,
    add constraint provider_events_action_check
        check (action in ('approve', 'reject', 'activate', 'deactivate', 'force_deactivate', 'ban', 'unban', 'close', 'hand_in'));

alter table stm.settings
    add column require_documents boolean not null default true;  -- whether approval needs documents, all of them verified

create table stm.gallery_images (
    id uuid primary key default stm.uuid_v7(),
    provider_id bigint not null references stm.providers (id),
    file_id uuid not null references stm.files (id),
    file_name text not null check (file_name <> ''),
    caption text,
    position integer not null check (position >= 1),  -- 1 is shown first
    created_at timestamptz not null default now()
);
create index gallery_images_provider_id on stm.gallery_images (provider_id, position);
create index gallery_images_file_id on stm.gallery_images (file_id);

alter table stm.providers
    add column logo_file_id uuid references stm.files (id),
    add column logo_file_name text,
    add column banner_file_id uuid references stm.files (id),
    add column banner_file_name text,
    add constraint providers_logo check ((logo_file_id is null) = (logo_file_name is null)),
    add constraint providers_banner check ((banner_file_id is null) = (banner_file_name is null));
create index providers_logo_file_id on stm.providers (logo_file_id);
create index providers_banner_file_id on stm.providers (banner_file_id);

-- A message attaches its sender's files in the transaction that stores it. Messages of words cost nothing.
create function stm.attach_files_of_message() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update stm.files
    set state = 'attached'
    where state = 'pending' and owner_id = new.sender_id
      and id in (select reference[1]::uuid
                 from regexp_matches(new.message, '/files/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/', 'g') reference);
    return null;
end;
$$;
revoke all on function stm.attach_files_of_message() from public;
create trigger message_attaches_files after insert on stm.messages
    for each row when (new.message_type <> 'text') execute function stm.attach_files_of_message();

alter table stm.files enable row level security;
alter table stm.provider_documents enable row level security;
alter table stm.gallery_images enable row level security;
