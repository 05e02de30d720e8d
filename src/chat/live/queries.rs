//! The statements of live chat but the one that stores messages (`insert_messages.rs`), over the direct connection.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::cursor_store::MemberCursor;
use crate::chat::{MessageType, MessageView};
use crate::types::{ChatId, MessageId, Side, UserId};
use doors::Direct;

/// A snapshot of a chat for a member who joins.
#[derive(Debug)]
pub struct JoinSnapshot {
    /// The `seq` of the last message; 0 without any.
    pub last_seq: i64,
    pub is_closed: bool,
    /// How far the member's sockets had come when the last of them dropped, if that was a moment ago.
    pub resume_after: Option<i64>,
    /// With a cursor: what came after it, oldest first.
    pub messages: Vec<MessageView>,
}

/// The point from which a member who joins continues.
#[derive(Debug, Clone, Copy, Default)]
pub struct JoinQuery {
    /// The client's own cursor: messages after it are read.
    pub after: Option<i64>,
    /// The most messages to read.
    pub limit: i64,
    /// How far the member's sockets had come when the last of them dropped, if this process knows it.
    pub dropped_at_seq: Option<i64>,
    /// Whatever was emitted after this moment may be lost.
    pub silent_since: Option<DateTime<Utc>>,
}

/// Reads what a member who joins finds in a chat, in one statement and so at one moment.
/// Returns `None` if the user is not a member, or there is no such chat.
///
/// # Errors
/// Those of the database.
pub async fn find_for_join(
    direct: &Direct,
    chat: ChatId,
    user: UserId,
    query: JoinQuery,
) -> sqlx::Result<Option<JoinSnapshot>> {
    let rows = sqlx::query!(
        r#"with membership as (
               select c.last_seq, c.closed_at is not null as is_closed,
                      case when $5::bigint is not null then least($5, coalesce((
                                    select m.seq from stm.messages m
                                    where m.chat_id = $1 and ($6::timestamptz is null or m.created_at < $6)
                                    order by m.seq desc limit 1), 0))
                           when member.dropped_at between now() - interval '2 minutes' and now() then member.delivered_seq
                      end as resume_after
               from stm.chat_members member
               join stm.chats c on c.id = member.chat_id
               where member.chat_id = $1 and member.user_id = $2 and member.left_at is null
           ), page as (
               select m.*
               from stm.messages m
               where $3::bigint is not null and m.chat_id = $1 and m.seq > $3
               order by m.seq
               limit $4
           )
           select membership.last_seq, membership.is_closed as "is_closed!", membership.resume_after,
                  page.id as "id?: MessageId", page.seq as "seq?", page.sender_type as "sender_type?: Side",
                  page.sender_id as "sender_id?: UserId", u.first_name || ' ' || u.last_name as sender_name,
                  page.message as "message?", page.message_type as "message_type?: MessageType",
                  page.created_at as "created_at?"
           from membership
           left join page on true
           left join stm.users u on u.id = page.sender_id
           order by page.seq"#,
        chat.0,
        user.0,
        query.after,
        query.limit,
        query.dropped_at_seq,
        query.silent_since,
    )
    .fetch_all(direct)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (last_seq, is_closed, resume_after) = (first.last_seq, first.is_closed, first.resume_after);
    // Without messages there is one row, with nulls for them.
    let messages = rows.into_iter().filter_map(|row| {
        Some(MessageView {
            id: row.id?,
            seq: row.seq?,
            sender_type: row.sender_type?,
            sender_id: row.sender_id?,
            sender_name: row.sender_name?,
            message: row.message?,
            message_type: row.message_type?,
            created_at: row.created_at?.into(),
        })
    });
    Ok(Some(JoinSnapshot { last_seq, is_closed, resume_after, messages: messages.collect() }))
}

/// A part of a chat, and who may read it.
#[derive(Debug, Default)]
pub struct Page {
    /// The members at the moment of reading.
    pub members: Vec<UserId>,
    /// Oldest first.
    pub messages: Vec<MessageView>,
}

/// Reads at most `limit` messages after a `seq`, and the members at the same moment. Empty if there is no such chat.
///
/// # Errors
/// Those of the database.
pub async fn find_missed(direct: &Direct, chat: ChatId, after: i64, limit: i64) -> sqlx::Result<Page> {
    let rows = sqlx::query!(
        r#"select c.member_ids as "member_ids: Vec<UserId>", page.id as "id?: MessageId", page.seq as "seq?",
                  page.sender_type as "sender_type?: Side", page.sender_id as "sender_id?: UserId",
                  u.first_name || ' ' || u.last_name as sender_name, page.message as "message?",
                  page.message_type as "message_type?: MessageType", page.created_at as "created_at?"
           from stm.chats c
           left join lateral (
               select m.* from stm.messages m where m.chat_id = c.id and m.seq > $2 order by m.seq limit $3
           ) page on true
           left join stm.users u on u.id = page.sender_id
           where c.id = $1
           order by page.seq"#,
        chat.0,
        after,
        limit,
    )
    .fetch_all(direct)
    .await?;
    let mut page = Page::default();
    for row in rows {
        page.members = row.member_ids;
        // Without messages there is one row, with nulls for them.
        page.messages.extend((|| {
            Some(MessageView {
                id: row.id?,
                seq: row.seq?,
                sender_type: row.sender_type?,
                sender_id: row.sender_id?,
                sender_name: row.sender_name?,
                message: row.message?,
                message_type: row.message_type?,
                created_at: row.created_at?.into(),
            })
        })());
    }
    Ok(page)
}

