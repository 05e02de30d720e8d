//! SQL of e-mails.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::letters::Content;
use crate::types::UserId;
use doors::{Door, Pooler, Tx};

/// A claimed e-mail.
#[derive(Debug)]
pub(super) struct Claimed {
    pub id: Uuid,
    pub recipient: String,
    pub subject: String,
    pub body_text: String,
    pub body_html: String,
    /// How often it was claimed, this time included. Also the proof of the claim.
    pub attempts: i32,
}

/// Queues an e-mail.
pub(super) async fn insert<D: Door>(
    tx: &mut Tx<D>,
    user: UserId,
    recipient: &str,
    content: &Content,
    expires_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into stm.emails (user_id, recipient, subject, body_text, body_html, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        user.0,
        recipient,
        content.subject,
        content.text,
        content.html,
        expires_at,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Queues the same e-mail for each of these users.
pub(super) async fn insert_for_all<D: Door>(tx: &mut Tx<D>, users: &[UserId], content: &Content) -> sqlx::Result<()> {
    let users: Vec<i64> = users.iter().map(|user| user.0).collect();
    sqlx::query!(
        "insert into stm.emails (user_id, recipient, subject, body_text, body_html)
         select id, email, $2, $3, $4 from stm.users where id = any($1)",
        &users,
        content.subject,
        content.text,
        content.html,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Claims up to `limit` due e-mails for `lease_s` seconds, among those that no other process is claiming.
pub(super) async fn claim(tx: &mut Tx<Pooler>, limit: i64, lease_s: f64) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as!(
        Claimed,
        r#"update stm.emails e
           set status = 'sending', attempts = e.attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
           from (
               select id from stm.emails
               where status in ('queued', 'sending') and next_attempt_at <= now()
                 and (expires_at is null or expires_at > now())
               order by next_attempt_at, id
               limit $1
               for update skip locked
           ) due
           where e.id = due.id
           returning e.id, e.recipient as "recipient!", e.subject as "subject!", e.body_text as "body_text!",
                     e.body_html as "body_html!", e.attempts"#,
        limit,
        lease_s,
    )
    .fetch_all(tx)
    .await
}

/// Marks a claimed e-mail as sent, and erases it.
pub(super) async fn set_sent(tx: &mut Tx<Pooler>, id: Uuid, attempts: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.emails
         set status = 'sent', ended_at = now(), recipient = null, subject = null, body_text = null, body_html = null,
             last_error = null
         where id = $1 and attempts = $2 and status = 'sending'",
        id,
        attempts,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Queues a claimed e-mail again, after `wait_s` seconds.
pub(super) async fn set_queued(
    tx: &mut Tx<Pooler>,
    id: Uuid,
    attempts: i32,
    wait_s: f64,
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.emails
         set status = 'queued', next_attempt_at = now() + make_interval(secs => $3), last_error = $4
         where id = $1 and attempts = $2 and status = 'sending'",
        id,
        attempts,
        wait_s,
        error,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Gives a claimed e-mail up. It keeps its text, for an operator who queues it again.
pub(super) async fn set_dead(tx: &mut Tx<Pooler>, id: Uuid, attempts: i32, error: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.emails set status = 'dead', ended_at = now(), last_error = $3
         where id = $1 and attempts = $2 and status = 'sending'",
        id,
        attempts,
        error,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Gives up the e-mails that have expired unsent, and erases them: they hold codes.
pub(super) async fn set_expired(tx: &mut Tx<Pooler>, limit: i64) -> sqlx::Result<u64> {
    let expired = sqlx::query!(
        "update stm.emails e
         set status = 'dead', ended_at = now(), last_error = 'expired', recipient = null, subject = null,
             body_text = null, body_html = null
         from (
             select id from stm.emails
             where status in ('queued', 'sending') and next_attempt_at <= now() and expires_at <= now()
             order by next_attempt_at, id
             limit $1
             for update skip locked
         ) due
         where e.id = due.id",
        limit,
    )
    .execute(tx)
    .await?;
    Ok(expired.rows_affected())
}

/// Deletes e-mails that ended 30 days ago, some thousands at a time. Returns how many.
pub(crate) async fn delete_ended(pooler: &Pooler) -> sqlx::Result<u64> {
    let mut tx = pooler.write().await?;
    let deleted = sqlx::query!(
        "delete from stm.emails
         where id in (
             select id from stm.emails where ended_at < now() - interval '30 days' limit 10000 for update skip locked)",
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}
