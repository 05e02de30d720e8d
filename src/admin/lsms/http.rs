//! `/admin/lsms` and `/admin/lsm/create`.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::Utc;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, HandedOver, LsmRow, Work};
use crate::accounts::{self, NewUser};
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::snapshot;
use crate::auth::{self, Admin, Passwords, password};
use crate::chat::job_chats;
use crate::error::{Error, Result, violates};
use crate::mail::{self, Letter};
use crate::notifications::NotificationType;
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{LsmId, Role, Timestamp, text_enum};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, SHORT_TEXT};
use crate::web::reading::text_or_empty;
use doors::{Pooler, Tx};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(lsms)).routes(routes!(create)).routes(routes!(lsm, update, delete))
}

text_enum! {
    /// Whether an LSM takes on providers.
    LsmStatus {
        Active = "active",
        Inactive = "inactive",
    }
}

/// A selection of the LSMs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LsmsQuery {
    /// Returns only LSMs of this region, by the state's letters or name.
    region: Option<String>,
}

/// An LSM in the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminLsmView {
    pub id: LsmId,
    /// First and last name.
    pub name: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    /// E.164; empty without one.
    pub phone_number: String,
    pub region: String,
    pub area: Option<String>,
    pub status: LsmStatus,
    /// In whatever status.
    pub provider_count: i64,
    /// Paid jobs of the LSM's providers.
    pub closed_deals_count: i64,
    pub created_at: Timestamp,
}

/// Lists the LSMs, by region and area, at most 1,000.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/lsms", tag = "admin", security(("admin" = [])), params(LsmsQuery),
    responses((status = 200, body = Vec<AdminLsmView>)))]
async fn lsms(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<LsmsQuery>,
) -> Result<Json<Vec<AdminLsmView>>> {
    let mut rules = Fields::new();
    let region = rules.optional_text("region", query.region, SHORT_TEXT);
    rules.finish()?;
    Ok(Json(queries::list(&pooler, region.as_deref()).await?))
}

/// An LSM in full.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminLsmDetailsView {
    #[serde(flatten)]
    pub lsm: AdminLsmView,
    pub work: LsmWorkView,
}

/// What an LSM oversees, and what waits for it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LsmWorkView {
    pub active_providers: i64,
    pub pending_providers: i64,
    pub pending_service_requests: i64,
    pub open_disputes: i64,
}

/// Returns one LSM.
///
/// # Errors
/// 404 no such LSM.
#[utoipa::path(get, path = "/admin/lsms/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = LsmId, Path)),
    responses(
        (status = 200, body = AdminLsmDetailsView),
        (status = 404, description = "No such LSM"),
    ))]
async fn lsm(State(pooler): State<Pooler>, _who: Admin, Path(id): Path<LsmId>) -> Result<Json<AdminLsmDetailsView>> {
    queries::find(&pooler, id).await?.map(Json).ok_or(Error::NotFound("LSM"))
}

/// A new LSM.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LsmCreateRequest {
    #[schema(value_type = String)]
    email: Option<String>,
    /// At least 8 characters.
    #[schema(value_type = String)]
    password: Option<SecretString>,
    #[schema(value_type = String)]
    first_name: Option<String>,
    #[schema(value_type = String)]
    last_name: Option<String>,
    /// A US phone number, in any notation.
    #[schema(value_type = String)]
    phone_number: Option<String>,
    #[schema(value_type = String)]
    region: Option<String>,
    /// A part of the region; without it, all that has no LSM of its own.
    area: Option<String>,
}

/// A new LSM, as far as it is a person.
pub(super) struct NewLsm {
    pub email: String,
    pub password: SecretString,
    pub first_name: String,
    pub last_name: String,
    pub phone_number: String,
}

/// An LSM that was appointed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LsmCreatedView {
    id: LsmId,
    message: &'static str,
}

/// Appoints an LSM, who is sent an e-mail without the password.
///
/// # Errors
/// 400 a field breaks a rule. 409 the e-mail address is taken, or the region has an active LSM.
#[utoipa::path(post, path = "/admin/lsm/create", tag = "admin", security(("admin" = [])),
    request_body = LsmCreateRequest,
    responses(
        (status = 201, body = LsmCreatedView),
        (status = 409, description = "The e-mail address is taken, or the region has an active LSM"),
    ))]
