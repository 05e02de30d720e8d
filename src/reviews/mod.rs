//! Reviews of paid jobs.
//!
//! Invariants: a job is reviewed once, by its customer. A provider's rating is the mean of its committed reviews, however
//! many are inserted at the same time.

mod feedback;
mod http;
mod queries;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(crate) use http::{ProviderReviewView, ReviewStatsView, ReviewsQuery};
pub(crate) use queries::{list, stats};

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(feedback::routes())
}
