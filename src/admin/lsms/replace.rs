//! `/admin/lsms/{id}/replace`: a new LSM takes over from another one.

use axum::extract::State;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::http::{LsmStatus, NewLsm, adopt, announce, appoint, check_free, leave, remove};
use super::queries::{self, LsmRow};
use crate::admin::events::{self, AdminAction, AdminEvent, AdminSubject};
use crate::admin::snapshot;
use crate::auth::{Admin, Passwords, password};
use crate::error::{Error, Result};
use crate::outbox::{Notifier, Outbox};
use crate::state::ApiState;
use crate::types::{LsmId, text_enum};
use crate::web::extract::{Json, Path};
use crate::web::fields::{Fields, SHORT_TEXT};
use doors::{Pooler, Tx};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(replace))
}

text_enum! {
    /// What becomes of an LSM that is replaced.
    OldLsmAction {
        /// Keeps the account, without a region to serve.
        Deactivate = "deactivate",
        /// Serves another region.
        Reassign = "reassign",
        /// Is removed.
        Delete = "delete",
    }
}

/// The new LSM, and what becomes of the old one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LsmReplaceRequest {
    #[schema(value_type = String)]
    new_lsm_first_name: Option<String>,
    #[schema(value_type = String)]
    new_lsm_last_name: Option<String>,
    #[schema(value_type = String)]
    new_lsm_email: Option<String>,
    /// A US phone number, in any notation.
    #[schema(value_type = String)]
    new_lsm_phone_number: Option<String>,
    /// At least 8 characters.
    #[schema(value_type = String)]
    new_lsm_password: Option<SecretString>,
    #[schema(value_type = OldLsmAction, inline)]
    old_lsm_action: Option<OldLsmAction>,
    /// With `reassign`.
    new_region_for_old_lsm: Option<String>,
    /// With `reassign`; without it the whole region.
    new_area_for_old_lsm: Option<String>,
}

/// What becomes of the old LSM.
enum Fate {
    Deactivated,
    Reassigned { region: String, area: Option<String> },
    Deleted,
}

impl LsmReplaceRequest {
    fn check(mut self) -> Result<(NewLsm, Fate)> {
        let mut rules = Fields::new();
        let new = NewLsm {
            first_name: rules.text("newLsmFirstName", self.new_lsm_first_name, SHORT_TEXT),
            last_name: rules.text("newLsmLastName", self.new_lsm_last_name, SHORT_TEXT),
            email: rules.email("newLsmEmail", self.new_lsm_email.as_deref()),
            phone_number: rules.us_phone_number("newLsmPhoneNumber", self.new_lsm_phone_number.as_deref()),
            password: self.new_lsm_password.take().unwrap_or_default(),
        };
        rules.check("newLsmPassword", password::acceptable_length(&new.password), password::RULE);
        let rule = "must be deactivate, reassign or delete";
        rules.check("oldLsmAction", self.old_lsm_action.is_some(), rule);
        let fate = match self.old_lsm_action {
            Some(OldLsmAction::Reassign) => Fate::Reassigned {
                region: rules.region("newRegionForOldLsm", self.new_region_for_old_lsm),
                area: rules.optional_text("newAreaForOldLsm", self.new_area_for_old_lsm, SHORT_TEXT),
            },
            Some(OldLsmAction::Delete) => Fate::Deleted,
            Some(OldLsmAction::Deactivate) | None => Fate::Deactivated,
        };
        rules.finish()?;
        Ok((new, fate))
    }
}

/// A replacement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LsmReplacedView {
    message: &'static str,
    new_lsm_id: LsmId,
    /// How many providers were handed over.
    providers_reassigned: usize,
}

/// Replaces an LSM: a new one takes over the region, all providers, undecided service requests and open disputes. The old
/// one leaves the chats of disputes. The providers and both LSMs are notified.
///
/// # Errors
/// 400 a field breaks a rule. 404 no such LSM. 409 the e-mail address is taken, or a region has another active LSM.
#[utoipa::path(post, path = "/admin/lsms/{id}/replace", tag = "admin", security(("admin" = [])),
    params(("id" = LsmId, Path)), request_body = LsmReplaceRequest,
    responses(
        (status = 200, body = LsmReplacedView),
        (status = 404, description = "No such LSM"),
        (status = 409, description = "The e-mail address is taken, or a region has another active LSM"),
    ))]
async fn replace(
    State(pooler): State<Pooler>,
    State(passwords): State<Passwords>,
    State(notifier): State<Notifier>,
    who: Admin,
    Path(id): Path<LsmId>,
    Json(request): Json<LsmReplaceRequest>,
) -> Result<Json<LsmReplacedView>> {
    let (new, fate) = request.check()?;
    let user = new.into_user(&passwords).await?;
    let mut tx = pooler.write().await?;
    // Providers who register lock their LSM: none is added to this one from here to the commit.
    let old = queries::lock(&mut tx, id).await?.ok_or(Error::NotFound("LSM"))?;
    let other = match &fate {
        Fate::Reassigned { region, .. } => region.as_str(),
        Fate::Deactivated | Fate::Deleted => &old.region,
    };
    queries::lock_regions(&mut tx, &[&old.region, other]).await?;
    let mut outbox = Outbox::default();
    let after = retire(&mut tx, &old, fate, &mut outbox).await?;
    check_free(&mut tx, &old.region, old.area.as_deref(), None).await?;
    let lsm = appoint(&mut tx, user, &old.region, old.area.clone()).await?;
    let handed_over = queries::hand_over(&mut tx, id, lsm.id).await?;
    // The old one may serve another region now, whose orphans are its own.
    if let Some(after) = after.as_ref().filter(|after| after.status == LsmStatus::Active) {
        adopt(&mut tx, after, &mut outbox).await?;
    }
    announce(&mut tx, &lsm, &handed_over, &mut outbox).await?;
    adopt(&mut tx, &lsm, &mut outbox).await?;
    let providers = handed_over.providers;
    let event = AdminEvent {
        actor: who.user_id,
        action: AdminAction::ReplaceLsm,
        subject: AdminSubject::Lsm,
        subject_id: Some(id.0),
        before: Some(snapshot(&old)?),
        after: Some(json!({"old": after, "new": lsm, "newId": lsm.id, "providers": providers.len()})),
    };
    events::record(&mut tx, &event).await?;
    tx.commit().await?;
    notifier.publish(outbox);
    let message = "LSM replaced successfully";
    Ok(Json(LsmReplacedView { message, new_lsm_id: lsm.id, providers_reassigned: providers.len() }))
}

/// Deactivates, moves or removes the old LSM. Returns what is left of it.
async fn retire(tx: &mut Tx<Pooler>, old: &LsmRow, fate: Fate, outbox: &mut Outbox) -> Result<Option<LsmRow>> {
    let after = match fate {
        Fate::Deleted => {
            remove(tx, old, outbox).await?;
            return Ok(None);
        }
        Fate::Deactivated => LsmRow { status: LsmStatus::Inactive, ..old.clone() },
        Fate::Reassigned { region, area } => {
            check_free(tx, &region, area.as_deref(), Some(old.id)).await?;
            LsmRow { region, area, status: LsmStatus::Active, ..old.clone() }
        }
    };
    queries::set(tx, &after).await?;
    let next_region = (after.status == LsmStatus::Active).then_some(after.region.as_str());
    leave(tx, old, next_region, outbox).await?;
    Ok(Some(after))
}
