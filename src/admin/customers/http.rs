//! `/admin/customers`.

use axum::extract::State;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries::{self, CustomerFilter, LockedCustomer};
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::list;
use crate::auth::{self, Admin};
use crate::error::{Error, Result};
use crate::jobs::{Command, Job};
use crate::mail::{self, Letter};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{Cents, CustomerId, Timestamp, UserId, text_enum};
use crate::web::MessageView;
use crate::web::extract::{Json, Path, Query};
use crate::web::fields::{Fields, SHORT_TEXT};
use crate::web::page::{Page, PageRequest};
use doors::{Pooler, Tx};

/// The reason that the parties of a cancelled job read. Only the customer reads why the account is banned.
const WHY_CANCELLED: &str = "the customer's account is no longer active";

/// The longest reason of a ban, in characters.
const MAX_REASON: usize = 500;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(customers))
        .routes(routes!(customer))
        .routes(routes!(ban))
        .routes(routes!(unban))
}

text_enum! {
    /// Whether a customer may act.
    CustomerStatus {
        Active = "active",
        /// By an admin.
        Banned = "banned",
        /// By the customer.
        Closed = "closed",
    }
}

impl CustomerStatus {
    pub(super) const fn new(is_banned: bool, is_closed: bool) -> Self {
        match (is_banned, is_closed) {
            (_, true) => Self::Closed,
            (true, false) => Self::Banned,
            (false, false) => Self::Active,
        }
    }
}

/// A selection of the customers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AdminCustomersQuery {
    /// Returns only customers with this text in the name or the e-mail address.
    search: Option<String>,
    /// Returns only customers of this region, by the state's letters or name.
    region: Option<String>,
    /// Returns only customers in this status.
    #[param(inline)]
    status: Option<CustomerStatus>,
    /// The number of the page, from 1.
    page: Option<i64>,
    /// The maximum number of rows, 1 to 100; 20 by default.
    limit: Option<i64>,
}

/// A customer in the list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminCustomerView {
    pub id: CustomerId,
    pub user_id: UserId,
    /// First and last name.
    pub name: String,
    pub email: String,
    /// E.164.
    pub phone: Option<String>,
    pub region: String,
    pub zipcode: Option<String>,
    pub status: CustomerStatus,
    pub total_jobs: i64,
    /// On paid jobs.
    pub total_spent: Cents,
    pub created_at: Timestamp,
}

/// Lists the customers, the newest first.
///
/// # Errors
/// 400 a parameter breaks a rule.
#[utoipa::path(get, path = "/admin/customers", tag = "admin", security(("admin" = [])), params(AdminCustomersQuery),
    responses((status = 200, body = Page<AdminCustomerView>)))]
async fn customers(
    State(pooler): State<Pooler>,
    _who: Admin,
    Query(query): Query<AdminCustomersQuery>,
) -> Result<Json<Page<AdminCustomerView>>> {
    let mut rules = Fields::new();
    let search = list::pattern(&mut rules, query.search);
    let region = rules.optional_text("region", query.region, SHORT_TEXT);
    let page = PageRequest::read(&mut rules, query.page, query.limit);
    rules.finish()?;
    let filter = CustomerFilter { search: search.as_deref(), region: region.as_deref(), status: query.status, page };
    let (customers, total) = queries::list(&pooler, filter).await?;
    Ok(Json(Page::new(customers, total, page)))
}

/// A customer in full.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminCustomerDetailsView {
    #[serde(flatten)]
    pub customer: AdminCustomerView,
    pub address: String,
    pub city: Option<String>,
    pub state: Option<String>,
    pub is_email_verified: bool,
    /// When an admin banned the customer.
    pub banned_at: Option<Timestamp>,
    pub ban_reason: Option<String>,
    pub jobs: AdminCustomerJobsView,
    /// How many the customer has written.
    pub reviews: i64,
    /// How many the customer has raised.
    pub disputes: i64,
}

/// A customer's jobs, counted.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminCustomerJobsView {
    /// New, in progress, or completed and not paid.
    pub open: i64,
    pub paid: i64,
    pub cancelled: i64,
}

/// Returns one customer.
///
/// # Errors
/// 404 no such customer.
#[utoipa::path(get, path = "/admin/customers/{id}", tag = "admin", security(("admin" = [])),
    params(("id" = CustomerId, Path)),
    responses(
        (status = 200, body = AdminCustomerDetailsView),
        (status = 404, description = "No such customer"),
    ))]
async fn customer(
    State(pooler): State<Pooler>,
    _who: Admin,
    Path(id): Path<CustomerId>,
) -> Result<Json<AdminCustomerDetailsView>> {
    queries::find(&pooler, id).await?.map(Json).ok_or(Error::NotFound("customer"))
}

/// The reason of a ban.
#[derive(Deserialize, ToSchema)]
#[schema(as = CustomerBanRequest)]
struct BanRequest {
    /// At most 500 characters; the customer reads it.
    #[schema(value_type = String)]
    reason: Option<String>,
}

/// A ban, and what it has ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CustomerBannedView {
    message: &'static str,
    /// How many jobs were new or in progress.
    cancelled_jobs: usize,
}

