//! What the socket server asks and tells the database about connections.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rooms::Record;
use crate::types::{ChatId, UserId};
use doors::Direct;

/// Whoever was in a chat when the process before this one was killed dropped out at that moment.
///
/// # Errors
/// Those of the database.
pub async fn drop_all_connected(direct: &Direct) -> sqlx::Result<()> {
    sqlx::query!("update stm.chat_members set dropped_at = now() where dropped_at = 'infinity'")
        .execute(direct)
        .await
        .map(drop)
}

/// Records what members' sockets have been given, and where they are.
///
/// # Errors
/// Those of the database.
pub async fn set_whereabouts(direct: &Direct, records: &[Record]) -> sqlx::Result<()> {
    let chats: Vec<_> = records.iter().map(|record| record.chat_id.0).collect();
    let users: Vec<_> = records.iter().map(|record| record.user_id.0).collect();
    let cursors: Vec<_> = records.iter().map(|record| record.cursor).collect();
    let whereabouts: Vec<_> = records.iter().map(|record| record.whereabouts.as_str().to_owned()).collect();
    sqlx::query!(
        "with input as (
             select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) as input (chat_id, user_id, cursor, whereabouts)
         ), locked as materialized (
             select member.chat_id, member.user_id
             from stm.chat_members member
             join input on input.chat_id = member.chat_id and input.user_id = member.user_id
             order by member.chat_id, member.user_id
             for no key update of member
         )
         update stm.chat_members member
         set delivered_seq = input.cursor,
             dropped_at = case input.whereabouts when 'here' then 'infinity' when 'dropped' then now() end
         from input
         join locked on locked.chat_id = input.chat_id and locked.user_id = input.user_id
         where member.chat_id = input.chat_id and member.user_id = input.user_id",
        &chats,
        &users,
        &cursors,
        &whereabouts,
    )
    .execute(direct)
    .await
    .map(drop)
}

/// How a member of a chat stands with the database.
#[derive(Debug)]
pub struct Standing {
    /// Which chat.
    pub chat_id: ChatId,
    /// Who.
    pub user_id: UserId,
    /// Is it still a member?
    pub is_member: bool,
    /// Does the chat take no more messages?
    pub is_closed: bool,
    /// The chat's last message.
    pub last_seq: i64,
}

/// How those who are in chats stand.
///
/// # Errors
/// Those of the database.
pub async fn list_standings(direct: &Direct, members: &[(ChatId, UserId)]) -> sqlx::Result<Vec<Standing>> {
    let chats: Vec<_> = members.iter().map(|member| member.0.0).collect();
    let users: Vec<_> = members.iter().map(|member| member.1.0).collect();
    sqlx::query_as!(
        Standing,
        r#"select input.chat_id as "chat_id!: ChatId", input.user_id as "user_id!: UserId",
                  member.user_id is not null as "is_member!", c.closed_at is not null as "is_closed!",
                  coalesce(c.last_seq, 0) as "last_seq!"
           from unnest($1::uuid[], $2::bigint[]) as input (chat_id, user_id)
           left join stm.chats c on c.id = input.chat_id
           left join stm.chat_members member
                on member.chat_id = input.chat_id and member.user_id = input.user_id and member.left_at is null"#,
        &chats,
        &users,
    )
    .fetch_all(direct)
    .await
}

/// Which of these users and logins may not be connected any more: banned or gone, or revoked.
///
/// # Errors
/// Those of the database.
pub async fn list_ended(
    direct: &Direct,
    logins: &[(UserId, Option<Uuid>)],
) -> sqlx::Result<HashSet<(UserId, Option<Uuid>)>> {
    let users: Vec<_> = logins.iter().map(|login| login.0.0).collect();
    let families: Vec<_> = logins.iter().map(|login| login.1).collect();
    let rows = sqlx::query!(
        r#"select input.user_id as "user_id!: UserId", input.login
           from unnest($1::bigint[], $2::uuid[]) as input (user_id, login)
           left join stm.users u on u.id = input.user_id and u.banned_at is null
           where u.id is null
              or exists (select from stm.refresh_tokens t where t.family_id = input.login and t.revoked_at is not null)"#,
        &users,
        &families as &[Option<Uuid>],
    )
    .fetch_all(direct)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.login)).collect())
}

/// An LSM who has joined a chat.
#[derive(Debug)]
pub struct JoinedLsm {
    /// The LSM.
    pub id: i64,
    /// First and last name.
    pub name: String,
}

/// The LSM that a member of a chat is, if it is one.
///
/// # Errors
/// Those of the database.
pub async fn find_lsm(direct: &Direct, chat: ChatId, user: UserId) -> sqlx::Result<Option<JoinedLsm>> {
    sqlx::query_as!(
        JoinedLsm,
        r#"select l.id, u.first_name || ' ' || u.last_name as "name!"
           from stm.chat_members member
           join stm.local_service_managers l on l.user_id = member.user_id
           join stm.users u on u.id = member.user_id
           where member.chat_id = $1 and member.user_id = $2 and member.side = 'local_service_manager'
             and member.left_at is null"#,
        chat.0,
        user.0,
    )
    .fetch_optional(direct)
    .await
}

/// Records when users were last seen, never earlier than before.
///
/// # Errors
/// Those of the database.
pub async fn set_last_seen(direct: &Direct, seen: &[(UserId, DateTime<Utc>)]) -> sqlx::Result<()> {
    let users: Vec<_> = seen.iter().map(|(user, _)| user.0).collect();
    let times: Vec<_> = seen.iter().map(|(_, time)| *time).collect();
    sqlx::query!(
        "insert into stm.presence as presence (user_id, last_seen_at)
         select u.id, max(seen.at)
         from unnest($1::bigint[], $2::timestamptz[]) as seen (user_id, at)
         join stm.users u on u.id = seen.user_id
         group by u.id
         order by u.id
         on conflict (user_id) do update set last_seen_at = greatest(presence.last_seen_at, excluded.last_seen_at)",
        &users,
        &times,
    )
    .execute(direct)
    .await
    .map(drop)
}

/// Who of `connected` shares an open chat with each of `users`.
///
/// # Errors
/// Those of the database.
pub async fn list_acquaintances(
    direct: &Direct,
    users: &[UserId],
    connected: &[UserId],
) -> sqlx::Result<Vec<(UserId, UserId)>> {
    let users: Vec<_> = users.iter().map(|user| user.0).collect();
    let connected: Vec<_> = connected.iter().map(|user| user.0).collect();
    let rows = sqlx::query!(
        r#"select distinct me.user_id as "user_id: UserId", other.user_id as "other_id: UserId"
           from stm.chat_members me
           join stm.chats c on c.id = me.chat_id and c.closed_at is null
           join stm.chat_members other on other.chat_id = me.chat_id and other.user_id <> me.user_id and other.left_at is null
           where me.user_id = any($1) and me.left_at is null and other.user_id = any($2)"#,
        &users,
        &connected,
    )
    .fetch_all(direct)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.other_id)).collect())
}
