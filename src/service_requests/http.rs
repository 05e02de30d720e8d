//! `/customers/request-service`, `/provider/request-new-service` and `/provider/my-service-requests`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, CustomerRequest, ProviderRequest, RequestedRow};
use super::types::{Decisions, ServiceRequestStatus};
use crate::auth::{Customer, Provider};
use crate::error::{Error, Result};
use crate::notifications::{NewNotification, NotificationType};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{ServiceRequestId, Timestamp, UserId};
use crate::web::extract::Json;
use crate::web::fields::{Fields, LONG_TEXT, SHORT_TEXT};
use doors::{Pooler, Tx};

/// The longest keyword of a customer, in characters.
const MAX_KEYWORD: usize = 100;

/// The longest description of a customer, in characters.
const MAX_CUSTOMER_DESCRIPTION: usize = 500;

/// The largest questions of a service, as JSON, in bytes.
const MAX_QUESTIONS_BYTES: usize = 16 * 1024;

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(request_service))
        .routes(routes!(request_new_service))
        .routes(routes!(my_service_requests))
}

/// A new request for a service.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceRequestedView {
    message: &'static str,
    request_id: ServiceRequestId,
}

/// A customer's request for a service that the catalogue lacks.
#[derive(Deserialize, ToSchema)]
struct CustomerServiceRequest {
    /// The service; at most 100 characters.
    #[schema(value_type = String)]
    keyword: Option<String>,
    /// A description; at most 500 characters.
    #[schema(value_type = String)]
    description: Option<String>,
    /// The region, by which the LSM is chosen.
    #[schema(value_type = String)]
    region: Option<String>,
    #[schema(value_type = String)]
    zipcode: Option<String>,
}

impl CustomerServiceRequest {
    fn check(self) -> Result<CustomerRequest> {
        let mut rules = Fields::new();
        let request = CustomerRequest {
            keyword: rules.text("keyword", self.keyword, MAX_KEYWORD),
            description: rules.text("description", self.description, MAX_CUSTOMER_DESCRIPTION),
            region: rules.region("region", self.region),
            zipcode: rules.zip_code("zipcode", self.zipcode.as_deref()),
        };
        rules.finish()?;
        Ok(request)
    }
}

/// Requests a service that the catalogue lacks.
///
/// # Errors
/// 400 a field breaks a rule. 404 the account is banned or no longer exists.
#[utoipa::path(post, path = "/customers/request-service", tag = "service requests", security(("customer" = [])),
    request_body = CustomerServiceRequest,
    responses((status = 200, body = ServiceRequestedView)))]
async fn request_service(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Customer,
    Json(request): Json<CustomerServiceRequest>,
) -> Result<Json<ServiceRequestedView>> {
    let request = request.check()?;
    let mut tx = pooler.write().await?;
    queries::lock_lsm(&mut tx, who.user_id, Some(&request.region)).await?;
    let requested =
        queries::insert_of_customer(&mut tx, who.user_id, &request).await?.ok_or(Error::NotFound("customer"))?;
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, notification_of(&requested, &request.keyword)).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    let message = "Service request submitted successfully";
    Ok(Json(ServiceRequestedView { message, request_id: requested.id }))
}

/// A provider's request for a service that the catalogue lacks.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderServiceRequest {
    #[schema(value_type = String)]
    service_name: Option<String>,
    #[schema(value_type = String)]
    category: Option<String>,
    #[schema(value_type = String)]
    description: Option<String>,
    /// What customers should be asked: a list, or an object.
    suggested_questions: Option<serde_json::Value>,
    /// Another name for `suggestedQuestions`.
    questions: Option<serde_json::Value>,
}

impl ProviderServiceRequest {
    fn check(self) -> Result<ProviderRequest> {
        let mut rules = Fields::new();
        let suggested = self.suggested_questions.map(|questions| ("suggestedQuestions", questions));
        let questions = suggested.or(self.questions.map(|questions| ("questions", questions)));
        if let Some((field, questions)) = &questions {
            rules.check(*field, questions.is_object() || questions.is_array(), "must be a list or an object");
            let is_short = questions.to_string().len() <= MAX_QUESTIONS_BYTES;
            rules.check(*field, is_short, "must be at most 16384 bytes of JSON");
        }
        let request = ProviderRequest {
            service_name: rules.text("serviceName", self.service_name, SHORT_TEXT),
            category: rules.text("category", self.category, SHORT_TEXT),
            description: rules.text("description", self.description, LONG_TEXT),
            questions: questions.map(|(_, questions)| questions),
        };
        rules.finish()?;
        Ok(request)
    }
}

