//! Reviews of paid jobs.
//!
//! Invariants: a job is reviewed once, by its customer. A provider's rating is the mean of its committed reviews, however
//! many are inserted at the same time.

mod feedback;
mod http;
mod queries;
mod types;

use utoipa_axum::router::OpenApiRouter;

use crate::error::Result;
use crate::state::ApiState;
use crate::types::{ProviderId, ReviewId};
use doors::{Pooler, Tx};

pub(crate) use types::average;

pub(crate) use http::{ProviderReviewView, ReviewStatsView, ReviewsQuery};
pub(crate) use queries::{list, stats};

/// The feature's routes.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(feedback::routes())
}

/// Deletes a review of a provider, whose rating becomes the mean of the others. Returns `false` if there is no such review.
pub(crate) async fn delete(tx: &mut Tx<Pooler>, id: ReviewId, provider: ProviderId) -> Result<bool> {
    feedback::queries::lock_provider(tx, provider).await?;
    let is_deleted = feedback::queries::delete(tx, id, provider).await?;
    if is_deleted {
        feedback::queries::set_rating(tx, provider).await?;
    }
    Ok(is_deleted)
}