async fn create(
    State(pooler): State<Pooler>,
    State(passwords): State<Passwords>,
    State(notifier): State<Notifier>,
    who: Admin,
    Json(mut request): Json<LsmCreateRequest>,
) -> Result<(StatusCode, Json<LsmCreatedView>)> {
    let mut rules = Fields::new();
    let new = NewLsm {
        email: rules.email("email", request.email.as_deref()),
        password: request.password.take().unwrap_or_default(),
        first_name: rules.text("firstName", request.first_name, SHORT_TEXT),
        last_name: rules.text("lastName", request.last_name, SHORT_TEXT),
        phone_number: rules.us_phone_number("phoneNumber", request.phone_number.as_deref()),
    };
    rules.check("password", password::acceptable_length(&new.password), password::RULE);
    let region = rules.region("region", request.region);
    let area = rules.optional_text("area", request.area, SHORT_TEXT);
    rules.finish()?;

    let user = new.into_user(&passwords).await?;
    let mut tx = pooler.write().await?;
    queries::lock_regions(&mut tx, &[&region]).await?;
    check_free(&mut tx, &region, area.as_deref(), None).await?;
    let lsm = appoint(&mut tx, user, &region, area).await?;
    let mut outbox = Outbox::default();
    adopt(&mut tx, &lsm, &mut outbox).await?;
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::CreateLsm,
        subject: AdminSubject::Lsm,
        subject_id: Some(lsm.id.0),
        before: None,
        after: Some(snapshot(&lsm)?),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok((StatusCode::CREATED, Json(LsmCreatedView { id: lsm.id, message: "LSM created successfully" })))
}

impl NewLsm {
    /// Hashes the password.
    pub(super) async fn into_user(self, passwords: &Passwords) -> Result<NewUser> {
        Ok(NewUser {
            email: self.email,
            phone_number: self.phone_number,
            password_hash: passwords.hash(self.password).await?,
            first_name: self.first_name,
            last_name: self.last_name,
            role: Role::LocalServiceManager,
        })
    }
}

/// Inserts an LSM and its user, and queues the e-mail that says so.
pub(super) async fn appoint(tx: &mut Tx<Pooler>, user: NewUser, region: &str, area: Option<String>) -> Result<LsmRow> {
    let user_id = accounts::insert_user(tx, &user).await.map_err(email_taken)?;
    let id = queries::insert(tx, user_id, region, area.as_deref()).await?;
    let letter = Letter::Notice {
        subject: "You are a local service manager".into(),
        body: format!(
            "Hello {},\n\nAn admin of STM has made you the local service manager of {region}.\n\n\
             Log in with this e-mail address and the password that the admin has given you, and change it.",
            user.first_name
        ),
    };
    mail::queue(tx, user_id, &user.email, &letter, None).await?;
    Ok(LsmRow {
        id,
        user_id,
        first_name: user.first_name,
        last_name: user.last_name,
        email: user.email,
        phone_number: Some(user.phone_number),
        region: region.to_owned(),
        area,
        status: LsmStatus::Active,
    })
}

/// Checks that no other active LSM serves the region, or the same area of it.
///
/// # Errors
/// 409 one does.
pub(super) async fn check_free(
    tx: &mut Tx<Pooler>,
    region: &str,
    area: Option<&str>,
    but: Option<LsmId>,
) -> Result<()> {
    if !queries::is_served(tx, region, area, but).await? {
        return Ok(());
    }
    let place = area.map_or_else(|| region.to_owned(), |area| format!("{region}, {area}"));
    Err(Error::Conflict("region_taken", format!("the region {place} has an active LSM already: replace that one")))
}

fn email_taken(error: sqlx::Error) -> Error {
    if violates(&error, "users_email_key") {
        Error::Conflict("email_taken", "an account with this email address exists already".into())
    } else {
        error.into()
    }
}

/// A change of an LSM; what is missing stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LsmUpdateRequest {
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    /// A US phone number, in any notation.
    phone_number: Option<String>,
    region: Option<String>,
    /// Empty: the whole region.
    #[serde(default, deserialize_with = "text_or_empty")]
    area: Option<String>,
    /// An inactive LSM takes on no new providers, and cannot act for the old ones.
    #[schema(inline)]
    status: Option<LsmStatus>,
}

impl LsmUpdateRequest {
    /// The LSM with the changes.
    fn apply(self, lsm: &LsmRow) -> Result<LsmRow> {
        let mut rules = Fields::new();
        let mut text =
            |field, value, old: &String| rules.optional_text(field, value, SHORT_TEXT).unwrap_or_else(|| old.clone());
        let first_name = text("firstName", self.first_name, &lsm.first_name);
        let last_name = text("lastName", self.last_name, &lsm.last_name);
        let given = |value: Option<String>| value.filter(|text| !text.trim().is_empty());
        let changed = LsmRow {
            id: lsm.id,
            user_id: lsm.user_id,
            first_name,
            last_name,
            email: given(self.email).map_or_else(|| lsm.email.clone(), |email| rules.email("email", Some(&email))),
            phone_number: given(self.phone_number)
                .map(|number| rules.us_phone_number("phoneNumber", Some(&number)))
                .or_else(|| lsm.phone_number.clone()),
            region: given(self.region)
                .map_or_else(|| lsm.region.clone(), |region| rules.region("region", Some(region))),
            area: match self.area {
                Some(area) => rules.optional_text("area", Some(area), SHORT_TEXT),
                None => lsm.area.clone(),
            },
            status: self.status.unwrap_or(lsm.status),
        };
        rules.finish()?;
        Ok(changed)
    }
}

/// Changes an LSM.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such LSM. 409 the e-mail address is taken, or the region has another active LSM.
#[utoipa::path(put, path = "/admin/lsms/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = LsmId, Path)), request_body = LsmUpdateRequest,
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such LSM"),
        (status = 409, description = "The e-mail address is taken, or the region has another active LSM"),
    ))]
