//! `/provider/email-templates`.

use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, Templates};
use crate::auth::Provider;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::UserId;
use crate::web::extract::Json;
use crate::web::fields::{Fields, LONG_TEXT, SHORT_TEXT};
use doors::Pooler;

/// The placeholders of a template, each for a value of the job.
const VARIABLES: [&str; 4] = ["[CUSTOMER_NAME]", "[SERVICE_NAME]", "[LOCATION]", "[SCHEDULED_DATE]"];

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(templates, set_templates, delete_templates))
}

/// A provider's templates; null where it has none of its own.
#[derive(Serialize, ToSchema)]
struct TemplatesView {
    /// The provider's first message in every new chat.
    first_message_template: Option<String>,
    job_accepted_subject: Option<String>,
    job_accepted_body: Option<String>,
    negotiation_subject: Option<String>,
    negotiation_body: Option<String>,
    /// The variables that a template may contain.
    variables: [&'static str; 4],
}

impl From<Templates> for TemplatesView {
    fn from(row: Templates) -> Self {
        Self {
            first_message_template: row.first_message_template,
            job_accepted_subject: row.job_accepted_subject,
            job_accepted_body: row.job_accepted_body,
            negotiation_subject: row.negotiation_subject,
            negotiation_body: row.negotiation_body,
            variables: VARIABLES,
        }
    }
}

/// The templates after a change.
#[derive(Serialize, ToSchema)]
struct ChangedTemplatesView {
    message: &'static str,
    #[serde(flatten)]
    templates: TemplatesView,
}

/// Returns the calling provider's templates.
///
/// # Errors
/// 404 the account no longer exists.
#[utoipa::path(get, path = "/provider/email-templates", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = TemplatesView)))]
async fn templates(State(pooler): State<Pooler>, who: Provider) -> Result<Json<TemplatesView>> {
    let row = queries::find(&pooler, who.user_id).await?;
    row.map(|row| Json(row.into())).ok_or(Error::NotFound("provider"))
}

/// The templates to change: those left out are not changed, null or blank ones are deleted.
#[derive(Deserialize, ToSchema)]
struct TemplatesRequest {
    /// At most 4,000 characters.
    #[serde(default, deserialize_with = "null_as_blank")]
    first_message_template: Option<String>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "null_as_blank")]
    job_accepted_subject: Option<String>,
    /// At most 4,000 characters.
    #[serde(default, deserialize_with = "null_as_blank")]
    job_accepted_body: Option<String>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "null_as_blank")]
    negotiation_subject: Option<String>,
    /// At most 4,000 characters.
    #[serde(default, deserialize_with = "null_as_blank")]
    negotiation_body: Option<String>,
}

/// Reads null as an empty text. A missing field stays `None`, by its default.
fn null_as_blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

impl TemplatesRequest {
    fn check(self) -> Result<Templates> {
        let mut rules = Fields::new();
        let mut text = |field, value: Option<String>, max| {
            value.map(|value| rules.optional_text(field, Some(value), max).unwrap_or_default())
        };
        let change = Templates {
            first_message_template: text("first_message_template", self.first_message_template, LONG_TEXT),
            job_accepted_subject: text("job_accepted_subject", self.job_accepted_subject, SHORT_TEXT),
            job_accepted_body: text("job_accepted_body", self.job_accepted_body, LONG_TEXT),
            negotiation_subject: text("negotiation_subject", self.negotiation_subject, SHORT_TEXT),
            negotiation_body: text("negotiation_body", self.negotiation_body, LONG_TEXT),
        };
        rules.finish()?;
        Ok(change)
    }
}

/// Changes the calling provider's templates.
///
/// # Errors
/// 400 a text is too long. 404 the account is banned or no longer exists.
#[utoipa::path(put, path = "/provider/email-templates", tag = "providers", security(("provider" = [])),
    request_body = TemplatesRequest,
    responses((status = 200, body = ChangedTemplatesView), (status = 400, description = "A text is too long")))]
async fn set_templates(
    State(pooler): State<Pooler>,
    who: Provider,
    Json(request): Json<TemplatesRequest>,
) -> Result<Json<ChangedTemplatesView>> {
    change(&pooler, who.user_id, &request.check()?, "Templates updated successfully").await
}

/// Deletes all of the calling provider's templates.
///
/// # Errors
/// 404 the account is banned or no longer exists.
#[utoipa::path(delete, path = "/provider/email-templates", tag = "providers", security(("provider" = [])),
    responses((status = 200, body = ChangedTemplatesView)))]
async fn delete_templates(State(pooler): State<Pooler>, who: Provider) -> Result<Json<ChangedTemplatesView>> {
    let nothing = Some(String::new());
    let none = Templates {
        first_message_template: nothing.clone(),
        job_accepted_subject: nothing.clone(),
        job_accepted_body: nothing.clone(),
        negotiation_subject: nothing.clone(),
        negotiation_body: nothing,
    };
    change(&pooler, who.user_id, &none, "Templates deleted successfully").await
}

async fn change(
    pooler: &Pooler,
    user_id: UserId,
    change: &Templates,
    message: &'static str,
) -> Result<Json<ChangedTemplatesView>> {
    let mut tx = pooler.write().await?;
    let row = queries::set(&mut tx, user_id, change).await?.ok_or(Error::NotFound("provider"))?;
    tx.commit().await?;
    Ok(Json(ChangedTemplatesView { message, templates: row.into() }))
}
