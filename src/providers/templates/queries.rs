//! A provider's templates.

use crate::db::{Pooler, Tx};
use crate::types::UserId;

/// A provider's templates; `None` has no text of the provider's own.
#[derive(Debug)]
pub struct TemplatesRow {
    /// What the provider says first in every new chat.
    pub first_message_template: Option<String>,
    /// Subject of the e-mail about an accepted job.
    pub job_accepted_subject: Option<String>,
    /// Its text.
    pub job_accepted_body: Option<String>,
    /// Subject of the e-mail about an offer.
    pub negotiation_subject: Option<String>,
    /// Its text.
    pub negotiation_body: Option<String>,
}

/// What to change: `None` stays as it is, an empty text is taken away.
#[derive(Debug, Default)]
pub struct TemplatesChange {
    /// What the provider says first in every new chat.
    pub first_message_template: Option<String>,
    /// Subject of the e-mail about an accepted job.
    pub job_accepted_subject: Option<String>,
    /// Its text.
    pub job_accepted_body: Option<String>,
    /// Subject of the e-mail about an offer.
    pub negotiation_subject: Option<String>,
    /// Its text.
    pub negotiation_body: Option<String>,
}

/// A user's templates. `None`: this user is not a provider.
///
/// # Errors
/// Those of the database.
pub async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<TemplatesRow>> {
    sqlx::query_as!(
        TemplatesRow,
        "select first_message_template, job_accepted_subject, job_accepted_body, negotiation_subject, negotiation_body
         from stm.providers
         where user_id = $1",
        user_id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Changes a user's templates. `None`: this user is not a provider, or banned.
///
/// # Errors
/// Those of the database.
pub async fn set(tx: &mut Tx<Pooler>, user_id: UserId, change: &TemplatesChange) -> sqlx::Result<Option<TemplatesRow>> {
    sqlx::query_as!(
        TemplatesRow,
        "update stm.providers
         set first_message_template = nullif(coalesce($2, first_message_template), ''),
             job_accepted_subject = nullif(coalesce($3, job_accepted_subject), ''),
             job_accepted_body = nullif(coalesce($4, job_accepted_body), ''),
             negotiation_subject = nullif(coalesce($5, negotiation_subject), ''),
             negotiation_body = nullif(coalesce($6, negotiation_body), ''),
             updated_at = now()
         where user_id = $1 and status <> 'banned'
         returning first_message_template, job_accepted_subject, job_accepted_body, negotiation_subject, negotiation_body",
        user_id.0,
        change.first_message_template,
        change.job_accepted_subject,
        change.job_accepted_body,
        change.negotiation_subject,
        change.negotiation_body,
    )
    .fetch_optional(tx)
    .await
}