async fn update(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<LsmId>,
    Json(request): Json<LsmUpdateRequest>,
) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let before = queries::lock(&mut tx, id).await?.ok_or(Error::NotFound("LSM"))?;
    let after = request.apply(&before)?;
    let is_active = after.status == LsmStatus::Active;
    if is_active {
        queries::lock_regions(&mut tx, &[&after.region]).await?;
        check_free(&mut tx, &after.region, after.area.as_deref(), Some(id)).await?;
    }
    queries::set(&mut tx, &after).await.map_err(email_taken)?;
    let mut outbox = Outbox::default();
    if is_active {
        adopt(&mut tx, &after, &mut outbox).await?;
    } else if before.status == LsmStatus::Active {
        leave(&mut tx, &before, None, &mut outbox).await?;
    }
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::UpdateLsm,
        subject: AdminSubject::Lsm,
        subject_id: Some(id.0),
        before: Some(snapshot(&before)?),
        after: Some(snapshot(&after)?),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("LSM updated successfully")))
}

/// Removes an LSM: ends the logins, and refuses new ones. The e-mail address is free again.
///
/// # Errors
/// 404 no such LSM. 409 the LSM has providers who work or wait to, open disputes, or undecided requests.
#[utoipa::path(delete, path = "/admin/lsms/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = LsmId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such LSM"),
        (status = 409, description = "The LSM has providers who work or wait to, open disputes, or undecided requests"),
    ))]
async fn delete(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<LsmId>,
) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let before = queries::lock(&mut tx, id).await?.ok_or(Error::NotFound("LSM"))?;
    let Work { providers, disputes, requests } = queries::count_work(&mut tx, id).await?;
    if providers + disputes + requests > 0 {
        let message = format!(
            "this LSM has {providers} providers who are active, inactive or pending, {disputes} open disputes and \
             {requests} undecided service requests: replace the LSM instead"
        );
        return Err(Error::Conflict("has_providers", message));
    }
    let mut outbox = Outbox::default();
    remove(&mut tx, &before, &mut outbox).await?;
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::DeleteLsm,
        subject: AdminSubject::Lsm,
        subject_id: Some(id.0),
        before: Some(snapshot(&before)?),
        after: None,
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(MessageView::new("LSM deleted successfully")))
}

/// Removes a locked LSM, and ends the user's logins.
pub(super) async fn remove(tx: &mut Tx<Pooler>, lsm: &LsmRow, outbox: &mut Outbox) -> Result<()> {
    auth::queries::set_all_revoked(tx, lsm.user_id, Utc::now()).await?;
    queries::delete(tx, lsm.id).await?;
    leave(tx, lsm, None, outbox).await
}

/// Takes an LSM, who serves its region no more, out of all chats, and queues the e-mail that says so. What is left goes to
/// another LSM of the region, if there is one.
pub(super) async fn leave(
    tx: &mut Tx<Pooler>,
    lsm: &LsmRow,
    next_region: Option<&str>,
    outbox: &mut Outbox,
) -> Result<()> {
    if lsm.status == LsmStatus::Active {
        let next = next_region.map(|region| format!(" From now on you serve {region}.")).unwrap_or_default();
        let letter = Letter::Notice {
            subject: format!("You are no longer the local service manager of {}", lsm.region),
            body: format!(
                "Hello {},\n\nAn admin of STM has ended your work as the local service manager of {}.{next}",
                lsm.first_name, lsm.region
            ),
        };
        mail::queue(tx, lsm.user_id, &lsm.email, &letter, None).await?;
    }
    job_chats::remove_lsm(tx, lsm.user_id).await?;
    match queries::find_serving(tx, &lsm.region).await? {
        Some(other) => adopt(tx, &other, outbox).await,
        None => Ok(()),
    }
}

/// Hands an active LSM what nobody looks after in its region: of LSMs who are inactive or removed, and requests from before
/// there was one. Needs [`queries::lock_regions`].
pub(super) async fn adopt(tx: &mut Tx<Pooler>, lsm: &LsmRow, outbox: &mut Outbox) -> Result<()> {
    let adopted = queries::adopt(tx, lsm.id, &lsm.region).await?;
    announce(tx, lsm, &adopted, outbox).await
}

/// Notifies an LSM, and the providers, of what was handed over to it.
pub(super) async fn announce(
    tx: &mut Tx<Pooler>,
    lsm: &LsmRow,
    handed_over: &HandedOver,
    outbox: &mut Outbox,
) -> Result<()> {
    let HandedOver { providers, requests, disputes } = handed_over;
    if !providers.is_empty() || *requests + *disputes > 0 {
        let summary = format!(
            "You look after {} more providers, {disputes} open disputes and {requests} undecided service requests",
            providers.len()
        );
        outbox.notify_all(tx, &[lsm.user_id], NotificationType::System, "Handed over to you", &summary).await?;
    }
    let message = format!("{} {} is your local service manager now", lsm.first_name, lsm.last_name);
    let title = "New local service manager";
    Ok(outbox.notify_all(tx, providers, NotificationType::System, title, &message).await?)
}