/// Bans a customer: refuses every request and login from now on, closes the sockets, and cancels the jobs that are new or
/// in progress, free of charge. Both parties of these jobs are notified.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such customer. 409 the customer is banned already, or the account is closed.
#[utoipa::path(post, path = "/admin/customers/{id}/ban", tag = "admin", security(("admin" = [])),
    params(("id" = CustomerId, Path)), request_body = BanRequest,
    responses(
        (status = 200, body = CustomerBannedView),
        (status = 404, description = "No such customer"),
        (status = 409, description = "The customer is banned already, or the account is closed"),
    ))]
async fn ban(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<CustomerId>,
    Json(request): Json<BanRequest>,
) -> Result<Json<CustomerBannedView>> {
    let mut rules = Fields::new();
    let reason = rules.text("reason", request.reason, MAX_REASON);
    rules.finish()?;
    let mut tx = pooler.write().await?;
    let customer = lock(&mut tx, id, CustomerStatus::Active).await?;
    let email = auth::queries::set_banned(&mut tx, customer.user_id, &reason, who.user_id).await?;
    auth::queries::set_all_revoked(&mut tx, customer.user_id, Utc::now()).await?;
    let (outbox, cancelled_jobs) = cancel_jobs(&mut tx, id, who).await?;
    let letter = Letter::Notice {
        subject: "Your account is suspended".into(),
        body: format!("Your STM account was suspended, and your open jobs were cancelled.\n\nThe reason: {reason}"),
    };
    mail::queue(&mut tx, customer.user_id, &email, &letter, None).await?;
    let after = json!({"status": "banned", "reason": reason, "cancelledJobs": cancelled_jobs});
    record(&mut tx, who, AdminAction::BanCustomer, id, CustomerStatus::Active, after).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    Ok(Json(CustomerBannedView { message: "Customer banned successfully", cancelled_jobs }))
}

/// Cancels the open jobs of a locked customer. Returns what is announced, and how many there were.
async fn cancel_jobs(tx: &mut Tx<Pooler>, id: CustomerId, who: Admin) -> Result<(Outbox, usize)> {
    let mut outbox = Outbox::default();
    let mut cancelled = 0;
    for job in queries::list_open_jobs(tx, id).await? {
        let job = Job::load_for_platform(tx, job, Some(who.user_id)).await?;
        // The provider may have completed or rejected it while we waited for its lock.
        if !job.row.state.status.is_open() {
            continue;
        }
        let transition = job.apply(Command::Cancel { reason: Some(WHY_CANCELLED.into()) }, Utc::now())?;
        outbox.append(job.store(tx, &transition).await?.outbox);
        cancelled += 1;
    }
    Ok((outbox, cancelled))
}

/// Lifts the ban of a customer, who has to log in again. Jobs that were cancelled stay so.
///
/// # Errors
/// 404 no such customer. 409 the customer is not banned, or the account is closed.
#[utoipa::path(post, path = "/admin/customers/{id}/unban", tag = "admin", security(("admin" = [])),
    params(("id" = CustomerId, Path)),
    responses(
        (status = 200, body = MessageView),
        (status = 404, description = "No such customer"),
        (status = 409, description = "The customer is not banned, or the account is closed"),
    ))]
async fn unban(State(pooler): State<Pooler>, who: Admin, Path(id): Path<CustomerId>) -> Result<Json<MessageView>> {
    let mut tx = pooler.write().await?;
    let customer = lock(&mut tx, id, CustomerStatus::Banned).await?;
    let email = auth::queries::clear_ban(&mut tx, customer.user_id).await?;
    let letter = Letter::Notice {
        subject: "Your account is active again".into(),
        body: "Your STM account is active again. You can log in and book.".into(),
    };
    mail::queue(&mut tx, customer.user_id, &email, &letter, None).await?;
    record(&mut tx, who, AdminAction::UnbanCustomer, id, CustomerStatus::Banned, json!({"status": "active"})).await?;
    tx.commit().await?;
    Ok(Json(MessageView::new("Customer unbanned successfully")))
}

/// Locks a customer who must be in this status.
async fn lock(tx: &mut Tx<Pooler>, id: CustomerId, wanted: CustomerStatus) -> Result<LockedCustomer> {
    let customer = queries::lock(tx, id).await?.ok_or(Error::NotFound("customer"))?;
    let why = match customer.status {
        status if status == wanted => return Ok(customer),
        CustomerStatus::Active => "this customer is not banned: possible now: ban",
        CustomerStatus::Banned => "this customer is already banned: possible now: unban",
        CustomerStatus::Closed => "this customer has closed the account: possible now: nothing",
    };
    Err(Error::Conflict("wrong_state", why.into()))
}

async fn record(
    tx: &mut Tx<Pooler>,
    who: Admin,
    action: AdminAction,
    id: CustomerId,
    before: CustomerStatus,
    after: serde_json::Value,
) -> Result<()> {
    let event = AdminEvent {
        actor: who.user_id,
        action,
        subject: AdminSubject::Customer,
        subject_id: Some(id.0),
        before: Some(json!({"status": before})),
        after: Some(after),
    };
    Ok(events::record(tx, &event).await?)
}
