//! SQL of files, through the pooler.

use uuid::Uuid;

use super::received::Checked;
use super::types::{FileId, Purpose};
use crate::error::{Result, too_many, violates};
use crate::types::UserId;
use doors::{Pooler, Tx};

/// The most bytes and files of one user in 24 hours.
const MAX_BYTES_PER_DAY: i64 = 1024 * 1024 * 1024;
const MAX_FILES_PER_DAY: i64 = 1000;

/// How many files one statement of the sweep takes.
const SWEPT: i64 = 200;

/// Checks that a user has not uploaded too much since yesterday: before a request is read, and again, with the user locked,
/// before a file is stored.
///
/// # Errors
/// 429 it is too much.
pub(super) async fn check_quota<'e>(executor: impl sqlx::PgExecutor<'e>, owner: UserId) -> Result<()> {
    let is_within = sqlx::query_scalar!(
        r#"select coalesce(sum(received_bytes), 0) < $2::bigint and count(*) < $3 as "is_within!"
           from stm.files
           where owner_id = $1 and created_at > now() - interval '24 hours'"#,
        owner.0,
        MAX_BYTES_PER_DAY,
        MAX_FILES_PER_DAY,
    )
    .fetch_one(executor)
    .await?;
    if is_within { Ok(()) } else { Err(too_many("files on one day", 3600)) }
}

/// A file whose bytes came before.
#[derive(Debug)]
pub(super) struct SameRow {
    pub id: FileId,
    pub content_type: String,
    pub bytes: i64,
}

