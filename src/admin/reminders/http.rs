//! `/admin/availability-reminders`.

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::auth::Admin;
use crate::error::Result;
use crate::mail::{self, Letter};
use crate::notifications::NotificationType;
use crate::outbox::{Notifier, Outbox};
use crate::providers;
use crate::state::ApiState;
use crate::web::docs;
use crate::web::extract::Json;
use doors::Pooler;

/// How many providers one transaction reminds.
const AT_ONCE: i64 = 500;

/// The most transactions of a request. Whoever is left is reminded by the next one.
const MAX_TRANSACTIONS: usize = 10;

pub(in crate::admin) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(docs::also_at("/admin/test/send-availability-reminders", routes!(send)))
}

/// What was sent.
#[derive(Serialize, ToSchema)]
struct RemindersSentView {
    message: &'static str,
    stats: RemindersStatsView,
}

/// The numbers of reminders.
#[derive(Serialize, ToSchema)]
struct RemindersStatsView {
    /// Providers who were reminded.
    success: usize,
    /// Providers who were due, but too many for one request: the next one reminds them.
    failed: usize,
    total: usize,
}

/// Reminds active providers to confirm that they are available, by notification and e-mail: those who have not done so for
/// a week, each at most once a day.
#[utoipa::path(post, path = "/admin/availability-reminders", tag = "admin", security(("admin" = [])),
    responses((status = 200, body = RemindersSentView)))]
async fn send(
    State(pooler): State<Pooler>,
    State(notifier): State<Notifier>,
    who: Admin,
) -> Result<Json<RemindersSentView>> {
    let mut success = 0;
    for _ in 0..MAX_TRANSACTIONS {
        let (reminded, outbox) = send_some(&pooler, who).await?;
        notifier.publish(outbox);
        success += reminded;
        if reminded == 0 {
            break;
        }
    }
    let failed = usize::try_from(providers::count_unreminded(&pooler).await?).unwrap_or_default();
    let stats = RemindersStatsView { success, failed, total: success + failed };
    Ok(Json(RemindersSentView { message: "Availability reminders sent", stats }))
}

/// Reminds some providers in one transaction.
async fn send_some(pooler: &Pooler, who: Admin) -> Result<(usize, Outbox)> {
    let mut tx = pooler.write().await?;
    let providers = providers::claim_unreminded(&mut tx, AT_ONCE).await?;
    let mut outbox = Outbox::default();
    if providers.is_empty() {
        return Ok((0, outbox));
    }
    let (title, text) = ("Are you still available?", "Confirm your availability, so that customers can rely on it.");
    outbox.notify_all(&mut tx, &providers, NotificationType::System, title, text).await?;
    let letter = Letter::Notice { subject: title.into(), body: format!("{text}\n\nLog in to STM to confirm it.") };
    mail::queue_all(&mut tx, &providers, &letter).await?;
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::SendAvailabilityReminders,
        subject: AdminSubject::Provider,
        subject_id: None,
        before: None,
        after: Some(json!({"providers": providers.len()})),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok((providers.len(), outbox))
}
