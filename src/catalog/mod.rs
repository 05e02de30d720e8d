//! Services, and who offers them. Public.
//!
//! Invariant: only approved services and active providers are shown, and of a provider neither e-mail nor phone.

mod http;
mod queries;
mod search;
pub mod search_queries;
mod search_types;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub use queries::ProviderRow;
pub use search_types::Words;

/// The feature's routes.
#[must_use]
pub fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(search::routes())
}