/// Finds a file of the same owner and purpose with the same bytes, and keeps it from the sweep.
pub(super) async fn find_same(
    pooler: &Pooler,
    owner: UserId,
    purpose: Purpose,
    sha256: &[u8],
) -> sqlx::Result<Option<SameRow>> {
    let mut tx = pooler.write().await?;
    let found = sqlx::query_as!(
        SameRow,
        r#"update stm.files
           set created_at = case when state = 'pending' then now() else created_at end
           where owner_id = $1 and purpose = $2 and sha256 = $3 and state in ('pending', 'attached')
           returning id as "id: FileId", content_type, bytes"#,
        owner.0,
        purpose.as_str(),
        sha256,
    )
    .fetch_optional(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(found)
}

/// Inserts a file whose bytes are about to be stored.
///
/// # Errors
/// 429 its owner has uploaded too much.
pub(super) async fn insert(pooler: &Pooler, id: FileId, owner: UserId, purpose: Purpose, file: &Checked) -> Result<()> {
    let size = file.size().map(|(width, height)| (width.cast_signed(), height.cast_signed()));
    let mut tx = pooler.write().await?;
    sqlx::query!(
        r#"select pg_advisory_xact_lock(hashtextextended('stm.files ' || $1::bigint, 0)) as "locked!: ()""#,
        owner.0
    )
    .fetch_one(&mut tx)
    .await?;
    check_quota(&mut tx, owner).await?;
    sqlx::query!(
        "insert into stm.files (id, owner_id, purpose, key, name, content_type, bytes, received_bytes, sha256, width, height)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        id.0,
        owner.0,
        purpose.as_str(),
        id.key(),
        file.name,
        file.kind.content_type(),
        file.len(),
        file.received_bytes.cast_signed(),
        &file.sha256,
        size.map(|size| size.0),
        size.map(|size| size.1),
    )
    .execute(&mut tx)
    .await?;
    Ok(tx.commit().await?)
}

/// The bytes of a file are stored. Returns the file that they are stored under: the first one, if the same bytes came
/// twice at once. Returns `None` if the sweep has taken it for abandoned.
pub(super) async fn set_pending(pooler: &Pooler, id: FileId) -> Result<Option<FileId>> {
    let mut tx = pooler.write().await?;
    let set = sqlx::query_scalar!(
        r#"update stm.files set state = 'pending' where id = $1 and state = 'uploading' returning id as "id: FileId""#,
        id.0,
    )
    .fetch_optional(&mut tx)
    .await;
    match set {
        Ok(set) => {
            tx.commit().await?;
            Ok(set)
        }
        Err(error) if violates(&error, "files_same_bytes") => {
            drop(tx);
            abandon(pooler, id).await?;
            Ok(find_first(pooler, id).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds the live file with the bytes of this one.
async fn find_first(pooler: &Pooler, id: FileId) -> sqlx::Result<Option<FileId>> {
    sqlx::query_scalar!(
        r#"select first.id as "id: FileId"
           from stm.files f
           join stm.files first on first.owner_id = f.owner_id and first.purpose = f.purpose and first.sha256 = f.sha256
                               and first.state in ('pending', 'attached')
           where f.id = $1"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Leaves a file to the sweep whose bytes could not be stored.
pub(super) async fn abandon(pooler: &Pooler, id: FileId) -> sqlx::Result<()> {
    let mut tx = pooler.write().await?;
    sqlx::query!(
        "update stm.files set state = 'deleted', deleted_at = now() where id = $1 and state <> 'deleted'",
        id.0
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await
}

/// Something refers to these files of a user from now on. Returns how many of them there are.
pub(crate) async fn attach(tx: &mut Tx<Pooler>, owner: UserId, purpose: Purpose, ids: &[FileId]) -> sqlx::Result<u64> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let attached = sqlx::query!(
        "update stm.files set state = 'attached'
         where id = any($3) and owner_id = $1 and purpose = $2 and state in ('pending', 'attached')",
        owner.0,
        purpose.as_str(),
        &ids,
    )
    .execute(tx)
    .await?;
    Ok(attached.rows_affected())
}

/// Deletes files that nothing refers to any more. Their objects go later.
pub(crate) async fn delete(tx: &mut Tx<Pooler>, ids: &[FileId]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    sqlx::query!(
        "update stm.files set state = 'deleted', deleted_at = now() where id = any($1) and state <> 'deleted'",
        &ids,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Deletes what is a person's own: all files but those that chats show.
pub(crate) async fn delete_of_owner(tx: &mut Tx<Pooler>, owner: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.files f set state = 'deleted', deleted_at = now()
         where f.owner_id = $1 and f.state <> 'deleted'
           and not (f.state = 'attached' and f.purpose in ('chat_attachment', 'job_image')
                    and exists (select from stm.chat_members c
                                join stm.messages m on m.chat_id = c.chat_id
                                where c.user_id = $1 and m.message_type in ('image', 'document')
                                  and m.message like '%' || f.id || '%'))",
        owner.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// A file that may be served.
#[derive(Debug)]
pub(super) struct ServedRow {
    pub key: String,
    pub content_type: String,
    pub bytes: i64,
    pub is_picture: bool,
}

/// Finds a file that may be served. What a profile shows goes with a ban.
pub(super) async fn find(pooler: &Pooler, id: FileId) -> sqlx::Result<Option<ServedRow>> {
    sqlx::query_as!(
        ServedRow,
        r#"select key, content_type, bytes, width is not null as "is_picture!"
           from stm.files
           where id = $1 and state in ('pending', 'attached')
             and (purpose not in ('provider_logo', 'provider_banner', 'gallery_image')
                  or exists (select from stm.users u where u.id = owner_id and u.banned_at is null))"#,
        id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Deletes files that were never stored, or that nothing refers to after a day.
pub(super) async fn delete_unfinished(pooler: &Pooler) -> sqlx::Result<u64> {
    let mut tx = pooler.write().await?;
    let deleted = sqlx::query!(
        "update stm.files set state = 'deleted', deleted_at = now()
         where id in (select id from stm.files
                      where state = 'uploading' and created_at < now() - interval '15 minutes'
                         or state = 'pending' and created_at < now() - interval '24 hours'
                      limit $1
                      for update skip locked)",
        SWEPT,
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// A deleted file whose objects are still there.
#[derive(Debug)]
pub(super) struct ToEraseRow {
    pub id: FileId,
    pub key: String,
}

pub(super) async fn list_to_erase(pooler: &Pooler) -> sqlx::Result<Vec<ToEraseRow>> {
    sqlx::query_as!(
        ToEraseRow,
        r#"select id as "id: FileId", key from stm.files
           where state = 'deleted' and erased_at is null
           order by deleted_at
           limit $1"#,
        SWEPT,
    )
    .fetch_all(pooler)
    .await
}

pub(super) async fn set_erased(pooler: &Pooler, ids: &[FileId]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let mut tx = pooler.write().await?;
    sqlx::query!("update stm.files set erased_at = now() where id = any($1)", &ids).execute(&mut tx).await?;
    tx.commit().await
}

/// Deletes the rows of erased files that no longer count against their owner.
pub(super) async fn delete_erased(pooler: &Pooler) -> sqlx::Result<u64> {
    let mut tx = pooler.write().await?;
    let deleted = sqlx::query!(
        "delete from stm.files
         where id in (select id from stm.files
                      where state = 'deleted' and erased_at is not null and created_at < now() - interval '24 hours'
                      limit $1
                      for update skip locked)",
        SWEPT,
    )
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}
