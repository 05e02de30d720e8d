//! `/customer/profile` and `/customers/profile`: the same handlers, because clients call both.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, ProfileChange};
use crate::auth::Customer;
use crate::error::{Error, Result};
use crate::state::ApiState;
use crate::types::Cents;
use crate::web::MessageView;
use crate::web::docs::also_at;
use crate::web::extract::Json;
use crate::web::fields::{Fields, SHORT_TEXT};
use doors::Pooler;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(also_at("/customers/profile", routes!(profile, set_profile)))
}

/// A customer's profile.
#[derive(Serialize, ToSchema)]
pub(super) struct ProfileView {
    pub user: ContactView,
    pub address: String,
    pub region: String,
    pub zipcode: Option<String>,
    pub statistics: StatisticsView,
}

/// The customer's contact data.
#[derive(Serialize, ToSchema)]
pub(super) struct ContactView {
    /// First and last name.
    pub name: String,
    pub email: String,
    /// E.164; empty without one.
    pub phone: String,
}

/// The customer's history in numbers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatisticsView {
    /// Jobs ever requested.
    pub total_jobs: i64,
    /// The sum of the prices of paid jobs, in dollars.
    pub total_spent: Cents,
}

/// Returns the calling customer's profile.
///
/// # Errors
/// 404 the account is banned or no longer exists.
#[utoipa::path(get, path = "/customer/profile", tag = "customers", security(("customer" = [])),
    responses((status = 200, body = ProfileView)))]
async fn profile(State(pooler): State<Pooler>, who: Customer) -> Result<Json<ProfileView>> {
    queries::find(&pooler, who.user_id).await?.map(Json).ok_or(Error::NotFound("customer"))
}

/// The fields to change; fields left out are not changed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProfileRequest {
    first_name: Option<String>,
    last_name: Option<String>,
    /// A US phone number, in any notation.
    phone: Option<String>,
    address: Option<String>,
    zipcode: Option<String>,
    region: Option<String>,
}

impl ProfileRequest {
    fn check(self) -> Result<ProfileChange> {
        let mut rules = Fields::new();
        let mut text = |field, value: Option<String>| value.map(|value| rules.text(field, Some(value), SHORT_TEXT));
        let mut change = ProfileChange {
            first_name: text("firstName", self.first_name),
            last_name: text("lastName", self.last_name),
            address: text("address", self.address),
            region: text("region", self.region),
            ..ProfileChange::default()
        };
        change.zipcode = self.zipcode.map(|zip| rules.zip_code("zipcode", Some(&zip)));
        change.phone_number = self.phone.map(|phone| rules.us_phone_number("phone", Some(&phone)));
        rules.finish()?;
        Ok(change)
    }
}

/// Changes the calling customer's profile.
///
/// # Errors
/// 400 a field breaks a rule. 404 the account is banned or no longer exists.
#[utoipa::path(put, path = "/customer/profile", tag = "customers", security(("customer" = [])),
    request_body = ProfileRequest,
    responses((status = 200, body = MessageView)))]
async fn set_profile(
    State(pooler): State<Pooler>,
    who: Customer,
    Json(request): Json<ProfileRequest>,
) -> Result<Json<MessageView>> {
    let change = request.check()?;
    let mut tx = pooler.write().await?;
    if !queries::set(&mut tx, who.user_id, &change).await? {
        return Err(Error::NotFound("customer"));
    }
    tx.commit().await?;
    Ok(Json(MessageView::new("Profile updated successfully")))
}