/// Lists the members of chats.
///
/// # Errors
/// Those of the database.
pub async fn list_members(direct: &Direct, chats: &[ChatId]) -> sqlx::Result<HashMap<ChatId, Vec<UserId>>> {
    let chats: Vec<_> = chats.iter().map(|chat| chat.0).collect();
    let rows = sqlx::query!(
        r#"select id as "id: ChatId", member_ids as "member_ids: Vec<UserId>" from stm.chats where id = any($1)"#,
        &chats,
    )
    .fetch_all(direct)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.member_ids)).collect())
}

/// The outcome of a read mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkOutcome {
    /// The member has read up to this `seq`.
    Read(i64),
    /// Not a member, or there is no such chat.
    Forbidden,
    /// The chat is closed.
    ChatClosed,
}

/// Stores that members have read chats up to a `seq`, never less far than before and never beyond the end. Returns the
/// outcomes in the order of `marks`, which name each member once.
///
/// # Errors
/// Those of the database.
pub async fn set_read(direct: &Direct, marks: &[(ChatId, UserId, i64)]) -> sqlx::Result<Vec<MarkOutcome>> {
    let chats: Vec<_> = marks.iter().map(|mark| mark.0.0).collect();
    let users: Vec<_> = marks.iter().map(|mark| mark.1.0).collect();
    let seqs: Vec<_> = marks.iter().map(|mark| mark.2).collect();
    let rows = sqlx::query!(
        r#"with input as (
               select * from unnest($1::uuid[], $2::bigint[], $3::bigint[]) with ordinality
                    as input (chat_id, user_id, seq, position)
           ), locked as materialized (
               select member.chat_id, member.user_id
               from stm.chat_members member
               join input on input.chat_id = member.chat_id and input.user_id = member.user_id
               where member.left_at is null
               order by member.chat_id, member.user_id
               for no key update of member
           ), marked as (
               update stm.chat_members member
               set last_read_seq = greatest(member.last_read_seq, least(input.seq, c.last_seq))
               from input
               join locked on locked.chat_id = input.chat_id and locked.user_id = input.user_id
               join stm.chats c on c.id = input.chat_id and c.closed_at is null
               where member.chat_id = input.chat_id and member.user_id = input.user_id
               returning input.position, member.last_read_seq
           )
           select marked.last_read_seq as "seq?", locked.user_id is not null as "is_member!"
           from input
           left join marked on marked.position = input.position
           left join locked on locked.chat_id = input.chat_id and locked.user_id = input.user_id
           order by input.position"#,
        &chats,
        &users,
        &seqs,
    )
    .fetch_all(direct)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| match row.seq {
            Some(seq) => MarkOutcome::Read(seq),
            None if row.is_member => MarkOutcome::ChatClosed,
            None => MarkOutcome::Forbidden,
        })
        .collect())
}

/// Marks the members whom a killed process left in a chat as dropped.
///
/// # Errors
/// Those of the database.
pub async fn mark_all_dropped(direct: &Direct) -> sqlx::Result<()> {
    sqlx::query!("update stm.chat_members set dropped_at = now() where dropped_at = 'infinity'")
        .execute(direct)
        .await
        .map(drop)
}

/// Saves how far members' sockets have come, and where they are.
///
/// # Errors
/// Those of the database.
pub async fn save_cursors(direct: &Direct, members: &[MemberCursor]) -> sqlx::Result<()> {
    let chats: Vec<_> = members.iter().map(|member| member.chat_id.0).collect();
    let users: Vec<_> = members.iter().map(|member| member.user_id.0).collect();
    let cursors: Vec<_> = members.iter().map(|member| member.cursor).collect();
    let presences: Vec<_> = members.iter().map(|member| member.presence.as_str().to_owned()).collect();
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
        &presences,
    )
    .execute(direct)
    .await
    .map(drop)
}

/// A user's membership of a chat, from the database.
#[derive(Debug)]
pub struct MembershipStatus {
    pub chat_id: ChatId,
    pub user_id: UserId,
    pub is_member: bool,
    pub is_closed: bool,
    /// The `seq` of the chat's last message; 0 without any.
    pub last_seq: i64,
}

/// Returns what the database says about users in chats.
///
/// # Errors
/// Those of the database.
pub async fn list_membership_statuses(
    direct: &Direct,
    members: &[(ChatId, UserId)],
) -> sqlx::Result<Vec<MembershipStatus>> {
    let chats: Vec<_> = members.iter().map(|member| member.0.0).collect();
    let users: Vec<_> = members.iter().map(|member| member.1.0).collect();
    sqlx::query_as!(
        MembershipStatus,
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

/// An LSM who has joined a chat.
#[derive(Debug)]
pub struct JoinedLsm {
    pub id: i64,
    /// First and last name.
    pub name: String,
}

/// Returns the LSM that a member of a chat is, if it is one.
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

/// Stores when users were last seen, never earlier than before.
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

/// Lists which of `connected` share an open chat with each of `users`.
///
/// # Errors
/// Those of the database.
pub async fn list_chat_partners(
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
