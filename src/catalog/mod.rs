//! The services on offer, and the search for services and providers. Public.
//!
//! Invariant: only approved services and active providers are shown, and never a provider's e-mail address or phone
//! number.

pub(crate) mod editing;
mod search;
mod services;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

/// The routes of all pages.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    services::routes().merge(search::routes())
}
