//! Accounts: registration, one-time codes and passwords, the profile, export and closing.
//!
//! Invariants: LSMs and admins cannot register themselves. What is answered to strangers, and how fast, does not depend on
//! whether an account exists. A one-time code is stored as a keyed digest only, and five wrong tries end it.

mod closing;
mod codes;
pub(crate) mod first_admin;
mod places;
mod profile;
mod registration;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use registration::{NewUser, insert_user};

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    registration::routes()
        .merge(codes::routes())
        .merge(profile::routes())
        .merge(closing::routes())
        .merge(places::routes())
}
