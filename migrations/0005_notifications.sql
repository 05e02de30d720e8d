-- What a user is told, written in the same transaction as its cause.

create table stm.notifications (
    id uuid primary key default stm.uuid_v7(),
    recipient_id bigint not null references stm.users (id) on delete cascade,
    type text not null check (type in ('job', 'payment', 'message', 'system', 'feedback')),
    title text not null,
    message text not null,
    metadata jsonb not null default '{}',
    read_at timestamptz,
    created_at timestamptz not null default now()
);
create index notifications_recipient_id on stm.notifications (recipient_id, id desc);
create index notifications_unread on stm.notifications (recipient_id) where read_at is null;

alter table stm.notifications enable row level security;