/// A new request for a service, as the provider sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewServiceRequestedView {
    #[serde(flatten)]
    request: MyServiceRequestView,
    message: &'static str,
}

/// Requests a service that the caller would offer.
///
/// # Errors
/// 400 a field breaks a rule. 404 the account is banned or no longer exists.
#[utoipa::path(post, path = "/provider/request-new-service", tag = "service requests", security(("provider" = [])),
    request_body = ProviderServiceRequest,
    responses((status = 201, body = NewServiceRequestedView)))]
async fn request_new_service(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Provider,
    Json(request): Json<ProviderServiceRequest>,
) -> Result<(StatusCode, Json<NewServiceRequestedView>)> {
    let request = request.check()?;
    let mut tx = pooler.write().await?;
    queries::lock_lsm(&mut tx, who.user_id, None).await?;
    let requested =
        queries::insert_of_provider(&mut tx, who.user_id, &request).await?.ok_or(Error::NotFound("provider"))?;
    let mut outbox = Outbox::default();
    outbox.notify(&mut tx, notification_of(&requested, &request.service_name)).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    let message = "Service request submitted successfully. Your LSM has been notified.";
    let request = MyServiceRequestView::new(&requested, request);
    Ok((StatusCode::CREATED, Json(NewServiceRequestedView { request, message })))
}

/// Requests the service that a new provider offers and the catalogue lacks. Returns the notification for its LSM.
///
/// # Errors
/// Those of the database.
pub(crate) async fn request_of_new_provider(
    tx: &mut Tx<Pooler>,
    user_id: UserId,
    service: &str,
) -> Result<Option<NewNotification>> {
    let request = ProviderRequest {
        service_name: service.to_owned(),
        category: service.to_owned(),
        description: "Named at registration".to_owned(),
        questions: None,
    };
    let requested = queries::insert_of_provider(tx, user_id, &request).await?;
    Ok(requested.and_then(|requested| notification_of(&requested, service)))
}

/// The notification for the LSM who decides on the request, if there is one.
fn notification_of(requested: &RequestedRow, service: &str) -> Option<NewNotification> {
    requested.lsm_user_id.map(|recipient_id| NewNotification {
        recipient_id,
        kind: NotificationType::System,
        title: "New service request".into(),
        message: format!("{} asks for the service {service}", requested.name),
        metadata: serde_json::json!({"requestId": requested.id}),
    })
}

/// A provider's request, as the provider sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct MyServiceRequestView {
    pub id: ServiceRequestId,
    #[serde(rename = "serviceName")]
    pub service_name: String,
    pub category: String,
    pub description: String,
    /// What customers should be asked: a list, or an object.
    #[serde(rename = "suggestedQuestions")]
    pub suggested_questions: Option<serde_json::Value>,
    pub status: ServiceRequestStatus,
    #[serde(flatten)]
    pub decisions: Decisions,
    pub created_at: Timestamp,
}

impl MyServiceRequestView {
    /// A request that was just made.
    fn new(requested: &RequestedRow, request: ProviderRequest) -> Self {
        Self {
            id: requested.id,
            service_name: request.service_name,
            category: request.category,
            description: request.description,
            suggested_questions: request.questions,
            status: ServiceRequestStatus::Pending,
            decisions: Decisions::default(),
            created_at: requested.created_at.into(),
        }
    }
}

/// Lists the service requests of the calling provider, newest first, at most 100.
#[utoipa::path(get, path = "/provider/my-service-requests", tag = "service requests", security(("provider" = [])),
    responses((status = 200, body = Vec<MyServiceRequestView>)))]
async fn my_service_requests(State(pooler): State<Pooler>, who: Provider) -> Result<Json<Vec<MyServiceRequestView>>> {
    Ok(Json(queries::list(&pooler, who.user_id).await?))
}
