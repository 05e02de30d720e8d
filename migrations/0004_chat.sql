-- One chat per booking and provider. `seq` counts 1, 2, 3… in each chat without gaps.

create table stm.chats (
    id uuid primary key default stm.uuid_v7(),
    job_id bigint not null references stm.jobs (id),
    last_seq bigint not null default 0 check (last_seq >= 0),
    closed_at timestamptz,
    created_at timestamptz not null default now()
);
create index chats_job_id on stm.chats (job_id);

-- Membership is a row: whoever has none, or has left, neither reads nor writes.
create table stm.chat_members (
    chat_id uuid not null references stm.chats (id) on delete cascade,
    user_id bigint not null references stm.users (id),
    side text not null check (side in ('customer', 'service_provider', 'local_service_manager')),
    last_read_seq bigint not null default 0 check (last_read_seq >= 0),
    joined_at timestamptz not null default now(),
    left_at timestamptz,
    primary key (chat_id, user_id)
);
create index chat_members_user_id on stm.chat_members (user_id);

create table stm.messages (
    id uuid primary key default stm.uuid_v7(),
    chat_id uuid not null references stm.chats (id) on delete cascade,
    seq bigint not null check (seq > 0),
    sender_id bigint not null references stm.users (id),
    sender_type text not null check (sender_type in ('customer', 'service_provider', 'local_service_manager')),
    client_message_id text,  -- the sender's own name for it: the same one again is the same message
    message text not null,
    message_type text not null default 'text' check (message_type in ('text', 'image', 'document')),
    created_at timestamptz not null default now(),
    constraint messages_chat_id_seq_key unique (chat_id, seq),
    constraint messages_client_message_id_key unique (chat_id, sender_id, client_message_id)
);
create index messages_sender_id on stm.messages (sender_id);

alter table stm.chats enable row level security;
alter table stm.chat_members enable row level security;
alter table stm.messages enable row level security;
