//! SQL of a provider's templates.

use crate::types::UserId;
use doors::{Pooler, Tx};

/// A provider's own texts: `None` where there is none. In a change, `None` leaves a text as it is, and an empty one
/// removes it.
#[derive(Debug)]
pub(super) struct Templates {
    /// The first line of every new chat.
    pub first_message_template: Option<String>,
    pub job_accepted_subject: Option<String>,
    pub job_accepted_body: Option<String>,
    pub negotiation_subject: Option<String>,
    pub negotiation_body: Option<String>,
}

/// The templates of a user who is a provider.
pub(super) async fn find(pooler: &Pooler, user_id: UserId) -> sqlx::Result<Option<Templates>> {
    sqlx::query_as!(
        Templates,
        "select first_message_template, job_accepted_subject, job_accepted_body, negotiation_subject, negotiation_body
         from stm.providers
         where user_id = $1",
        user_id.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Changes a user's templates. Returns `None` if the user is not a provider, or is banned.
pub(super) async fn set(tx: &mut Tx<Pooler>, user_id: UserId, change: &Templates) -> sqlx::Result<Option<Templates>> {
    sqlx::query_as!(
        Templates,
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
