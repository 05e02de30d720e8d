//! SQL of documents.

use chrono::{DateTime, Utc};

use super::DocumentStatus;
use super::types::Finding;
use crate::files::{FileId, Stored};
use crate::types::{DocumentId, ProviderId, UserId};
use doors::{Pooler, Tx};

/// The number of a provider's documents.
pub(super) async fn count(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from stm.provider_documents where provider_id = $1"#, provider.0)
        .fetch_one(tx)
        .await
}

/// A document that was inserted.
#[derive(Debug)]
pub(super) struct NewDocumentRow {
    pub id: DocumentId,
    pub created_at: DateTime<Utc>,
}

pub(super) async fn insert(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    file: &Stored,
    description: &str,
) -> sqlx::Result<NewDocumentRow> {
    sqlx::query_as!(
        NewDocumentRow,
        r#"insert into stm.provider_documents (provider_id, file_id, file_name, description)
           values ($1, $2, $3, $4)
           returning id as "id: DocumentId", created_at"#,
        provider.0,
        file.id.0,
        file.name,
        description,
    )
    .fetch_one(tx)
    .await
}

/// A document.
#[derive(Debug)]
pub(super) struct DocumentRow {
    pub id: DocumentId,
    pub file_id: FileId,
    pub file_name: String,
    pub file_type: String,
    pub file_size: i64,
    pub description: String,
    pub status: DocumentStatus,
    pub reason: Option<String>,
    pub reviewed_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// Lists the documents of a user who is a provider, at most `limit`.
pub(super) async fn list(pooler: &Pooler, user: UserId, limit: i64) -> sqlx::Result<Vec<DocumentRow>> {
    sqlx::query_as!(
        DocumentRow,
        r#"select d.id as "id: DocumentId", d.file_id as "file_id: FileId", d.file_name, f.content_type as file_type,
                  f.bytes as file_size, d.description, d.status as "status: DocumentStatus", d.reason, d.reviewed_at, d.created_at
           from stm.provider_documents d
           join stm.files f on f.id = d.file_id
           join stm.providers p on p.id = d.provider_id
           where p.user_id = $1
           order by d.id
           limit $2"#,
        user.0,
        limit,
    )
    .fetch_all(pooler)
    .await
}

/// Finds a document of a provider; with an LSM's user, only of that LSM's providers.
pub(super) async fn find(
    pooler: &Pooler,
    provider: ProviderId,
    id: DocumentId,
    lsm: Option<UserId>,
) -> sqlx::Result<Option<DocumentRow>> {
    sqlx::query_as!(
        DocumentRow,
        r#"select d.id as "id: DocumentId", d.file_id as "file_id: FileId", d.file_name, f.content_type as file_type,
                  f.bytes as file_size, d.description, d.status as "status: DocumentStatus", d.reason, d.reviewed_at, d.created_at
           from stm.provider_documents d
           join stm.files f on f.id = d.file_id
           join stm.providers p on p.id = d.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id
           where d.id = $2 and d.provider_id = $1
             and ($3::bigint is null or (l.user_id = $3 and l.status = 'active'))"#,
        provider.0,
        id.0,
        lsm.map(|lsm| lsm.0),
    )
    .fetch_optional(pooler)
    .await
}

/// A locked document that an LSM reviews.
#[derive(Debug)]
pub(super) struct LockedRow {
    pub status: DocumentStatus,
    pub file_name: String,
    pub provider_user_id: UserId,
}

/// Locks a provider, which an approval locks as well, and then a document of it: only of this LSM's providers.
pub(super) async fn lock(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    id: DocumentId,
    lsm: UserId,
) -> sqlx::Result<Option<LockedRow>> {
    sqlx::query!("select id from stm.providers where id = $1 for no key update", provider.0)
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query_as!(
        LockedRow,
        r#"select d.status as "status: DocumentStatus", d.file_name, p.user_id as "provider_user_id: UserId"
           from stm.provider_documents d
           join stm.providers p on p.id = d.provider_id
           join stm.local_service_managers l on l.id = p.lsm_id and l.status = 'active'
           where d.id = $2 and d.provider_id = $1 and l.user_id = $3
           for update of d"#,
        provider.0,
        id.0,
        lsm.0,
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn set_finding(
    tx: &mut Tx<Pooler>,
    id: DocumentId,
    finding: &Finding,
    by: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.provider_documents
         set status = $2, reason = $3, reviewed_by = $4, reviewed_at = now()
         where id = $1 and status = 'pending'",
        id.0,
        finding.status().as_str(),
        finding.reason(),
        by.0,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Whether a document of a provider is verified.
pub(super) async fn is_verified(tx: &mut Tx<Pooler>, provider: ProviderId, id: DocumentId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.provider_documents where id = $2 and provider_id = $1 and status = 'verified')
                  as "is_verified!""#,
        provider.0,
        id.0,
    )
    .fetch_one(tx)
    .await
}

/// Deletes a document of a provider. Returns its file.
pub(super) async fn delete(tx: &mut Tx<Pooler>, provider: ProviderId, id: DocumentId) -> sqlx::Result<Option<FileId>> {
    sqlx::query_scalar!(
        r#"delete from stm.provider_documents where id = $2 and provider_id = $1 returning file_id as "file_id: FileId""#,
        provider.0,
        id.0,
    )
    .fetch_optional(tx)
    .await
}

/// Whether a document still shows a file: the same bytes may be handed in twice.
pub(super) async fn is_shown(tx: &mut Tx<Pooler>, file: FileId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from stm.provider_documents where file_id = $1) as "is_shown!""#,
        file.0
    )
    .fetch_one(tx)
    .await
}
