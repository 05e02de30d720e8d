//! `/admin/services`: the list, and one service.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ServiceFilter};
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::snapshot;
use crate::auth::Admin;
use crate::catalog::editing::{self, ServiceChange};
use crate::error::{Error, Result, violates};
use crate::state::ApiState;
use crate::types::{ServiceId, Timestamp};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, LONG_TEXT, SHORT_TEXT};
use doors::Pooler;

/// The most services in one answer: the list has no envelope that could say that there are more.
const MAX_SERVICES: i64 = 1000;

/// The largest questions of a service, as JSON, in bytes.
const MAX_QUESTIONS_BYTES: usize = 16 * 1024;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(services)).routes(routes!(update, delete))
}

/// A selection of the services.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ServicesQuery {
    /// Returns only services with this text in their name.
    search: Option<String>,
    /// Returns only services of this category.
    category: Option<String>,
    /// The maximum number of rows, 1 to 1,000, which is also the default.
    limit: Option<i64>,
    /// The number of rows to skip, 0 to 100,000.
    offset: Option<i64>,
}

/// A service of the catalogue.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminServiceView {
    pub id: ServiceId,
    pub name: String,
    pub category: String,
    pub description: Option<String>,
    /// What customers are asked: a list, or an object.
    #[serde(rename = "questionsJson")]
    pub questions: Option<Value>,
    pub is_popular: bool,
    pub status: String,
    /// How many providers offer it.
    #[serde(rename = "providerCount")]
    pub provider_count: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Lists the services of the catalogue, by category and name.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/services", tag = "admin", security(("admin" = [])), params(ServicesQuery),
    responses((status = 200, body = Vec<AdminServiceView>)))]
async fn services(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<ServicesQuery>,
) -> Result<Json<Vec<AdminServiceView>>> {
    let mut rules = Fields::new();
    let limit = query.limit.unwrap_or(MAX_SERVICES);
    rules.check("limit", limit >= 1, "must be at least 1");
    let filter = ServiceFilter {
        search: rules.optional_text("search", query.search, SHORT_TEXT),
        category: rules.optional_text("category", query.category, SHORT_TEXT),
        limit: limit.min(MAX_SERVICES),
        offset: rules.offset(query.offset),
    };
    rules.finish()?;
    Ok(Json(queries::list(&pooler, &filter).await?))
}

/// A change of a service; what is missing stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceUpdateRequest {
    name: Option<String>,
    category: Option<String>,
    description: Option<String>,
    /// What customers are asked: a list, or an object.
    questions: Option<Value>,
    /// Whether it counts as popular, however often it is booked.
    is_popular: Option<bool>,
}

impl ServiceUpdateRequest {
    fn check(self) -> Result<ServiceChange> {
        let mut rules = Fields::new();
        check_questions(&mut rules, "questions", self.questions.as_ref());
        let change = ServiceChange {
            name: rules.optional_text("name", self.name, SHORT_TEXT),
            category: rules.optional_text("category", self.category, SHORT_TEXT),
            description: rules.optional_text("description", self.description, LONG_TEXT),
            questions: self.questions,
            is_popular: self.is_popular,
        };
        rules.finish()?;
        Ok(change)
    }
}

/// Checks the questions of a service.
pub(super) fn check_questions(rules: &mut Fields, field: &'static str, questions: Option<&Value>) {
    let Some(questions) = questions else { return };
    rules.check(field, questions.is_object() || questions.is_array(), "must be a list or an object");
    rules.check(field, questions.to_string().len() <= MAX_QUESTIONS_BYTES, "must be at most 16384 bytes of JSON");
}

/// Changes a service.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such service. 409 another service has this name.
#[utoipa::path(put, path = "/admin/services/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = ServiceId, Path)), request_body = ServiceUpdateRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such service"),
        (status = 409, description = "Another service has this name"),
    ))]
async fn update(
    State(pooler): State<Pooler>,
    who: Admin,
    Path(id): Path<ServiceId>,
    Json(request): Json<ServiceUpdateRequest>,
) -> Result<Json<MessageView>> {
    let change = request.check()?;
    let mut tx = pooler.write().await?;
    let before = editing::lock(&mut tx, id).await?.ok_or(Error::NotFound("service"))?;
    let after = match editing::set(&mut tx, id, &change).await {
        Err(error) if violates(&error, "services_name_key") => {
            return Err(Error::Conflict("name_taken", "another service has this name already".into()));
        }
        changed => changed?,
    };
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::UpdateService,
        subject: AdminSubject::Service,
        subject_id: Some(id.0),
        before: Some(snapshot(&before)?),
        after: Some(snapshot(&after)?),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Json(MessageView::new("Service updated successfully")))
}

/// Takes a service out of the catalogue. Jobs that name it go on.
///
/// # Errors
/// 404 no such service.
#[utoipa::path(delete, path = "/admin/services/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = ServiceId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such service"),
    ))]
async fn delete(State(pooler): State<Pooler>, who: Admin, Path(id): Path<ServiceId>) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let before = editing::lock(&mut tx, id).await?.ok_or(Error::NotFound("service"))?;
    editing::delete(&mut tx, id).await?;
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::DeleteService,
        subject: AdminSubject::Service,
        subject_id: Some(id.0),
        before: Some(snapshot(&before)?),
        after: None,
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Json(MessageView::new("Service deleted successfully")))
}
